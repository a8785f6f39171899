//! Interleaved rows taken apart: 32 weights of eight rows, half a group, in eight vectors: a lane per row, four weights to a lane.

use core::arch::x86_64::*;
use core::array;

use super::super::woven::{FromMinimum, Lanes, Scaled, SuperBlock, SuperBlockQ6};
use super::vectors::{LANES, load_f16_le, load_u8, load_u8x16};
use crate::quant::{F16, IQ4_NL_VALUES, ROWS};

/// 32 weights of eight rows, which are `d * q + m`: vector `i` has weights `4 * i` to `4 * i + 3`.
#[derive(Clone, Copy)]
pub(in crate::cpu::x86_64) struct Unpacked {
    pub(in crate::cpu::x86_64) q: [__m256i; 8],
    pub(in crate::cpu::x86_64) d: __m256,
    pub(in crate::cpu::x86_64) m: __m256,
}

/// Weights that have a sign, as [`Unpacked`] has them, and their sizes.
#[derive(Clone, Copy)]
pub(super) struct Signed {
    pub(super) q: [__m256i; 8],
    pub(super) sizes: [__m256i; 8],
    pub(super) d: __m256,
}

/// 32 weights of eight rows of a super-block, as [`Unpacked`] has those of a block: with one scale, `d * scale * q - m * offset`; with three,
/// `d * scale * (q - 32)` with a scale for either half, and -32 times both in the third.
///
/// A scale is twice in its lane, in 16 bits; the third has those of both halves there.
#[derive(Clone, Copy)]
pub(in crate::cpu::x86_64) struct UnpackedK<const S: usize> {
    pub(in crate::cpu::x86_64) q: [__m256i; 8],
    pub(in crate::cpu::x86_64) scales: [__m256i; S],
    pub(in crate::cpu::x86_64) offset: __m256,
    pub(in crate::cpu::x86_64) d: __m256,
    pub(in crate::cpu::x86_64) m: __m256,
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn with_sizes(w: Unpacked) -> Signed {
    Signed { q: w.q, sizes: w.q.map(|q| _mm256_abs_epi8(q)), d: w.d }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn unpack_q8_0(w: &Scaled<8>, part: usize) -> Unpacked {
    Unpacked {
        q: array::from_fn(|i| load_part(&w.qs[i], part)),
        d: load_scales(&w.d, part),
        m: _mm256_setzero_ps(),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn unpack_iq4_nl(w: &Scaled<4>, part: usize) -> Unpacked {
    let values = _mm256_broadcastsi128_si256(load_u8x16(&IQ4_NL_VALUES.map(|value| value as u8)));
    let q = low_and_high(&w.qs, part).map(|q| _mm256_shuffle_epi8(values, q));
    Unpacked { q, d: load_scales(&w.d, part), m: _mm256_setzero_ps() }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn unpack_q4_0(w: &Scaled<4>, part: usize) -> Unpacked {
    let d = load_scales(&w.d, part);
    // d * (q - 8)
    Unpacked { q: low_and_high(&w.qs, part), d, m: _mm256_mul_ps(d, _mm256_set1_ps(-8.0)) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn unpack_q4_1(w: &FromMinimum<4>, part: usize) -> Unpacked {
    Unpacked { q: low_and_high(&w.qs, part), d: load_scales(&w.d, part), m: load_scales(&w.m, part) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn unpack_q5_0(w: &Scaled<5>, part: usize) -> Unpacked {
    let d = load_scales(&w.d, part);
    // d * (q - 16)
    Unpacked { q: with_fifth_bits(&w.qs, part), d, m: _mm256_mul_ps(d, _mm256_set1_ps(-16.0)) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn unpack_q5_1(w: &FromMinimum<5>, part: usize) -> Unpacked {
    Unpacked { q: with_fifth_bits(&w.qs, part), d: load_scales(&w.d, part), m: load_scales(&w.m, part) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn unpack_q4_k(w: &SuperBlock<32>, i: usize, part: usize) -> UnpackedK<1> {
    let (qs, _) = w.qs.as_chunks::<8>();
    with_scale_and_offset(w, i, part, nibbles(&qs[i / 2], i % 2, part))
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn unpack_q5_k(w: &SuperBlock<40>, i: usize, part: usize) -> UnpackedK<1> {
    let (qs, _) = w.qs.as_chunks::<8>();
    let low = nibbles(&qs[1 + i / 2], i % 2, part);
    let (shift, bit) = (_mm_cvtsi64_si128(i as i64), _mm256_set1_epi8(1));
    let q = array::from_fn(|k| {
        let fifth = _mm256_and_si256(_mm256_srl_epi16(load_part(&qs[0][k], part), shift), bit);
        _mm256_or_si256(low[k], _mm256_slli_epi16::<4>(fifth))
    });
    with_scale_and_offset(w, i, part, q)
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn unpack_q6_k(w: &SuperBlockQ6, i: usize, part: usize) -> UnpackedK<3> {
    let (half, i) = (i / 4, i % 4);
    let low = nibbles(&w.ql[half][i % 2], i / 2, part);
    let (shift, bits) = (_mm_cvtsi64_si128(2 * i as i64), _mm256_set1_epi8(3));
    let q = array::from_fn(|k| {
        let high = _mm256_and_si256(_mm256_srl_epi16(load_part(&w.qh[half][k], part), shift), bits);
        _mm256_or_si256(low[k], _mm256_slli_epi16::<4>(high))
    });
    // Scales go to the upper bytes of 16-bit numbers, and come down with their sign.
    let scales = load_part(&w.scales[2 * half + i / 2], part);
    let pair = |first, second| {
        _mm256_srai_epi16::<8>(pick(
            scales,
            [NONE, 2 * (i as i8 % 2) + first, NONE, 2 * (i as i8 % 2) + second],
        ))
    };
    let both = _mm256_slli_epi16::<5>(pair(0, 1));
    let zero = _mm256_setzero_ps();
    let offsets = _mm256_sub_epi16(_mm256_setzero_si256(), both);
    UnpackedK {
        q,
        scales: [pair(0, 0), pair(1, 1), offsets],
        offset: zero,
        d: load_scales(&w.d, part),
        m: zero,
    }
}

/// Return where the four bytes of each lane begin in their half of a vector, in each byte.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn lane_starts() -> __m256i {
    let (first, second) = (0x0404_0404_0000_0000, 0x0c0c_0c0c_0808_0808);
    _mm256_setr_epi64x(first, second, first, second)
}

/// No byte, for [`pick`].
const NONE: i8 = i8::MIN;

/// Return, in the bytes of each lane, those bytes of it that are named.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn pick(lanes: __m256i, bytes: [i8; 4]) -> __m256i {
    let bytes = _mm256_set1_epi32(i32::from_le_bytes(bytes.map(|byte| byte as u8)));
    _mm256_shuffle_epi8(lanes, _mm256_add_epi8(lane_starts(), bytes))
}

/// Return weights of a super-block with their scale and their offset, for eight rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn with_scale_and_offset<const N: usize>(
    w: &SuperBlock<N>,
    i: usize,
    part: usize,
    q: [__m256i; 8],
) -> UnpackedK<1> {
    let [scales, offsets, others] = w.scales.each_ref().map(|lanes| load_part(lanes, part));
    let (low, high) = (_mm256_set1_epi8(0xf), _mm256_set1_epi8(0x30));
    let (scales, offsets) = if i < 4 {
        // The upper two bits belong to the last four.
        let six_bits = _mm256_or_si256(low, high);
        (_mm256_and_si256(scales, six_bits), _mm256_and_si256(offsets, six_bits))
    } else {
        // The lower four bits are among the others, the upper two where the first four leave room for them.
        let upper = |six_bits| _mm256_and_si256(_mm256_srli_epi16::<2>(six_bits), high);
        let offset = _mm256_srli_epi16::<4>(others);
        (
            _mm256_or_si256(_mm256_and_si256(others, low), upper(scales)),
            _mm256_or_si256(_mm256_and_si256(offset, low), upper(offsets)),
        )
    };
    let i = i as i8 % 4;
    UnpackedK {
        q,
        scales: [pick(scales, [i, NONE, i, NONE])],
        offset: _mm256_cvtepi32_ps(pick(offsets, [i, NONE, NONE, NONE])),
        d: load_scales(&w.d, part),
        m: load_scales(&w.m, part),
    }
}

/// Return the low (`half` = 0) or the high nibbles.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn nibbles(packed: &[Lanes; 8], half: usize, part: usize) -> [__m256i; 8] {
    let shift = _mm_cvtsi64_si128(4 * half as i64);
    packed.each_ref().map(|packed| {
        _mm256_and_si256(_mm256_srl_epi16(load_part(packed, part), shift), _mm256_set1_epi8(0xf))
    })
}

/// Return the low nibbles, then the high ones.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn low_and_high(packed: &[Lanes; 4], part: usize) -> [__m256i; 8] {
    let mask = _mm256_set1_epi8(0xf);
    array::from_fn(|i| {
        let packed = load_part(&packed[i % 4], part);
        _mm256_and_si256(if i < 4 { packed } else { _mm256_srli_epi16::<4>(packed) }, mask)
    })
}

/// Return numbers of five bits: the fifth ones come first, then the nibbles.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn with_fifth_bits(packed: &[Lanes; 5], part: usize) -> [__m256i; 8] {
    let [fifth, a, b, c, d] = packed;
    let (low, fifth) = (low_and_high(&[*a, *b, *c, *d], part), load_part(fifth, part));
    array::from_fn(|i| {
        // Byte i / 2 of a lane has the bits of vector i, in its lower or its upper half.
        let bits =
            _mm256_shuffle_epi8(fifth, _mm256_add_epi8(lane_starts(), _mm256_set1_epi8((i / 2) as i8)));
        let bit = _mm256_set1_epi32(if i % 2 == 0 { 0x0804_0201 } else { 0x8040_2010_u32 as i32 });
        let set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
        _mm256_or_si256(low[i], _mm256_and_si256(set, _mm256_set1_epi8(16)))
    })
}

/// Return the bytes of the first or the second eight rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load_part(lanes: &Lanes, part: usize) -> __m256i {
    load_u8(&lanes.as_chunks().0[part])
}

/// Return the scales, or the minima, of the first or the second eight rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load_scales(scales: &[F16; ROWS], part: usize) -> __m256 {
    load_f16_le(&scales.as_chunks::<LANES>().0[part])
}
