//! Products of blocks of 32 weights, eight rows at a time: a lane per row.

use core::arch::x86_64::*;

use super::fold::{fold_i16, fold_i32};
use super::vectors::{LANES, load_i8, load_u8x16, to_array};
use crate::quant::{
    BlockIQ4_NL, BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0, BlockQ8_1, F16, Groups,
    IQ4_NL_VALUES, QK,
};

/// Rows that share one step to floats.
const ROWS: usize = LANES;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q8_0_q8_1(w: &[BlockQ8_0], x: &[BlockQ8_1], n_blocks: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let xq = load_i8(&x.qs);
        let products = fold_i32(w.map(|w| signed_products(load_i8(&w.qs), xq)));
        add_scaled(acc, products, scales(w.map(|w| w.d)), x)
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_groups_q8_1(w: Groups<'_>, x: &[BlockQ8_1], n_blocks: usize, out: &mut [&mut [f32]]) {
    mul_mat_at(w.quants(), x, n_blocks, out, |qs, at, x, acc| {
        let xq = load_i8(&x.qs);
        let products = fold_i32(qs.map(|qs| signed_products(load_i8(qs), xq)));
        let [a, b, c, d, e, f, g, h] = at.map(|at| w.scale(at));
        add_scaled(acc, products, _mm256_setr_ps(a, b, c, d, e, f, g, h), x)
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_iq4_nl_q8_1(
    w: &[BlockIQ4_NL],
    x: &[BlockQ8_1],
    n_blocks: usize,
    out: &mut [&mut [f32]],
) {
    let values = _mm256_broadcastsi128_si256(load_u8x16(&IQ4_NL_VALUES.map(|value| value as u8)));
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let xq = load_i8(&x.qs);
        let weights = w.map(|w| _mm256_shuffle_epi8(values, nibbles(&w.qs)));
        let products = fold_i32(weights.map(|wq| signed_products(wq, xq)));
        add_scaled(acc, products, scales(w.map(|w| w.d)), x)
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q4_0_q8_1(w: &[BlockQ4_0], x: &[BlockQ8_1], n_blocks: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let xq = load_i8(&x.qs);
        let products = fold_i16(w.map(|w| _mm256_maddubs_epi16(nibbles(&w.qs), xq)));
        let d = scales(w.map(|w| w.d));
        // q - 8 is summed as q, and 8 times the sum of x is taken off: x.s is that sum.
        let acc = add_scaled(acc, products, d, x);
        _mm256_fnmadd_ps(d, _mm256_set1_ps(8.0 * x.s), acc)
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q4_1_q8_1(w: &[BlockQ4_1], x: &[BlockQ8_1], n_blocks: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let xq = load_i8(&x.qs);
        let products = fold_i16(w.map(|w| _mm256_maddubs_epi16(nibbles(&w.qs), xq)));
        let (d, m) = scales_and_minima(w.map(|w| (w.d, w.m)));
        let acc = add_scaled(acc, products, d, x);
        _mm256_fmadd_ps(m, _mm256_set1_ps(x.s), acc)
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q5_0_q8_1(w: &[BlockQ5_0], x: &[BlockQ8_1], n_blocks: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let xq = load_i8(&x.qs);
        let weights = w.map(|w| _mm256_or_si256(nibbles(&w.qs), fifth_bits(w.qh)));
        let products = fold_i16(weights.map(|wq| _mm256_maddubs_epi16(wq, xq)));
        let d = scales(w.map(|w| w.d));
        // As for Q4_0.
        let acc = add_scaled(acc, products, d, x);
        _mm256_fnmadd_ps(d, _mm256_set1_ps(16.0 * x.s), acc)
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q5_1_q8_1(w: &[BlockQ5_1], x: &[BlockQ8_1], n_blocks: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let xq = load_i8(&x.qs);
        let weights = w.map(|w| _mm256_or_si256(nibbles(&w.qs), fifth_bits(w.qh)));
        let products = fold_i16(weights.map(|wq| _mm256_maddubs_epi16(wq, xq)));
        let (d, m) = scales_and_minima(w.map(|w| (w.d, w.m)));
        let acc = add_scaled(acc, products, d, x);
        _mm256_fmadd_ps(m, _mm256_set1_ps(x.s), acc)
    });
}

/// Write the products of the rows `w (n_rows, n_blocks)` with `x (n_tokens, n_blocks)` to `out (n_tokens)(n_rows)`;
/// `step` adds the products of eight rows' blocks with one block of activations to the eight sums.
#[target_feature(enable = "avx2,fma,f16c")]
fn mul_mat<B>(
    w: &[B],
    x: &[BlockQ8_1],
    n_blocks: usize,
    out: &mut [&mut [f32]],
    step: impl Fn([&B; ROWS], &BlockQ8_1, __m256) -> __m256,
) {
    mul_mat_at(w, x, n_blocks, out, |w, _, x, acc| step(w, x, acc));
}

/// As [`mul_mat`], for a `step` that is told at which places of `w` the blocks are, too.
#[target_feature(enable = "avx2,fma,f16c")]
fn mul_mat_at<B>(
    w: &[B],
    x: &[BlockQ8_1],
    n_blocks: usize,
    out: &mut [&mut [f32]],
    step: impl Fn([&B; ROWS], [usize; ROWS], &BlockQ8_1, __m256) -> __m256,
) {
    let n_rows = w.len() / n_blocks;
    for first in (0..n_rows).step_by(ROWS) {
        // Behind the last row it stands in for those that are missing; their sums are not kept.
        let starts: [usize; ROWS] = core::array::from_fn(|i| (first + i).min(n_rows - 1) * n_blocks);
        let rows = starts.map(|start| &w[start..][..n_blocks]);
        let kept = ROWS.min(n_rows - first);
        for (x, out) in x.chunks_exact(n_blocks).zip(out.iter_mut()) {
            let mut acc = _mm256_setzero_ps();
            for (block, x) in x.iter().enumerate() {
                acc = step(rows.map(|row| &row[block]), starts.map(|start| start + block), x, acc);
            }
            out[first..first + kept].copy_from_slice(&to_array(acc)[..kept]);
        }
    }
}

/// Return `acc + products * d * x.d`.
#[target_feature(enable = "avx2,fma,f16c")]
fn add_scaled(acc: __m256, products: __m256i, d: __m256, x: &BlockQ8_1) -> __m256 {
    _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_mul_ps(d, _mm256_set1_ps(x.d)), acc)
}

/// Return the products of signed bytes, four to a lane; none of `x` is -128.
#[target_feature(enable = "avx2,fma,f16c")]
fn signed_products(w: __m256i, x: __m256i) -> __m256i {
    // maddubs takes one unsigned factor: the weight's sign goes over to the activation.
    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

/// Return the nibbles as bytes: the low ones in the low half. With activations, pairs of products are at most
/// 2 * 15 * 127 = 3,810, with a fifth bit 2 * 31 * 127 = 7,874.
#[target_feature(enable = "avx2,fma,f16c")]
fn nibbles(packed: &[u8; QK / 2]) -> __m256i {
    let packed = load_u8x16(packed);
    let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(packed), _mm_srli_epi16::<4>(packed));
    _mm256_and_si256(both, _mm256_set1_epi8(0xf))
}

/// Return 16 in each byte whose bit is set.
#[target_feature(enable = "avx2,fma,f16c")]
fn fifth_bits(bits: [u8; QK / 8]) -> __m256i {
    // Byte i / 8 of the bits goes to byte i, where its bit i % 8 is looked at.
    let bytes = _mm256_shuffle_epi8(
        _mm256_set1_epi32(i32::from_le_bytes(bits)),
        _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303),
    );
    let bit = _mm256_set1_epi64x(i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]));
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
    _mm256_and_si256(set, _mm256_set1_epi8(16))
}

/// Return eight binary16 as floats.
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(d: [F16; ROWS]) -> __m256 {
    let [a, b, c, d, e, f, g, h] = d.map(|d| i16::from_le_bytes(d.0));
    _mm256_cvtph_ps(_mm_setr_epi16(a, b, c, d, e, f, g, h))
}

/// Return the scales and the minima of eight blocks.
#[target_feature(enable = "avx2,fma,f16c")]
fn scales_and_minima(pairs: [(F16, F16); ROWS]) -> (__m256, __m256) {
    // Scale and minimum lie side by side: one 32-bit load fetches both.
    let [a, b, c, d, e, f, g, h] =
        pairs.map(|(F16([d0, d1]), F16([m0, m1]))| i32::from_le_bytes([d0, d1, m0, m1]));
    let (abcd, efgh) = (_mm_setr_epi32(a, b, c, d), _mm_setr_epi32(e, f, g, h));
    let low = _mm_set1_epi32(0xffff);
    let d = _mm_packus_epi32(_mm_and_si128(abcd, low), _mm_and_si128(efgh, low));
    let m = _mm_packus_epi32(_mm_srli_epi32::<16>(abcd), _mm_srli_epi32::<16>(efgh));
    (_mm256_cvtph_ps(d), _mm256_cvtph_ps(m))
}
