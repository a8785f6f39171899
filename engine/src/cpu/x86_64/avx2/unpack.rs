//! Interleaved rows taken apart: 32 weights of eight rows, half a group, in eight vectors: a lane per row, four weights to a lane.

use core::arch::x86_64::*;
use core::array;

use super::super::woven::{FromMinimum, Lanes, Scaled, SuperBlock, SuperBlockQ6};
use super::vectors::{LANES, load_f16_le, load_u8, load_u8x16};
use crate::quant::{F16, IQ4_NL_VALUES, ROWS};

/// 32 weights of eight rows, which are `d * q + m`: vector `i` has weights `4 * i` to `4 * i + 3`; or, in 16 bits, vectors `i` and
/// `i + 8` have them as [`even_and_odd`] parts them.
#[derive(Clone, Copy)]
pub(in crate::cpu::x86_64) struct Unpacked<const N: usize = 8> {
    pub(in crate::cpu::x86_64) q: [__m256i; N],
    pub(in crate::cpu::x86_64) d: __m256,
    pub(in crate::cpu::x86_64) m: __m256,
}

/// 32 weights `d * scale * q` of eight rows, with a scale for either half, twice in each lane.
#[derive(Clone, Copy)]
pub(in crate::cpu::x86_64) struct UnpackedQ6 {
    pub(in crate::cpu::x86_64) q: [__m256i; 8],
    pub(in crate::cpu::x86_64) d: __m256,
    pub(in crate::cpu::x86_64) scales: [__m256i; 2],
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
pub(in crate::cpu::x86_64) fn unpack_q4_k(w: &SuperBlock<32>, i: usize, part: usize) -> Unpacked {
    let (qs, _) = w.qs.as_chunks::<8>();
    let (d, m) = scales_and_offsets(w, i, part);
    Unpacked { q: nibbles(&qs[i / 2], i % 2, part), d, m }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn unpack_q5_k(w: &SuperBlock<40>, i: usize, part: usize) -> Unpacked {
    let (qs, _) = w.qs.as_chunks::<8>();
    let (d, m) = scales_and_offsets(w, i, part);
    let low = nibbles(&qs[1 + i / 2], i % 2, part);
    let (shift, bit) = (_mm_cvtsi64_si128(i as i64), _mm256_set1_epi8(1));
    let q = array::from_fn(|k| {
        let fifth = _mm256_and_si256(_mm256_srl_epi16(load_part(&qs[0][k], part), shift), bit);
        _mm256_or_si256(low[k], _mm256_slli_epi16::<4>(fifth))
    });
    Unpacked { q, d, m }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn unpack_q6_k(w: &SuperBlockQ6, i: usize, part: usize) -> UnpackedQ6 {
    let (half, i) = (i / 4, i % 4);
    let low = nibbles(&w.ql[half][i % 2], i / 2, part);
    let (shift, bits) = (_mm_cvtsi64_si128(2 * i as i64), _mm256_set1_epi8(3));
    let q = array::from_fn(|k| {
        let high = _mm256_and_si256(_mm256_srl_epi16(load_part(&w.qh[half][k], part), shift), bits);
        let q = _mm256_or_si256(low[k], _mm256_slli_epi16::<4>(high));
        _mm256_sub_epi8(q, _mm256_set1_epi8(32))
    });
    // The two scales go to the upper bytes of both 16-bit numbers of a lane, and come down with their sign.
    let both = load_part(&w.scales[2 * half + i / 2], part);
    let both = _mm256_srl_epi32(both, _mm_cvtsi64_si128(16 * (i as i64 % 2)));
    let scales = [0x0080_0080, 0x0180_0180].map(|from| {
        let index = _mm256_add_epi8(_mm256_set1_epi32(from), lane_starts());
        _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(both, index))
    });
    UnpackedQ6 { q, d: load_scales(&w.d, part), scales }
}

/// Return signed weights in 16 bits.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn widened(w: &Unpacked) -> Unpacked<16> {
    Unpacked { q: array::from_fn(|i| even_and_odd(w.q[i % 8])[i / 8]), d: w.d, m: w.m }
}

/// Return weights `scale * q`, which take 13 bits, in 16.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn scaled(w: &UnpackedQ6) -> Unpacked<16> {
    let q = array::from_fn(|i| _mm256_mullo_epi16(even_and_odd(w.q[i % 8])[i / 8], w.scales[i % 8 / 4]));
    Unpacked { q, d: w.d, m: _mm256_setzero_ps() }
}

/// Return the signed bytes of each lane in 16 bits: the first and the third, and the second and the fourth.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn even_and_odd(bytes: __m256i) -> [__m256i; 2] {
    [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes)), _mm256_srai_epi16::<8>(bytes)]
}

/// Return where the four bytes of each lane begin in their half of a vector, in each byte.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn lane_starts() -> __m256i {
    let (first, second) = (0x0404_0404_0000_0000, 0x0c0c_0c0c_0808_0808);
    _mm256_setr_epi64x(first, second, first, second)
}

/// Return the scale and the minimum of 32 weights of a super-block, for eight rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn scales_and_offsets<const N: usize>(w: &SuperBlock<N>, i: usize, part: usize) -> (__m256, __m256) {
    let [scales, offsets, others] = w.scales.each_ref().map(|lanes| load_part(lanes, part));
    let (scales, offsets) = if i < 4 {
        (scales, offsets)
    } else {
        // The lower four bits are among the others, the upper two where the first four leave room for them.
        let (low, high) = (_mm256_set1_epi8(0xf), _mm256_set1_epi8(0x30));
        let upper = |six_bits| _mm256_and_si256(_mm256_srli_epi16::<2>(six_bits), high);
        let offset = _mm256_srli_epi16::<4>(others);
        (
            _mm256_or_si256(_mm256_and_si256(others, low), upper(scales)),
            _mm256_or_si256(_mm256_and_si256(offset, low), upper(offsets)),
        )
    };
    let shift = _mm_cvtsi64_si128(8 * (i as i64 % 4));
    let number =
        |bytes| _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srl_epi32(bytes, shift), _mm256_set1_epi32(0x3f)));
    let m = _mm256_sub_ps(_mm256_setzero_ps(), load_scales(&w.m, part));
    (_mm256_mul_ps(load_scales(&w.d, part), number(scales)), _mm256_mul_ps(m, number(offsets)))
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
