//! The inner loops for AVX2 with FMA and F16C.
//!
//! Quantized products go eight rows at a time: the integer products of the eight rows' blocks are folded by horizontal
//! adds into one vector with a lane per row, so that the step to floats (a conversion and the scales) is paid once for
//! eight blocks.

use core::arch::x86_64::*;

use half::f16;
use zerocopy::little_endian::F32;

use crate::quant::{BlockQ4_0, BlockQ4_1, BlockQ8_0, BlockQ8_1, QK};

/// Rows that share one step to floats: the float lanes of a vector.
const ROWS: usize = 8;

/// Floats in a vector.
const LANES: usize = 8;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q4_0_q8_1(w: &[BlockQ4_0], x: &[BlockQ8_1], n_blocks: usize, out: &mut [f32]) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let products = nibble_products(w.map(|w| &w.qs), x);
        let d = scales(w.map(|w| w.d.0));
        // q - 8 is summed as q, and 8 times the sum of x is taken off: x.s is that sum.
        let acc = _mm256_add_ps(acc, _mm256_mul_ps(products, _mm256_mul_ps(d, _mm256_set1_ps(x.d))));
        _mm256_sub_ps(acc, _mm256_mul_ps(d, _mm256_set1_ps(8.0 * x.s)))
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q4_1_q8_1(w: &[BlockQ4_1], x: &[BlockQ8_1], n_blocks: usize, out: &mut [f32]) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let products = nibble_products(w.map(|w| &w.qs), x);
        let (d, m) = scales_and_minima(w);
        let acc = _mm256_add_ps(acc, _mm256_mul_ps(products, _mm256_mul_ps(d, _mm256_set1_ps(x.d))));
        _mm256_add_ps(acc, _mm256_mul_ps(m, _mm256_set1_ps(x.s)))
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q8_0_q8_1(w: &[BlockQ8_0], x: &[BlockQ8_1], n_blocks: usize, out: &mut [f32]) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let xq = load_i8(&x.qs);
        let ones = _mm256_set1_epi16(1);
        let [a, b, c, d, e, f, g, h] = w.map(|w| {
            // maddubs takes one unsigned factor: the weight's sign goes over to the activation.
            let wq = load_i8(&w.qs);
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(wq), _mm256_sign_epi8(xq, wq));
            _mm256_madd_epi16(pairs, ones)
        });
        let abcd = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        let efgh = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
        let low = _mm256_permute2x128_si256::<0x20>(abcd, efgh);
        let high = _mm256_permute2x128_si256::<0x31>(abcd, efgh);
        let products = _mm256_cvtepi32_ps(_mm256_add_epi32(low, high));
        let scale = _mm256_mul_ps(scales(w.map(|w| w.d.0)), _mm256_set1_ps(x.d));
        _mm256_add_ps(acc, _mm256_mul_ps(products, scale))
    });
}

/// Write the products of the rows `w (n_rows, n_blocks)` with `x (n_tokens, n_blocks)` to `out (n_tokens, n_rows)`;
/// `step` adds the products of eight rows' blocks with one block of activations to the eight sums.
#[target_feature(enable = "avx2,fma,f16c")]
fn mul_mat<B>(
    w: &[B],
    x: &[BlockQ8_1],
    n_blocks: usize,
    out: &mut [f32],
    step: impl Fn([&B; ROWS], &BlockQ8_1, __m256) -> __m256,
) {
    let n_rows = w.len() / n_blocks;
    for first in (0..n_rows).step_by(ROWS) {
        // Behind the last row it stands in for those that are missing; their sums are not kept.
        let rows: [&[B]; ROWS] =
            core::array::from_fn(|i| &w[(first + i).min(n_rows - 1) * n_blocks..][..n_blocks]);
        let kept = ROWS.min(n_rows - first);
        for (x, out) in x.chunks_exact(n_blocks).zip(out.chunks_exact_mut(n_rows)) {
            let mut acc = _mm256_setzero_ps();
            for (block, x) in x.iter().enumerate() {
                acc = step(rows.map(|row| &row[block]), x, acc);
            }
            out[first..first + kept].copy_from_slice(&to_array(acc)[..kept]);
        }
    }
}

/// Return, per row, the sum of nibble times activation over a block, as floats.
#[target_feature(enable = "avx2,fma,f16c")]
fn nibble_products(nibbles: [&[u8; QK / 2]; ROWS], x: &BlockQ8_1) -> __m256 {
    let xq = load_i8(&x.qs);
    let mask = _mm256_set1_epi8(0xf);
    let [a, b, c, d, e, f, g, h] = nibbles.map(|nibbles| {
        let packed = load_u8x16(nibbles);
        let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(packed), _mm_srli_epi16::<4>(packed));
        _mm256_maddubs_epi16(_mm256_and_si256(both, mask), xq)
    });
    // A pair is at most 2 * 15 * 127, and three foldings sum eight pairs: 30,480 fits 16 bits.
    let abcd = _mm256_hadd_epi16(_mm256_hadd_epi16(a, b), _mm256_hadd_epi16(c, d));
    let efgh = _mm256_hadd_epi16(_mm256_hadd_epi16(e, f), _mm256_hadd_epi16(g, h));
    let halves = _mm256_hadd_epi16(abcd, efgh);
    let low = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(halves));
    let high = _mm256_cvtepi16_epi32(_mm256_extracti128_si256::<1>(halves));
    _mm256_cvtepi32_ps(_mm256_add_epi32(low, high))
}

/// Return eight binary16 as floats.
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(d: [[u8; 2]; ROWS]) -> __m256 {
    let [a, b, c, d, e, f, g, h] = d.map(i16::from_le_bytes);
    _mm256_cvtph_ps(_mm_setr_epi16(a, b, c, d, e, f, g, h))
}

/// Return the scales and the minima of eight blocks.
#[target_feature(enable = "avx2,fma,f16c")]
fn scales_and_minima(w: [&BlockQ4_1; ROWS]) -> (__m256, __m256) {
    // Scale and minimum lie side by side: one 32-bit load fetches both.
    let [a, b, c, d, e, f, g, h] = w.map(|w| {
        let ([d0, d1], [m0, m1]) = (w.d.0, w.m.0);
        i32::from_le_bytes([d0, d1, m0, m1])
    });
    let (abcd, efgh) = (_mm_setr_epi32(a, b, c, d), _mm_setr_epi32(e, f, g, h));
    let low = _mm_set1_epi32(0xffff);
    let d = _mm_packus_epi32(_mm_and_si128(abcd, low), _mm_and_si128(efgh, low));
    let m = _mm_packus_epi32(_mm_srli_epi32::<16>(abcd), _mm_srli_epi32::<16>(efgh));
    (_mm256_cvtph_ps(d), _mm256_cvtph_ps(m))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_f32(w: &[F32], x: &[f32], n_in: usize, out: &mut [f32]) {
    let n_rows = w.len() / n_in;
    for (row, w) in w.chunks_exact(n_in).enumerate() {
        let (w_vectors, w_rest) = w.as_chunks::<LANES>();
        for (token, x) in x.chunks_exact(n_in).enumerate() {
            let (x_vectors, x_rest) = x.as_chunks::<LANES>();
            // Four sums hide the latency of the addition.
            let mut acc = [_mm256_setzero_ps(); 4];
            for (i, (w, x)) in w_vectors.iter().zip(x_vectors).enumerate() {
                acc[i % 4] = _mm256_fmadd_ps(load_f32_le(w), load_f32(x), acc[i % 4]);
            }
            let acc = _mm256_add_ps(_mm256_add_ps(acc[0], acc[1]), _mm256_add_ps(acc[2], acc[3]));
            let rest: f32 = w_rest.iter().zip(x_rest).map(|(w, x)| w.get() * x).sum();
            out[token * n_rows + row] = sum(acc) + rest;
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn quantize_q8_1(x: &[f32], out: &mut [BlockQ8_1]) {
    let (x, _) = x.as_chunks::<QK>();
    for (x, out) in x.iter().zip(out) {
        let (x, _) = x.as_chunks::<LANES>();
        let x: [__m256; QK / LANES] = core::array::from_fn(|i| load_f32(&x[i]));
        let no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(i32::MAX));
        let [a, b, c, d] = x.map(|x| _mm256_and_ps(x, no_sign));
        let max = largest(_mm256_max_ps(_mm256_max_ps(a, b), _mm256_max_ps(c, d)));
        let scale = max / 127.0;
        let inverse = _mm256_set1_ps(if scale > 0.0 { 1.0 / scale } else { 0.0 });
        let [a, b, c, d] = x.map(|x| _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse)));
        let total = _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
        // Packing works within 128-bit halves; the permutation puts the groups of four back in order.
        let packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        let packed = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        store_i8(&mut out.qs, packed);
        out.d = scale;
        // At most 32 * 127: exact as a float.
        out.s = scale * sum(_mm256_cvtepi32_ps(total));
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn attend(q: &[f32], k: &[f16], v: &[f16], scale: f32, scores: &mut [f32], out: &mut [f32]) {
    let n_embd_head = q.len();
    let (q_vectors, q_rest) = q.as_chunks::<LANES>();
    for (k, score) in k.chunks_exact(n_embd_head).zip(&mut *scores) {
        let (k_vectors, k_rest) = k.as_chunks::<LANES>();
        let mut acc = [_mm256_setzero_ps(); 2];
        for (i, (q, k)) in q_vectors.iter().zip(k_vectors).enumerate() {
            acc[i % 2] = _mm256_add_ps(acc[i % 2], _mm256_mul_ps(load_f32(q), load_f16(k)));
        }
        let rest: f32 = q_rest.iter().zip(k_rest).map(|(q, k)| q * k.to_f32()).sum();
        *score = scale * (sum(_mm256_add_ps(acc[0], acc[1])) + rest);
    }
    softmax(scores);
    out.fill(0.0);
    let (out_vectors, out_rest) = out.as_chunks_mut::<LANES>();
    for (v, &score) in v.chunks_exact(n_embd_head).zip(&*scores) {
        let (v_vectors, v_rest) = v.as_chunks::<LANES>();
        for (out, v) in out_vectors.iter_mut().zip(v_vectors) {
            *out = to_array(_mm256_add_ps(load_f32(out), _mm256_mul_ps(_mm256_set1_ps(score), load_f16(v))));
        }
        for (out, v) in out_rest.iter_mut().zip(v_rest) {
            *out += score * v.to_f32();
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn softmax(x: &mut [f32]) {
    let (vectors, rest) = x.as_chunks_mut::<LANES>();
    // The largest is taken off first, so that no exponential overflows.
    let mut max = _mm256_set1_ps(f32::NEG_INFINITY);
    for x in &*vectors {
        max = _mm256_max_ps(max, load_f32(x));
    }
    let max = rest.iter().copied().fold(largest(max), f32::max);
    let mut total = _mm256_setzero_ps();
    for x in &mut *vectors {
        let e = exp(_mm256_sub_ps(load_f32(x), _mm256_set1_ps(max)));
        total = _mm256_add_ps(total, e);
        *x = to_array(e);
    }
    let mut total = sum(total);
    for x in &mut *rest {
        *x = libm::expf(*x - max);
        total += *x;
    }
    let inverse = 1.0 / total;
    for x in x {
        *x *= inverse;
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn swiglu(gate: &mut [f32], up: &[f32]) {
    let (gate_vectors, gate_rest) = gate.as_chunks_mut::<LANES>();
    let (up_vectors, up_rest) = up.as_chunks::<LANES>();
    let one = _mm256_set1_ps(1.0);
    for (gate, up) in gate_vectors.iter_mut().zip(up_vectors) {
        let x = load_f32(gate);
        let divisor = _mm256_add_ps(one, exp(_mm256_sub_ps(_mm256_setzero_ps(), x)));
        *gate = to_array(_mm256_mul_ps(_mm256_div_ps(x, divisor), load_f32(up)));
    }
    for (gate, up) in gate_rest.iter_mut().zip(up_rest) {
        *gate *= up / (1.0 + libm::expf(-*gate));
    }
}

/// Return `exp(x)` to within 2 units in the last place, for results that are normal floats; beyond, the nearest of those.
///
/// `exp(x) = 2^n * exp(r)` with `n = round(x / ln 2)` and `|r| <= ln 2 / 2`, where `exp(r)` is its Taylor polynomial of degree 7:
/// the first term left out is below `0.347^8 / 8! < 2^-27`.
#[target_feature(enable = "avx2,fma,f16c")]
fn exp(x: __m256) -> __m256 {
    // ln 2 in two parts: the first has so few bits that its product with n is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = _mm256_max_ps(_mm256_min_ps(x, _mm256_set1_ps(88.37)), _mm256_set1_ps(-87.33));
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
        x,
        _mm256_set1_ps(core::f32::consts::LOG2_E),
    ));
    let r = _mm256_sub_ps(x, _mm256_mul_ps(n, _mm256_set1_ps(LN_2_HIGH)));
    let r = _mm256_sub_ps(r, _mm256_mul_ps(n, _mm256_set1_ps(LN_2_LOW)));
    let mut e = _mm256_set1_ps(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        e = _mm256_add_ps(_mm256_mul_ps(e, r), _mm256_set1_ps(coefficient));
    }
    let exponent = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)));
    _mm256_mul_ps(e, _mm256_castsi256_ps(exponent))
}

/// Return the sum of the lanes.
#[target_feature(enable = "avx2,fma,f16c")]
fn sum(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
}

/// Return the largest lane.
#[target_feature(enable = "avx2,fma,f16c")]
fn largest(v: __m256) -> f32 {
    let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn load_f32(x: &[f32; LANES]) -> __m256 {
    // SAFETY: the array has the 32 bytes that are read, and any alignment will do.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn load_f32_le(x: &[F32; LANES]) -> __m256 {
    // SAFETY: the array has the 32 bytes that are read, and any alignment will do; x86 is little-endian.
    unsafe { _mm256_loadu_ps(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn load_f16(x: &[f16; LANES]) -> __m256 {
    // SAFETY: the array has the 16 bytes that are read, and any alignment will do.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(x.as_ptr().cast()) })
}

#[target_feature(enable = "avx2,fma,f16c")]
fn load_i8(x: &[i8; QK]) -> __m256i {
    // SAFETY: the array has the 32 bytes that are read, and any alignment will do.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn load_u8x16(x: &[u8; QK / 2]) -> __m128i {
    // SAFETY: the array has the 16 bytes that are read, and any alignment will do.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn store_i8(out: &mut [i8; QK], v: __m256i) {
    // SAFETY: the array has the 32 bytes that are written, and any alignment will do.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), v) };
}

#[target_feature(enable = "avx2,fma,f16c")]
fn to_array(v: __m256) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    // SAFETY: the array has the 32 bytes that are written, and any alignment will do.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), v) };
    out
}
