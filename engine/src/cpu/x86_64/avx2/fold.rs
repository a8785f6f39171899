//! Folding: the sums of several vectors, each as a lane of one vector.
//!
//! Horizontal adds work within the 128-bit halves of a vector, so that two halves of a sum meet in the last step only.

use core::arch::x86_64::*;

use super::vectors::to_array;

/// Return the sums of eight vectors of 16-bit numbers that are at most 8,191 in size, so that four of them fit 16 bits.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn fold_i16(vectors: [__m256i; 8]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = vectors;
    let ones = _mm256_set1_epi16(1);
    let abcd = _mm256_hadd_epi16(_mm256_hadd_epi16(a, b), _mm256_hadd_epi16(c, d));
    let efgh = _mm256_hadd_epi16(_mm256_hadd_epi16(e, f), _mm256_hadd_epi16(g, h));
    add_halves(_mm256_madd_epi16(abcd, ones), _mm256_madd_epi16(efgh, ones))
}

/// Return the sums of eight vectors of 32-bit numbers.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn fold_i32(vectors: [__m256i; 8]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = vectors;
    let abcd = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let efgh = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    add_halves(abcd, efgh)
}

/// Return the sums of four vectors of floats.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn fold_f32(vectors: [__m256; 4]) -> [f32; 4] {
    let [a, b, c, d] = vectors;
    let halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    let sums = _mm256_add_ps(halves, _mm256_permute2f128_ps::<1>(halves, halves));
    let [a, b, c, d, ..] = to_array(sums);
    [a, b, c, d]
}

/// Return the sums of the halves of eight vectors of 16-bit numbers, each half's sum below 2^15: first of `a` the low
/// half, then the high half, then those of `b`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn fold_halves_i16(vectors: [__m256i; 8]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = vectors;
    let abcd = _mm256_hadd_epi16(_mm256_hadd_epi16(a, b), _mm256_hadd_epi16(c, d));
    let efgh = _mm256_hadd_epi16(_mm256_hadd_epi16(e, f), _mm256_hadd_epi16(g, h));
    let sums = _mm256_hadd_epi16(abcd, efgh);
    let (low, high) = (_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    _mm256_set_m128i(_mm_unpackhi_epi16(low, high), _mm_unpacklo_epi16(low, high))
}

/// Return `[a, b, c, d, e, f, g, h]`, given two halves of each in the halves of `abcd` and `efgh`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn add_halves(abcd: __m256i, efgh: __m256i) -> __m256i {
    let low = _mm256_permute2x128_si256::<0x20>(abcd, efgh);
    let high = _mm256_permute2x128_si256::<0x31>(abcd, efgh);
    _mm256_add_epi32(low, high)
}
