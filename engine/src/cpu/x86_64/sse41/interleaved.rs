//! Products of interleaved rows, a quarter of a group at a time, as [`super::super::avx2`] has them for half of one.

use core::arch::x86_64::*;
use core::array;
use core::ops::Range;

use super::super::woven::{self, Destination, Steps, Woven};
use super::unpack::{
    LANES, Unpacked, UnpackedQ6, unpack_q4_0, unpack_q4_1, unpack_q4_k, unpack_q6_k, unpack_q8_0,
};
use crate::cpu::generic;
use crate::quant::{Activations, BlockQ8_1, ROWS, TensorType};

/// Return whether there are products for interleaved rows of `kind`.
pub(in crate::cpu::x86_64) fn interleaves(kind: TensorType) -> bool {
    use TensorType::*;
    matches!(kind, Q8_0 | Q4_0 | Q4_1 | Q4_K | Q6_K)
}

/// As [`crate::cpu::Kernels::mul_mat_interleaved`], for whole groups.
#[target_feature(enable = "ssse3,sse4.1")]
pub(in crate::cpu::x86_64) fn mul_mat_interleaved(
    kind: TensorType,
    w: &[u8],
    activations: Activations<'_>,
    n_in: usize,
    rows: Range<usize>,
    out: &mut [&mut [f32]],
) {
    use TensorType::*;
    let to = Destination { n_in, rows, out };
    let x = activations.quants;
    match kind {
        Q8_0 => mul_mat::<_, _, 1>(w, x, to, |w, _, part| unpack_q8_0(w, part), |w, x| signed(w, x)),
        Q4_0 => mul_mat::<_, _, 1>(w, x, to, |w, _, part| unpack_q4_0(w, part), |w, x| unsigned(w, x)),
        Q4_1 => mul_mat::<_, _, 1>(w, x, to, |w, _, part| unpack_q4_1(w, part), |w, x| unsigned(w, x)),
        Q4_K => mul_mat::<_, _, 8>(w, x, to, |w, i, part| unpack_q4_k(w, i, part), |w, x| unsigned(w, x)),
        Q6_K => mul_mat::<_, _, 8>(w, x, to, |w, i, part| unpack_q6_k(w, i, part), |w, x| scaled(w, x)),
        _ => generic::mul_mat_interleaved(kind, w, activations, n_in, to.rows, to.out),
    }
}

/// As [`woven::mul_mat`]; `dot` returns the products of a block, to be added to those of the others.
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn mul_mat<B: Woven, W: Copy, const N: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize, usize) -> W,
    dot: impl Fn(&W, &BlockQ8_1) -> __m128,
) {
    let add = |w: &W, x: &BlockQ8_1, sums| _mm_add_ps(sums, dot(w, x));
    let steps = Steps { zero: _mm_setzero_ps(), unpack, add, to_array: |sums| to_array(sums) };
    woven::mul_mat::<_, _, _, N, LANES, { ROWS / LANES }>(w, x, to, &steps);
}

/// Return the products with weights of up to 4 bits: all eight of a lane's pairs are at most 8 * 2 * 15 * 127 = 30,480.
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn unsigned(w: &Unpacked, x: &BlockQ8_1) -> __m128 {
    let x_quants = fours(x);
    let pairs = sum_epi16::<8>(array::from_fn(|i| _mm_maddubs_epi16(w.q[i], x_quants[i])));
    let products = _mm_cvtepi32_ps(_mm_madd_epi16(pairs, _mm_set1_epi16(1)));
    let scaled = _mm_mul_ps(products, _mm_mul_ps(w.d, _mm_set1_ps(x.d)));
    _mm_add_ps(scaled, _mm_mul_ps(w.m, _mm_set1_ps(x.s)))
}

/// Return the products with signed weights, which have no minimum.
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn signed(w: &Unpacked, x: &BlockQ8_1) -> __m128 {
    let (x_quants, ones) = (fours(x), _mm_set1_epi16(1));
    let mut products = _mm_setzero_si128();
    for (w, x) in w.q.into_iter().zip(x_quants) {
        products = _mm_add_epi32(products, _mm_madd_epi16(signed_pairs(w, x), ones));
    }
    _mm_mul_ps(_mm_cvtepi32_ps(products), _mm_mul_ps(w.d, _mm_set1_ps(x.d)))
}

/// Return the products with weights of -32 to 31: four of a lane's pairs are at most 4 * 2 * 32 * 127 = 32,512.
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn scaled(w: &UnpackedQ6, x: &BlockQ8_1) -> __m128 {
    let x_quants = fours(x);
    let [a, b, c, d, e, f, g, h] = array::from_fn(|i| signed_pairs(w.q[i], x_quants[i]));
    let first = _mm_madd_epi16(sum_epi16([a, b, c, d]), w.scales[0]);
    let second = _mm_madd_epi16(sum_epi16([e, f, g, h]), w.scales[1]);
    _mm_mul_ps(_mm_cvtepi32_ps(_mm_add_epi32(first, second)), _mm_mul_ps(w.d, _mm_set1_ps(x.d)))
}

/// Return the sums of pairs of products of signed bytes; none of `x` is -128.
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn signed_pairs(w: __m128i, x: __m128i) -> __m128i {
    // PMADDUBSW takes one unsigned factor: the weight's sign goes over to the activation.
    _mm_maddubs_epi16(_mm_abs_epi8(w), _mm_sign_epi8(x, w))
}

#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn sum_epi16<const N: usize>(vectors: [__m128i; N]) -> __m128i {
    vectors.into_iter().fold(_mm_setzero_si128(), |sum, v| _mm_add_epi16(sum, v))
}

/// Return the activations, four at a time in all lanes.
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn fours(x: &BlockQ8_1) -> [__m128i; 8] {
    let (fours, _) = x.qs.as_chunks::<4>();
    array::from_fn(|i| _mm_set1_epi32(i32::from_le_bytes(fours[i].map(|q| q as u8))))
}

#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn to_array(v: __m128) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    // SAFETY: the array has the 16 bytes that are written, and any alignment will do.
    unsafe { _mm_storeu_ps(out.as_mut_ptr(), v) };
    out
}
