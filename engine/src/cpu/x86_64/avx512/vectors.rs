//! Loads, stores and prefetches of [`super::floats`] and [`super::bf16`]: the only places there that touch memory by address.

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

#[target_feature(enable = "avx512f")]
pub(super) fn load_u32(x: &[u32; LANES]) -> __m512i {
    // SAFETY: the array has the 64 bytes that are read, and any alignment will do.
    unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
pub(super) fn store_u32(out: &mut [u32; LANES], v: __m512i) {
    // SAFETY: the array has the 64 bytes that are written, and any alignment will do.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), v) };
}

/// Add to `out`, which has up to sixteen floats, the first lanes of `v`.
#[target_feature(enable = "avx512f")]
pub(super) fn add_to(out: &mut [f32], v: __m512) {
    let lanes = (1_u32 << out.len().min(LANES)).wrapping_sub(1) as __mmask16;
    // SAFETY: the mask has as many lanes as the slice has floats; no others are read.
    let sums = _mm512_add_ps(v, unsafe { _mm512_maskz_loadu_ps(lanes, out.as_ptr()) });
    // SAFETY: as above, for writing.
    unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), lanes, sums) };
}

/// Let the line in which `data` lies come to the second cache.
#[target_feature(enable = "sse")]
#[inline]
pub(super) fn prefetch<T>(data: &T) {
    // A prefetch reads nothing, and no address makes it fault (Intel SDM volume 2, PREFETCHh).
    _mm_prefetch::<_MM_HINT_T1>((&raw const *data).cast());
}
