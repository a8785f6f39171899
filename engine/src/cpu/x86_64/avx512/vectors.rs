//! Loads and stores of [`super::floats`] and [`super::bf16`]: the only places there that touch memory by address.

use core::arch::x86_64::*;

use zerocopy::little_endian::F32;

use crate::quant::{BF16, F16};

/// Floats in a vector.
pub(super) const LANES: usize = 16;

#[target_feature(enable = "avx512f")]
pub(super) fn load_f32(x: &[f32; LANES]) -> __m512 {
    // SAFETY: the array has the 64 bytes that are read, and any alignment will do.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

#[target_feature(enable = "avx512f")]
pub(super) fn load_f32_le(x: &[F32; LANES]) -> __m512 {
    // SAFETY: the array has the 64 bytes that are read, and any alignment will do; x86 is little-endian.
    unsafe { _mm512_loadu_ps(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
pub(super) fn load_f16_le(x: &[F16; LANES]) -> __m512 {
    // SAFETY: the array has the 32 bytes that are read, and any alignment will do; x86 is little-endian.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(x.as_ptr().cast()) })
}

#[target_feature(enable = "avx512f")]
pub(super) fn load_bf16_le(x: &[BF16; LANES]) -> __m512 {
    // SAFETY: the array has the 32 bytes that are read, and any alignment will do; x86 is little-endian.
    let halves = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(x.as_ptr().cast()) });
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
}

#[target_feature(enable = "avx512f")]
pub(super) fn store_f32(out: &mut [f32; LANES], v: __m512) {
    // SAFETY: the array has the 64 bytes that are written, and any alignment will do.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), v) };
}

/// Return two floats in every pair of lanes.
#[target_feature(enable = "avx512f")]
pub(super) fn load_pair(x: &[f32; 2]) -> __m512 {
    // SAFETY: the array has the 8 bytes that are read, and any alignment will do.
    _mm512_castpd_ps(_mm512_broadcastsd_pd(unsafe { _mm_load_sd(x.as_ptr().cast()) }))
}

#[target_feature(enable = "avx512f")]
pub(super) fn store_u32(out: &mut [u32; LANES], v: __m512i) {
    // SAFETY: the array has the 64 bytes that are written, and any alignment will do.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), v) };
}
