//! Quantized products: several to a 64-bit register (SWAR).
//!
//! - One 64-bit product is a dot product: `(a + b * 2^k) * (y + x * 2^k)` has `a * x + b * y` in the field from bit `k` on, and
//!   what would lie above does not exist. Nibbles go four to a register; a byte is two of them;
//! - `d * sum(q * x) + m * sum(x)` is exact in 64 bits, and in 128 so is its product with the scale of its activations, a multiple of
//!   2^-32 of the largest. The lowest bits are cut off, so that the sum over the blocks takes 64.

use core::array;
use core::hint::black_box;
use core::ops::Range;

use zerocopy::IntoBytes;

use super::align;
use super::held::Held;
use super::numbers::{fixed_point, fixed_point_f32, fixed_points};
use crate::cpu::{LINE_BYTES, generic};
use crate::quant::{
    Activations, Block, BlockIQ4_NL, BlockQ2_K, BlockQ3_K, BlockQ4_0, BlockQ4_1, BlockQ4_K, BlockQ5_0,
    BlockQ5_1, BlockQ5_K, BlockQ6_K, BlockQ8_0, BlockQ8_1, F16, GroupBlock, Groups, QK, Quants, TensorType,
    blocks,
};

/// Blocks of activations that are spread into fields at a time.
const N_SPREADS: usize = 48;

/// Rows whose sums are kept at a time, while block after block is added to all of them.
const N_ROWS: usize = 64;

/// Bits that the product of a block loses, so that the sum over the blocks takes 64.
const CUT_BITS: u32 = 28;

/// Where the uppermost field of a product begins, which has the sum of all products of two fields.
const FIELD: u32 = 48;

/// Half a unit of that field: the lower fields together are less to either side, so that rounding takes them off.
const HALF: i64 = 1 << (FIELD - 1);

/// A block of activations, spread for products.
#[derive(Clone, Copy, Default)]
struct Spread {
    /// The quants in fields of 16 bits: of each eight, every other one from the first on, then every other one from the second.
    factors: [i64; 8],
    /// What makes sums of nibble times quant sums of nibble less 8 times quant, and rounds.
    offset: i64,
    /// Sums of the quants, of the first 16 and of the others.
    sums: [i64; 2],
    /// The block's scale as a multiple of 2^-32 of the largest.
    scale: i64,
}

/// As [`crate::cpu::Kernels::mul_mat`]; weights that are floats go to the portable loops, which vectors of floats are no faster
/// than.
pub(super) fn mul_mat(kind: TensorType, w: &[u8], x: Activations<'_>, n_in: usize, out: &mut [&mut [f32]]) {
    match kind {
        TensorType::F32 | TensorType::F16 | TensorType::BF16 => generic::mul_mat(kind, w, x, n_in, out),
        TensorType::Q4_0 => mul_mat_of(w, x, n_in, out, HeldSpread::new, |w: &BlockQ4_0, x| {
            x.scaled(fixed_point(w.d) * x.dot_nibbles(&w.qs))
        }),
        TensorType::Q4_1 => mul_mat_of(w, x, n_in, out, HeldSpread::new, |w: &BlockQ4_1, x| {
            let [d, m] = fixed_points([w.d, w.m]);
            x.scaled(d * x.dot_nibbles(&w.qs) + x.sum.times(8 * d + m))
        }),
        TensorType::Q8_0 => mul_mat_of(w, x, n_in, out, HeldSpread::new, |w: &BlockQ8_0, x| {
            x.scaled(fixed_point(w.d) * x.dot_bytes(&w.qs))
        }),
        TensorType::Q5_0 => mul_mat_unpacked::<BlockQ5_0, _, _>(w, x, n_in, out),
        TensorType::Q5_1 => mul_mat_unpacked::<BlockQ5_1, _, _>(w, x, n_in, out),
        TensorType::IQ4_NL => mul_mat_unpacked::<BlockIQ4_NL, _, _>(w, x, n_in, out),
        TensorType::Q2_K => mul_mat_unpacked::<BlockQ2_K, _, _>(w, x, n_in, out),
        TensorType::Q3_K => mul_mat_unpacked::<BlockQ3_K, _, _>(w, x, n_in, out),
        TensorType::Q4_K => mul_mat_of(w, x, n_in, out, |x| *x, dot_q4_k),
        TensorType::Q5_K => mul_mat_unpacked::<BlockQ5_K, _, _>(w, x, n_in, out),
        TensorType::Q6_K => mul_mat_of(w, x, n_in, out, |x| *x, dot_q6_k),
    }
}

/// As [`crate::cpu::Kernels::mul_mat_groups`].
pub(super) fn mul_mat_groups(w: Groups<'_>, x: Activations<'_>, n_in: usize, out: &mut [&mut [f32]]) {
    let n_blocks = n_in / QK;
    let bytes = |row, blocks: Range<usize>| {
        w.quants()[row * n_blocks + blocks.start..row * n_blocks + blocks.end].as_bytes()
    };
    let column = |rows: Range<usize>, block| rows.map(move |row| w.block(row * n_blocks + block));
    let hold = |x: &[Spread; 1]| (HeldSpread::new(x), x[0].scale);
    mul_mat_columns(bytes, column, x, n_in, out, hold, |w: GroupBlock<'_>, (x, scale)| {
        // Below 2^63 * 32 * 127 * 128 * 2^32 < 2^114; what the shift takes off is nothing next to the activations' roundings.
        let product = i128::from(fixed_point_f32(w.d)) * i128::from(x.dot_bytes(w.qs) * scale);
        (product >> (CUT_BITS + 47 - 24)) as i64
    });
}

/// Return the product of a super-block, whose rows of bytes hold two blocks each.
#[inline(always)]
fn dot_q4_k(w: &BlockQ4_K, x: &[Spread; 8]) -> i64 {
    let [scales, offsets] = w.scales.unpack();
    // Both sums are below 256 * 63 * 15 * 127 * 2^32 < 2^57.
    let (mut products, mut sums) = (0, 0);
    for (row, x) in x.iter().enumerate() {
        let [first, second] = dots_nibbles(words(&w.qs[row / 2]).map(|word| word >> (4 * (row % 2))), x);
        products += i64::from(scales[row]) * (first + second) * x.scale;
        sums += i64::from(offsets[row]) * x.sum() * x.scale;
    }
    scaled_super_block([w.d, w.m], products, sums)
}

/// Return the product of a super-block, whose weights' lower four bits and upper two lie apart.
#[inline(always)]
fn dot_q6_k(w: &BlockQ6_K, x: &[Spread; 8]) -> i64 {
    // Below 256 * 128 * 63 * 127 * 2^32 < 2^60.
    let mut products = 0;
    for (row, (x, scales)) in x.iter().zip(w.scales.as_chunks::<2>().0).enumerate() {
        let (half, i) = (row / 4, row % 4);
        let low = dots_nibbles(words(&w.ql[half][i % 2]).map(|word| word >> (4 * (i / 2))), x);
        let high = dots_nibbles(words(&w.qh[half]).map(|word| word >> (2 * i) & every_byte(3)), x);
        let [first, second] = array::from_fn(|half| low[half] + 16 * high[half] - 32 * x.sums[half]);
        products += (i64::from(scales[0]) * first + i64::from(scales[1]) * second) * x.scale;
    }
    scaled_super_block([w.d, F16::default()], products, 0)
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
    mul_mat_of(
        w,
        x,
        n_in,
        out,
        |x| *x,
        |w: &B, x: &[Spread; N]| {
            let w = w.unpack();
            // With 2^-32 of the largest scale as their unit, both sums are below 256 * 127 * 128 * 128 * 2^32 < 2^62.
            let (mut products, mut offsets) = (0, 0);
            for (row, (qs, x)) in w.qs.iter().zip(x).enumerate() {
                let [first, second] = dots_bytes(qs, x);
                let groups = row * GROUPS / N;
                let (scale, offset) =
                    (|i| i64::from(w.scales[groups + i]), |i| i64::from(w.offsets[groups + i]));
                if GROUPS == N {
                    products += scale(0) * (first + second) * x.scale;
                    offsets += offset(0) * x.sum() * x.scale;
                } else {
                    products += (scale(0) * first + scale(1) * second) * x.scale;
                    offsets += (offset(0) * x.sums[0] + offset(1) * x.sums[1]) * x.scale;
                }
            }
            scaled_super_block([w.d, w.m], products, offsets)
        },
    );
}

/// Return `d * products - m * offsets`, whose sums have the scales of their activations.
#[inline(always)]
fn scaled_super_block(scales: [F16; 2], products: i64, offsets: i64) -> i64 {
    let [d, m] = fixed_points(scales).map(i128::from);
    ((d * i128::from(products) - m * i128::from(offsets)) >> CUT_BITS) as i64
}

/// Write the products of the rows `w (n_rows, n_in)` with `x (n_tokens, n_in)` to `out (n_tokens)(n_rows)`; for `hold` and
/// `dot` see [`mul_mat_columns`].
fn mul_mat_of<B: Block, H, const N: usize>(
    w: &[u8],
    x: Activations<'_>,
    n_in: usize,
    out: &mut [&mut [f32]],
    hold: impl Fn(&[Spread; N]) -> H,
    dot: impl Fn(&B, &H) -> i64,
) {
    let n_blocks = n_in / (N * QK);
    let bytes = |row, blocks: Range<usize>| {
        &w[(row * n_blocks + blocks.start) * size_of::<B>()..(row * n_blocks + blocks.end) * size_of::<B>()]
    };
    let blocks = blocks::<B>(w);
    let column = |rows: Range<usize>, block: usize| {
        blocks[rows.start * n_blocks..rows.end * n_blocks].chunks_exact(n_blocks).map(move |row| &row[block])
    };
    mul_mat_columns(bytes, column, x, n_in, out, hold, dot);
}

/// Write the products of rows with `x (n_tokens, n_in)` to `out (n_tokens)(n_rows)`: `bytes` returns some blocks of a row, `column`
/// the block of that number in each of some rows, `hold` what meets a column, of `N` blocks of activations, and `dot` the
/// product of a block with that, in units of 2^`CUT_BITS` times 2^-24 times those of the activations' scales.
fn mul_mat_columns<'a, B, I: Iterator<Item = B>, H, const N: usize>(
    bytes: impl Fn(usize, Range<usize>) -> &'a [u8],
    column: impl Fn(Range<usize>, usize) -> I,
    x: Activations<'_>,
    n_in: usize,
    out: &mut [&mut [f32]],
    hold: impl Fn(&[Spread; N]) -> H,
    dot: impl Fn(B, &H) -> i64,
) {
    let mut spreads = [Spread::default(); N_SPREADS];
    for (x, out) in x.quants.chunks_exact(n_in / QK).zip(out) {
        out.fill(0.0);
        let largest = x.iter().fold(0.0, |largest, x| x.d.max(largest));
        let unit = largest / (1_u64 << 32) as f32;
        // A row of zeros has no scale, and its products are zeros already.
        if unit <= 0.0 {
            continue;
        }
        for (part, x) in x.chunks(N_SPREADS).enumerate() {
            for (x, spread) in x.iter().zip(&mut spreads) {
                *spread = Spread::new(x, unit);
            }
            let (spreads, _) = spreads[..x.len()].as_chunks::<N>();
            let blocks = part * (N_SPREADS / N)..part * (N_SPREADS / N) + spreads.len();
            for (i, out) in out.chunks_mut(N_ROWS).enumerate() {
                let rows = i * N_ROWS..i * N_ROWS + out.len();
                for row in rows.clone() {
                    fetch(bytes(row, blocks.clone()));
                }
                let mut sums = [0_i64; N_ROWS];
                for (block, x) in blocks.clone().zip(spreads) {
                    let x = hold(x);
                    align();
                    for (w, sum) in column(rows.clone(), block).zip(&mut sums) {
                        let product = dot(w, &x);
                        // What does not fit, no model has: its scales would be hundreds.
                        *sum = sum.wrapping_add(product);
                    }
                }
                for (out, &sum) in out.iter_mut().zip(&sums) {
                    *out += sum as f32 * (unit * (1_u64 << (CUT_BITS - 24)) as f32);
                }
            }
        }
    }
}

/// Read something of each line of `bytes`.
fn fetch(bytes: &[u8]) {
    for &byte in bytes.iter().step_by(LINE_BYTES) {
        black_box(byte);
    }
}

impl Spread {
    /// Return `x`, whose scale is at most 2^32 units.
    #[inline(always)]
    fn new(x: &BlockQ8_1, unit: f32) -> Self {
        // The first quant goes to the highest field. With an offset of 128 no field takes from the one above it until all are there.
        let words = words(zerocopy::transmute_ref!(&x.qs)).map(|word| word.swap_bytes() ^ every_byte(0x80));
        let factors = array::from_fn(|factor| {
            let word = words[factor / 2] >> (8 - factor % 2 * 8);
            (word & 0x00ff_00ff_00ff_00ff).wrapping_sub(0x0080_0080_0080_0080) as i64
        });
        let sum = factors.iter().fold(0_i64, |sum, factor| sum.wrapping_add(*factor));
        let offset = HALF.wrapping_sub(sum.wrapping_mul(0x0008_0008_0008_0008));
        Self { factors, offset, sums: x.sums.map(i64::from), scale: (x.d / unit) as i64 }
    }

    /// Return the sum of the quants.
    #[inline(always)]
    fn sum(&self) -> i64 {
        self.sums[0] + self.sums[1]
    }
}

/// A block of activations in registers.
struct HeldSpread {
    factors: [Held; 8],
    offset: Held,
    sum: Held,
    /// As [`Spread::scale`], times 2^30.
    scale: Held,
}

impl HeldSpread {
    #[inline(always)]
    fn new([x]: &[Spread; 1]) -> Self {
        Self {
            factors: x.factors.map(Held::new),
            offset: Held::new(x.offset),
            sum: Held::new(x.sum()),
            scale: Held::new(x.scale << 30),
        }
    }

    /// Return `sum`, a sum of products with the quants, times their scale.
    #[inline(always)]
    fn scaled(&self, sum: i64) -> i64 {
        const { assert!(CUT_BITS + 30 + 6 == 64) };
        self.scale.times_high(sum << 6)
    }

    /// Return the sum of nibble less 8 times quant: the bytes' low nibbles meet the first 16 quants, the high ones the others.
    #[inline(always)]
    fn dot_nibbles(&self, nibbles: &[u8; QK / 2]) -> i64 {
        // At most 32 * 8 * 127, which fits the uppermost field.
        let mut sum = 0_i64;
        for (i, word) in nibbles.as_chunks().0.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            for (shift, factor) in [(0, 2 * i), (8, 2 * i + 1), (4, 2 * i + 4), (12, 2 * i + 5)] {
                sum = sum.wrapping_add(self.factors[factor].times(every_other_nibble(word >> shift)));
            }
        }
        self.offset.plus(sum) >> FIELD
    }

    /// Return the sum of byte times quant: a byte is two nibbles.
    #[inline(always)]
    fn dot_bytes(&self, bytes: &[i8; QK]) -> i64 {
        let (mut low, mut high) = (0_i64, 0_i64);
        let words = words(zerocopy::transmute_ref!(bytes));
        for (word, factors) in words.iter().zip(self.factors.as_chunks::<2>().0) {
            // An offset of 128 makes the bytes unsigned, and the high nibble less 8 what it was.
            let word = word ^ every_byte(0x80);
            for (shift, factor) in [(0, factors[0]), (8, factors[1])] {
                low = low.wrapping_add(factor.times(every_other_nibble(word >> shift)));
                high = high.wrapping_add(factor.times(every_other_nibble(word >> (shift + 4))));
            }
        }
        let [low, high] = [low, high].map(|sum| self.offset.plus(sum) >> FIELD);
        low + 16 * high + self.sum.times(8)
    }
}

/// Return the lower nibble of every other byte.
#[inline(always)]
fn every_other_nibble(word: u64) -> i64 {
    (word & 0x000f_000f_000f_000f) as i64
}

/// Return the sums of lower nibble times quant, of the first 16 bytes and of the others.
#[inline(always)]
fn dots_nibbles(words: [u64; 4], x: &Spread) -> [i64; 2] {
    let (words, _) = words.as_chunks::<2>();
    let (factors, _) = x.factors.as_chunks::<4>();
    array::from_fn(|half| {
        // At most 16 * 15 * 127.
        let mut sum = HALF;
        for (word, factors) in words[half].iter().zip(factors[half].as_chunks::<2>().0) {
            for (shift, &factor) in [(0, &factors[0]), (8, &factors[1])] {
                sum = sum.wrapping_add(every_other_nibble(word >> shift).wrapping_mul(factor));
            }
        }
        sum >> FIELD
    })
}

/// Return the sums of byte times quant, of the first 16 and of the others.
#[inline(always)]
fn dots_bytes(bytes: &[i8; QK], x: &Spread) -> [i64; 2] {
    let words = words(zerocopy::transmute_ref!(bytes)).map(|word| word ^ every_byte(0x80));
    let (low, high) = (dots_nibbles(words, x), dots_nibbles(words.map(|word| word >> 4), x));
    array::from_fn(|half| low[half] + 16 * high[half] - 128 * x.sums[half])
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
