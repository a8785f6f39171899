//! Loads, stores, and sums of vectors: the only places that touch memory by address.

use core::arch::x86_64::*;

use zerocopy::little_endian::F32;

use crate::quant::{BF16, F16, QK};

/// Floats in a vector.
pub(in crate::cpu::x86_64) const LANES: usize = 8;

/// Return the sum of the lanes.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn sum(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
}

/// Return the sum of the lanes, which are whole numbers.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn sum_i32(v: __m256i) -> i32 {
    let v = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
    let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0b00_00_11_10>(v));
    _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32::<0b00_00_00_01>(v)))
}

/// Return the largest lane.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn largest(v: __m256) -> f32 {
    let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_f32(x: &[f32; LANES]) -> __m256 {
    // SAFETY: the array has the 32 bytes that are read, and any alignment will do.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_f32_le(x: &[F32; LANES]) -> __m256 {
    // SAFETY: the array has the 32 bytes that are read, and any alignment will do; x86 is little-endian.
    unsafe { _mm256_loadu_ps(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_f16_le(x: &[F16; LANES]) -> __m256 {
    // SAFETY: the array has the 16 bytes that are read, and any alignment will do; x86 is little-endian.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(x.as_ptr().cast()) })
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_bf16_le(x: &[BF16; LANES]) -> __m256 {
    // SAFETY: the array has the 16 bytes that are read, and any alignment will do; x86 is little-endian.
    let halves = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(x.as_ptr().cast()) });
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
}

/// Return two floats in every pair of lanes.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_pair(x: &[f32; 2]) -> __m256 {
    // SAFETY: the array has the 8 bytes that are read, and any alignment will do.
    _mm256_castpd_ps(_mm256_broadcastsd_pd(unsafe { _mm_load_sd(x.as_ptr().cast()) }))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_i8(x: &[i8; QK]) -> __m256i {
    // SAFETY: the array has the 32 bytes that are read, and any alignment will do.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_u8(x: &[u8; QK]) -> __m256i {
    // SAFETY: the array has the 32 bytes that are read, and any alignment will do.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_i8x16(x: &[i8; QK / 2]) -> __m128i {
    // SAFETY: the array has the 16 bytes that are read, and any alignment will do.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_u8x16(x: &[u8; QK / 2]) -> __m128i {
    // SAFETY: the array has the 16 bytes that are read, and any alignment will do.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn store_i8(out: &mut [i8; QK], v: __m256i) {
    // SAFETY: the array has the 32 bytes that are written, and any alignment will do.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), v) };
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn store_i16(out: &mut [[i16; 2]; LANES], v: __m256i) {
    // SAFETY: the array has the 32 bytes that are written, and any alignment will do.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), v) };
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn to_array(v: __m256) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    // SAFETY: the array has the 32 bytes that are written, and any alignment will do.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), v) };
    out
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn store_f32(out: &mut [f32; LANES], v: __m256) {
    // SAFETY: the array has the 32 bytes that are written, and any alignment will do.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), v) };
}

/// Write the nearest binary16s to `out`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn store_f16(out: &mut [u8; 2 * LANES], v: __m256) {
    let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
    // SAFETY: the array has the 16 bytes that are written, and any alignment will do.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), halves) };
}
