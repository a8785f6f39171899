//! Quantized products for emulated processors: in whole numbers, several to a 64-bit register (SWAR).
//!
//! Where QEMU emulates the processor (TCG), a float operation costs ten times an integer one, lane by lane, and a vector
//! operation several scalar ones; 64-bit integer arithmetic becomes the host's own. So here
//!
//! - one 64-bit product is a dot product: `(a + b * 2^k) * (y + x * 2^k)` has `a * x + b * y` in the field from bit `k`
//!   on, and what would lie above does not exist. Nibbles go four to a register, bytes two;
//! - scales are binary16, hence whole multiples of 2^-24: `d * sum(q * x) + m * sum(x)` is exact in 64 bits;
//! - so is its product with the scale of its activations in 128, a multiple of 2^-32 of the largest. The lowest 24 bits are cut off,
//!   so that the sum over the blocks takes 64: a load or store costs ten times an addition, too;
//! - nothing is looked up in a table: its page and another that is in use may have one place in QEMU's direct-mapped TLB, and
//!   each access then costs a hundred additions.
//!
//! Only the finished sum becomes a float. The results are those of [`super::generic`] but for its rounding errors.

use core::ops::Range;

use super::generic;
use crate::quant::{
    Activations, Block, BlockIQ4_NL, BlockQ2_K, BlockQ3_K, BlockQ4_0, BlockQ4_1, BlockQ4_K, BlockQ5_0,
    BlockQ5_1, BlockQ5_K, BlockQ6_K, BlockQ8_0, F16, GroupBlock, Groups, QK, Quants, TensorType, blocks,
};

/// Blocks of activations that are spread into fields at a time.
const N_SPREADS: usize = 48;

/// Rows whose sums are kept at a time, while block after block is added to all of them.
const N_ROWS: usize = 64;

/// A block of activations, spread for `FACTORS` products.
#[derive(Clone, Copy)]
struct Spread<const FACTORS: usize> {
    factors: [i64; FACTORS],
    /// Sums of the quants, of the first 16 and of the others.
    sums: [i64; 2],
    /// The block's scale as a multiple of 2^-32 of the largest.
    scale: i64,
}

/// As [`super::Kernels::mul_mat`]; weights that are floats go to the portable loops, which vectors of floats are no faster
/// than.
pub(super) fn mul_mat(kind: TensorType, w: &[u8], x: Activations<'_>, n_in: usize, out: &mut [&mut [f32]]) {
    match kind {
        TensorType::F32 | TensorType::F16 | TensorType::BF16 => generic::mul_mat(kind, w, x, n_in, out),
        TensorType::Q4_0 => mul_mat_of(w, x, n_in, out, spread_for_nibbles, |w: &BlockQ4_0, [x]: &[_; 1]| {
            scaled(fixed_point(w.d) * (dot_nibbles(&w.qs, &x.factors) - 8 * x.sum()), x)
        }),
        TensorType::Q4_1 => mul_mat_of(w, x, n_in, out, spread_for_nibbles, |w: &BlockQ4_1, [x]: &[_; 1]| {
            scaled(fixed_point(w.d) * dot_nibbles(&w.qs, &x.factors) + fixed_point(w.m) * x.sum(), x)
        }),
        TensorType::Q8_0 => mul_mat_of(w, x, n_in, out, spread_for_bytes, |w: &BlockQ8_0, [x]: &[_; 1]| {
            let [first, second] = dots_bytes(&w.qs, x);
            scaled(fixed_point(w.d) * (first + second), x)
        }),
        TensorType::Q5_0 => mul_mat_unpacked::<BlockQ5_0, _, _>(w, x, n_in, out),
        TensorType::Q5_1 => mul_mat_unpacked::<BlockQ5_1, _, _>(w, x, n_in, out),
        TensorType::IQ4_NL => mul_mat_unpacked::<BlockIQ4_NL, _, _>(w, x, n_in, out),
        TensorType::Q2_K => mul_mat_unpacked::<BlockQ2_K, _, _>(w, x, n_in, out),
        TensorType::Q3_K => mul_mat_unpacked::<BlockQ3_K, _, _>(w, x, n_in, out),
        TensorType::Q4_K => mul_mat_of(w, x, n_in, out, spread_for_nibbles, dot_q4_k),
        TensorType::Q5_K => mul_mat_unpacked::<BlockQ5_K, _, _>(w, x, n_in, out),
        TensorType::Q6_K => mul_mat_of(w, x, n_in, out, spread_for_bytes, dot_q6_k),
    }
}

/// As [`super::Kernels::mul_mat_groups`].
pub(super) fn mul_mat_groups(w: Groups<'_>, x: Activations<'_>, n_in: usize, out: &mut [&mut [f32]]) {
    let n_blocks = n_in / QK;
    let column = |rows: Range<usize>, block| rows.map(move |row| w.block(row * n_blocks + block));
    mul_mat_columns(column, x, n_in, out, spread_for_bytes, |w: GroupBlock<'_>, [x]: &[_; 1]| {
        let [first, second] = dots_bytes(w.qs, x);
        // Below 2^63 * 32 * 127 * 128 * 2^32 < 2^114; what the shift takes off is nothing next to the activations' roundings.
        (i128::from(fixed_point_f32(w.d)) * i128::from((first + second) * x.scale)) >> (47 - 24)
    });
}

/// Return the product of a super-block, whose rows of bytes hold two blocks each.
#[inline(always)]
fn dot_q4_k(w: &BlockQ4_K, x: &[Spread<8>; 8]) -> i128 {
    let [scales, offsets] = w.scales.unpack();
    // Both sums are below 256 * 63 * 15 * 127 * 2^32 < 2^57.
    let (mut products, mut sums) = (0, 0);
    for (row, x) in x.iter().enumerate() {
        let [a, b, c, d] = words(&w.qs[row / 2]).map(|word| word >> (4 * (row % 2)));
        let dot = dot_16_nibbles([a, c, a >> 8, c >> 8], &x.factors[..4])
            + dot_16_nibbles([b, d, b >> 8, d >> 8], &x.factors[4..]);
        products += i64::from(scales[row]) * dot * x.scale;
        sums += i64::from(offsets[row]) * x.sum() * x.scale;
    }
    i128::from(fixed_point(w.d)) * i128::from(products) - i128::from(fixed_point(w.m)) * i128::from(sums)
}

/// Return the product of a super-block; its six bits are put together eight weights at a time.
#[inline(always)]
fn dot_q6_k(w: &BlockQ6_K, x: &[Spread<16>; 8]) -> i128 {
    // Below 256 * 128 * 63 * 127 * 2^32 < 2^60.
    let mut products = 0;
    for (row, (x, scales)) in x.iter().zip(w.scales.as_chunks::<2>().0).enumerate() {
        let (half, i) = (row / 4, row % 4);
        let (low, high) = (words(&w.ql[half][i % 2]), words(&w.qh[half]));
        let six_bits = core::array::from_fn(|k| {
            low[k] >> (4 * (i / 2)) & every_byte(0xf) | (high[k] >> (2 * i) & every_byte(3)) << 4
        });
        let [first, second] = dots_words(six_bits, x);
        let [first, second] = [first - 32 * x.sums[0], second - 32 * x.sums[1]];
        products += (i64::from(scales[0]) * first + i64::from(scales[1]) * second) * x.scale;
    }
    i128::from(fixed_point(w.d)) * i128::from(products)
}

/// Multiply blocks by way of their bytes.
fn mul_mat_unpacked<B, const N: usize, const GROUPS: usize>(
    w: &[u8],
    x: Activations<'_>,
    n_in: usize,
    out: &mut [&mut [f32]],
) where
    B: Block<Weights = Quants<N, GROUPS>>,
{
    mul_mat_of(w, x, n_in, out, spread_for_bytes, |w: &B, x: &[Spread<16>; N]| {
        let w = w.unpack();
        // With 2^-32 of the largest scale as their unit, both sums are below 256 * 127 * 128 * 128 * 2^32 < 2^62.
        let (mut products, mut offsets) = (0, 0);
        for (row, (qs, x)) in w.qs.iter().zip(x).enumerate() {
            let [first, second] = dots_bytes(qs, x);
            let groups = row * GROUPS / N;
            let (scale, offset) = (|i| i64::from(w.scales[groups + i]), |i| i64::from(w.offsets[groups + i]));
            if GROUPS == N {
                products += scale(0) * (first + second) * x.scale;
                offsets += offset(0) * x.sum() * x.scale;
            } else {
                products += (scale(0) * first + scale(1) * second) * x.scale;
                offsets += (offset(0) * x.sums[0] + offset(1) * x.sums[1]) * x.scale;
            }
        }
        i128::from(fixed_point(w.d)) * i128::from(products)
            - i128::from(fixed_point(w.m)) * i128::from(offsets)
    });
}

/// Write the products of the rows `w (n_rows, n_in)` with `x (n_tokens, n_in)` to `out (n_tokens)(n_rows)`; for `spread` and
/// `dot` see [`mul_mat_columns`].
fn mul_mat_of<B: Block, const N: usize, const FACTORS: usize>(
    w: &[u8],
    x: Activations<'_>,
    n_in: usize,
    out: &mut [&mut [f32]],
    spread: impl Fn(&[i8; QK]) -> [i64; FACTORS],
    dot: impl Fn(&B, &[Spread<FACTORS>; N]) -> i128,
) {
    let n_blocks = n_in / (N * QK);
    let w = blocks::<B>(w);
    let column = |rows: Range<usize>, block: usize| {
        w[rows.start * n_blocks..rows.end * n_blocks].chunks_exact(n_blocks).map(move |row| &row[block])
    };
    mul_mat_columns(column, x, n_in, out, spread, dot);
}

/// Write the products of rows with `x (n_tokens, n_in)` to `out (n_tokens)(n_rows)`: `column` returns the block of that number in
/// each of some rows, `spread` the factors of a block of activations, and `dot` the product of a block with its `N`
/// blocks of activations in units of 2^-24 times those of the activations' scales.
fn mul_mat_columns<B, I: Iterator<Item = B>, const N: usize, const FACTORS: usize>(
    column: impl Fn(Range<usize>, usize) -> I,
    x: Activations<'_>,
    n_in: usize,
    out: &mut [&mut [f32]],
    spread: impl Fn(&[i8; QK]) -> [i64; FACTORS],
    dot: impl Fn(B, &[Spread<FACTORS>; N]) -> i128,
) {
    for (x, out) in x.quants.chunks_exact(n_in / QK).zip(out) {
        out.fill(0.0);
        let largest = x.iter().fold(0.0, |largest, x| x.d.max(largest));
        let unit = largest / (1_u64 << 32) as f32;
        // A row of zeros has no scale, and its products are zeros already.
        if unit <= 0.0 {
            continue;
        }
        let mut spreads = [Spread { factors: [0; FACTORS], sums: [0; 2], scale: 0 }; N_SPREADS];
        for (part, x) in x.chunks(N_SPREADS).enumerate() {
            for (x, spreads) in x.iter().zip(&mut spreads) {
                let sums = x.sums.map(i64::from);
                *spreads = Spread { factors: spread(&x.qs), sums, scale: (x.d / unit) as i64 };
            }
            let (spreads, _) = spreads[..x.len()].as_chunks::<N>();
            for (i, out) in out.chunks_mut(N_ROWS).enumerate() {
                let mut sums = [0_i64; N_ROWS];
                let rows = i * N_ROWS..i * N_ROWS + out.len();
                for (block, x) in (part * (N_SPREADS / N)..).zip(spreads) {
                    for (w, sum) in column(rows.clone(), block).zip(&mut sums) {
                        // What does not fit, no model has: its scales would be hundreds.
                        *sum = sum.wrapping_add((dot(w, x) >> 24) as i64);
                    }
                }
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out += sum as f32 * unit;
                }
            }
        }
    }
}

impl<const FACTORS: usize> Spread<FACTORS> {
    /// Return the sum of the quants.
    #[inline(always)]
    fn sum(&self) -> i64 {
        self.sums[0] + self.sums[1]
    }
}

/// Return `sum`, a sum of products with the quants of `x`, times its scale: one wide product for a whole block.
#[inline(always)]
fn scaled<const FACTORS: usize>(sum: i64, x: &Spread<FACTORS>) -> i128 {
    i128::from(sum) * i128::from(x.scale)
}

/// Return the number in units of 2^-24, the smallest binary16. (Infinities and NaN, which no model has as a scale, come
/// out as numbers.)
#[inline(always)]
fn fixed_point(number: F16) -> i64 {
    let bits = i64::from(u16::from_le_bytes(number.0));
    let (exponent, fraction) = (bits >> 10 & 0x1f, bits & 0x3ff);
    // Numbers with an exponent have a leading one before their fraction.
    let leading = i64::from(exponent != 0);
    let magnitude = (leading << 10 | fraction) << (exponent - leading);
    let sign = -(bits >> 15);
    (magnitude ^ sign) - sign
}

/// Return the number in units of 2^-47, cut off below them and above 2^16. (No model has such scales; nor infinities and NaN,
/// which come out as numbers.)
#[inline(always)]
fn fixed_point_f32(number: f32) -> i64 {
    let bits = i64::from(number.to_bits());
    let (exponent, fraction) = (bits >> 23 & 0xff, bits & 0x7f_ffff);
    // At 2^15, whose exponent is 127 + 15, the leading one stands highest; subnormals are cut off with their whole fraction.
    let magnitude = ((fraction | 1 << 23) << 39) >> (142 - exponent).clamp(0, 63);
    let sign = -(bits >> 31);
    (magnitude ^ sign) - sign
}

/// Return the quants in fields of 16 bits, for [`dot_16_nibbles`]: in the first four factors every other one from quants 0,
/// 16, 1 and 17 on, in the others from 8, 24, 9 and 25 on.
fn spread_for_nibbles(qs: &[i8; QK]) -> [i64; 8] {
    // The first quant goes to the highest field. With an offset of 128 no field takes from the one above it until all are there.
    let words = words(zerocopy::transmute_ref!(qs)).map(|word| word.swap_bytes() ^ every_byte(0x80));
    core::array::from_fn(|factor| {
        let word = words[factor / 4 + factor % 2 * 2] >> (8 - factor % 4 / 2 * 8);
        (word & 0x00ff_00ff_00ff_00ff).wrapping_sub(0x0080_0080_0080_0080) as i64
    })
}

/// Return the sum of nibble times quant: the bytes' low nibbles meet the first 16 quants, the high ones the others.
#[inline(always)]
fn dot_nibbles(nibbles: &[u8; QK / 2], factors: &[i64; 8]) -> i64 {
    let (halves, _) = nibbles.as_chunks::<8>();
    let mut dot = 0;
    for (half, factors) in halves.iter().zip(factors.as_chunks::<4>().0) {
        let q = u64::from_le_bytes(*half);
        dot += dot_16_nibbles([q, q >> 4, q >> 8, q >> 12], factors);
    }
    dot
}

/// Return the sum of nibble times quant, of the nibbles that are the lowest in each 16 bits of the words.
#[inline(always)]
fn dot_16_nibbles(words: [u64; 4], factors: &[i64]) -> i64 {
    let mut products = 0_i64;
    for (word, &factor) in words.into_iter().zip(factors) {
        products = products.wrapping_add(((word & 0x000f_000f_000f_000f) as i64).wrapping_mul(factor));
    }
    // The uppermost field is at most 16 * 15 * 127, which fits; the lower ones together are less than half a unit of it to
    // either side, so that rounding takes them off.
    products.wrapping_add(1 << 47) >> 48
}

/// Return the quants in fields of 32 bits for [`dots_bytes`]: factor `4i + k` meets bytes `8i + k` and `8i + k + 4`.
fn spread_for_bytes(qs: &[i8; QK]) -> [i64; 16] {
    // As for nibbles.
    let words = words(zerocopy::transmute_ref!(qs)).map(|word| word.rotate_left(32) ^ every_byte(0x80));
    core::array::from_fn(|factor| {
        let word = words[factor / 4] >> (factor % 4 * 8);
        (word & 0x0000_00ff_0000_00ff).wrapping_sub(0x0000_0080_0000_0080) as i64
    })
}

/// Return the sums of byte times quant, of the first 16 and of the others.
#[inline(always)]
fn dots_bytes(bytes: &[i8; QK], x: &Spread<16>) -> [i64; 2] {
    // An offset of 128 makes the bytes unsigned.
    let unsigned = words(zerocopy::transmute_ref!(bytes)).map(|word| word ^ every_byte(0x80));
    let [first, second] = dots_words(unsigned, x);
    [first - 128 * x.sums[0], second - 128 * x.sums[1]]
}

/// Return 32 bytes, eight to a word.
#[inline(always)]
fn words(bytes: &[u8; QK]) -> [u64; 4] {
    let words: &[[u8; 8]; 4] = zerocopy::transmute_ref!(bytes);
    words.map(u64::from_le_bytes)
}

/// Return a word of eight times `byte`.
#[inline(always)]
fn every_byte(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// As [`dots_bytes`], of unsigned bytes.
#[inline(always)]
fn dots_words(words: [u64; 4], x: &Spread<16>) -> [i64; 2] {
    let (factors, _) = x.factors.as_chunks::<8>();
    let (words, _) = words.as_chunks::<2>();
    core::array::from_fn(|half| {
        let mut products = 0_i64;
        for (&q, factors) in words[half].iter().zip(factors[half].as_chunks::<4>().0) {
            let fields = |shift: u32| (q >> shift & 0x0000_00ff_0000_00ff) as i64;
            products = products
                .wrapping_add(fields(0).wrapping_mul(factors[0]))
                .wrapping_add(fields(8).wrapping_mul(factors[1]))
                .wrapping_add(fields(16).wrapping_mul(factors[2]))
                .wrapping_add(fields(24).wrapping_mul(factors[3]));
        }
        // As for nibbles: the upper field is at most 16 * 255 * 127, and the lower one rounds off.
        products.wrapping_add(1 << 31) >> 32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binary16_is_a_whole_number_of_units() {
        for bits in 0..=u16::MAX {
            let number = half::f16::from_bits(bits);
            if number.is_finite() {
                let expected = number.to_f64() * f64::from(1 << 24);
                assert_eq!(fixed_point(F16(bits.to_le_bytes())) as f64, expected, "{number}");
            }
        }
    }
}
