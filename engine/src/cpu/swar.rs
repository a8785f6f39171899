//! Quantized products for emulated processors: in whole numbers, several to a 64-bit register (SWAR).
//!
//! Where QEMU emulates the processor (TCG), a float operation costs ten times an integer one, lane by lane, and a vector
//! operation several scalar ones; 64-bit integer arithmetic becomes the host's own. So here
//!
//! - one 64-bit product is a dot product: `(a + b * 2^k) * (y + x * 2^k)` has `a * x + b * y` in the field from bit `k`
//!   on, and what would lie above does not exist. Nibbles go four to a register, bytes two;
//! - scales are binary16, hence whole multiples of 2^-24: `d * sum(q * x) + m * sum(x)` is exact in 64 bits;
//! - so is the sum over the blocks in 128 bits, their scales taken as multiples of 2^-32 of the largest.
//!
//! Only the finished sum becomes a float. The results are those of [`super::generic`] but for its rounding errors.

use crate::quant::{BlockQ4_0, BlockQ4_1, BlockQ8_0, BlockQ8_1, F16, QK};

/// Blocks of activations that are spread into fields at a time.
const N_BLOCKS: usize = 48;

/// Rows whose sums are kept at a time, while block after block is added to all of them.
const N_ROWS: usize = 64;

/// A block of activations, spread for `N` products.
#[derive(Clone, Copy)]
struct Spread<const N: usize> {
    factors: [i64; N],
    /// Sum of the quants.
    sum: i64,
    /// The block's scale as a multiple of 2^-32 of the largest.
    scale: i64,
}

pub(super) fn mul_mat_q4_0_q8_1(w: &[BlockQ4_0], x: &[BlockQ8_1], n_blocks: usize, out: &mut [f32]) {
    mul_mat(w, x, n_blocks, out, spread_for_nibbles, |w, x| {
        fixed_point(w.d) * (dot_nibbles(&w.qs, &x.factors) - 8 * x.sum)
    });
}

pub(super) fn mul_mat_q4_1_q8_1(w: &[BlockQ4_1], x: &[BlockQ8_1], n_blocks: usize, out: &mut [f32]) {
    mul_mat(w, x, n_blocks, out, spread_for_nibbles, |w, x| {
        fixed_point(w.d) * dot_nibbles(&w.qs, &x.factors) + fixed_point(w.m) * x.sum
    });
}

pub(super) fn mul_mat_q8_0_q8_1(w: &[BlockQ8_0], x: &[BlockQ8_1], n_blocks: usize, out: &mut [f32]) {
    mul_mat(w, x, n_blocks, out, spread_for_bytes, |w, x| {
        fixed_point(w.d) * (dot_bytes(&w.qs, &x.factors) - 128 * x.sum)
    });
}

/// Write the products of the rows `w (n_rows, n_blocks)` with `x (n_tokens, n_blocks)` to `out (n_tokens, n_rows)`;
/// `dot` is the product of two blocks in units of 2^-24 times the scale of the activations.
fn mul_mat<B, const N: usize>(
    w: &[B],
    x: &[BlockQ8_1],
    n_blocks: usize,
    out: &mut [f32],
    spread: impl Fn(&[i8; QK]) -> [i64; N],
    dot: impl Fn(&B, &Spread<N>) -> i64,
) {
    let n_rows = w.len() / n_blocks;
    for (x, out) in x.chunks_exact(n_blocks).zip(out.chunks_exact_mut(n_rows)) {
        out.fill(0.0);
        let largest = x.iter().fold(0.0, |largest, x| x.d.max(largest));
        let unit = largest / (1_u64 << 32) as f32;
        // A row of zeros has no scale, and its products are zeros already.
        if unit <= 0.0 {
            continue;
        }
        let mut spreads = [Spread { factors: [0; N], sum: 0, scale: 0 }; N_BLOCKS];
        for first_block in (0..n_blocks).step_by(N_BLOCKS) {
            let x = &x[first_block..(first_block + N_BLOCKS).min(n_blocks)];
            for (x, spreads) in x.iter().zip(&mut spreads) {
                let sum = x.qs.iter().map(|&q| i64::from(q)).sum();
                *spreads = Spread { factors: spread(&x.qs), sum, scale: (x.d / unit) as i64 };
            }
            for (i, out) in out.chunks_mut(N_ROWS).enumerate() {
                let mut sums = [0_i128; N_ROWS];
                for (block, x) in spreads[..x.len()].iter().enumerate() {
                    let first = i * N_ROWS * n_blocks + first_block + block;
                    for (w, sum) in w[first..].iter().step_by(n_blocks).zip(&mut sums[..out.len()]) {
                        *sum += i128::from(dot(w, x)) * i128::from(x.scale);
                    }
                }
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out += sum as f32 * (unit / (1 << 24) as f32);
                }
            }
        }
    }
}

/// Return the number in units of 2^-24, the smallest binary16. (Infinities and NaN, which no model has as a scale, come
/// out as numbers.)
#[inline(always)]
fn fixed_point(number: F16) -> i64 {
    let bits = i64::from(u16::from_le_bytes(number.0));
    let (exponent, fraction) = (bits >> 10 & 0x1f, bits & 0x3ff);
    // Numbers with an exponent have a leading one before their fraction.
    let leading = i64::from(exponent != 0);
    let magnitude = (fraction | leading << 10) << (exponent - leading);
    let sign = -(bits >> 15);
    (magnitude ^ sign) - sign
}

/// Return the quants in fields of 16 bits for [`dot_nibbles`]: factors 0 to 3 meet the low nibbles of the even bytes,
/// their high nibbles, and those of the odd bytes of the first eight; factors 4 to 7 the second eight.
fn spread_for_nibbles(qs: &[i8; QK]) -> [i64; 8] {
    core::array::from_fn(|factor| {
        let first = factor / 4 * 8 + [0, QK / 2, 1, QK / 2 + 1][factor % 4];
        (0..4).map(|field| i64::from(qs[first + 2 * field]) << (16 * (3 - field))).sum()
    })
}

/// Return the sum of nibble times quant.
#[inline(always)]
fn dot_nibbles(nibbles: &[u8; QK / 2], factors: &[i64; 8]) -> i64 {
    let (halves, _) = nibbles.as_chunks::<8>();
    let mut dot = 0;
    for (half, factors) in halves.iter().zip(factors.as_chunks::<4>().0) {
        let q = u64::from_le_bytes(*half);
        let fields = |shift: u32| (q >> shift & 0x000f_000f_000f_000f) as i64;
        let products = fields(0)
            .wrapping_mul(factors[0])
            .wrapping_add(fields(4).wrapping_mul(factors[1]))
            .wrapping_add(fields(8).wrapping_mul(factors[2]))
            .wrapping_add(fields(12).wrapping_mul(factors[3]));
        // The uppermost field is at most 16 * 15 * 127, which fits; the lower ones together are less than half a unit of
        // it to either side, so that rounding takes them off.
        dot += products.wrapping_add(1 << 47) >> 48;
    }
    dot
}

/// Return the quants in fields of 32 bits for [`dot_bytes`]: factor `4i + k` meets bytes `8i + k` and `8i + k + 4`.
fn spread_for_bytes(qs: &[i8; QK]) -> [i64; 16] {
    core::array::from_fn(|factor| {
        let first = factor / 4 * 8 + factor % 4;
        (i64::from(qs[first]) << 32) + i64::from(qs[first + 4])
    })
}

/// Return the sum of (byte + 128) times quant: the offset makes the bytes unsigned.
#[inline(always)]
fn dot_bytes(bytes: &[i8; QK], factors: &[i64; 16]) -> i64 {
    let bytes: &[[u8; 8]; QK / 8] = zerocopy::transmute_ref!(bytes);
    let mut products = 0_i64;
    for (bytes, factors) in bytes.iter().zip(factors.as_chunks::<4>().0) {
        let q = u64::from_le_bytes(*bytes) ^ 0x8080_8080_8080_8080;
        let fields = |shift: u32| (q >> shift & 0x0000_00ff_0000_00ff) as i64;
        products = products
            .wrapping_add(fields(0).wrapping_mul(factors[0]))
            .wrapping_add(fields(8).wrapping_mul(factors[1]))
            .wrapping_add(fields(16).wrapping_mul(factors[2]))
            .wrapping_add(fields(24).wrapping_mul(factors[3]));
    }
    // As for nibbles: the upper field is at most 32 * 255 * 127, and the lower one rounds off.
    products.wrapping_add(1 << 31) >> 32
}
