//! Interleaved rows taken apart: 32 weights of a whole group in eight vectors, a lane per row, four weights to a lane.
//!
//! Weights are unsigned, as VPDPBUSD wants them: of types whose weights are signed, all are greater by some offset.

use core::arch::x86_64::*;
use core::array;

use super::super::woven::{FromMinimum, Lanes, Scaled, SuperBlock, SuperBlockQ6};
use super::vectors::load_f16_le;
use crate::quant::{F16, IQ4_NL_VALUES, ROWS};

/// 32 weights of each row: vector `i` has weights `4 * i` to `4 * i + 3`.
#[derive(Clone, Copy)]
pub(super) struct Unpacked<S> {
    pub(super) q: [__m512i; 8],
    pub(super) scales: S,
}

/// Weights are `d * (q - offset)`.
#[derive(Clone, Copy)]
pub(super) struct Scale(pub(super) __m512);

/// Weights are `d * q + m`.
#[derive(Clone, Copy)]
pub(super) struct ScaleAndMinimum {
    pub(super) d: __m512,
    pub(super) m: __m512,
}

/// Weights are `d * (q - offset)`, with a scale for either half.
#[derive(Clone, Copy)]
pub(super) struct HalfScales(pub(super) [__m512; 2]);

/// The offset is 128.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn unpack_q8_0(w: &Scaled<8>) -> Unpacked<Scale> {
    let offset = _mm512_set1_epi8(-128);
    Unpacked {
        q: array::from_fn(|i| _mm512_xor_si512(load(&w.qs[i]), offset)),
        scales: Scale(load_f16_le(&w.d)),
    }
}

/// The offset is 128.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn unpack_iq4_nl(w: &Scaled<4>) -> Unpacked<Scale> {
    let table = u128::from_le_bytes(IQ4_NL_VALUES.map(|value| value as u8 ^ 0x80));
    let (low, high) = (table as i64, (table >> 64) as i64);
    let table = _mm512_set_epi64(high, low, high, low, high, low, high, low);
    Unpacked {
        q: low_and_high(&w.qs).map(|q| _mm512_shuffle_epi8(table, q)),
        scales: Scale(load_f16_le(&w.d)),
    }
}

/// The offset is 8.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn unpack_q4_0(w: &Scaled<4>) -> Unpacked<Scale> {
    Unpacked { q: low_and_high(&w.qs), scales: Scale(load_f16_le(&w.d)) }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn unpack_q4_1(w: &FromMinimum<4>) -> Unpacked<ScaleAndMinimum> {
    Unpacked { q: low_and_high(&w.qs), scales: scale_and_minimum(&w.d, &w.m) }
}

/// The offset is 16.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn unpack_q5_0(w: &Scaled<5>) -> Unpacked<Scale> {
    Unpacked { q: with_fifth_bits(&w.qs), scales: Scale(load_f16_le(&w.d)) }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn unpack_q5_1(w: &FromMinimum<5>) -> Unpacked<ScaleAndMinimum> {
    Unpacked { q: with_fifth_bits(&w.qs), scales: scale_and_minimum(&w.d, &w.m) }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn unpack_q4_k(w: &SuperBlock<32>, i: usize) -> Unpacked<ScaleAndMinimum> {
    let (qs, _) = w.qs.as_chunks::<8>();
    Unpacked { q: nibbles(&qs[i / 2], i % 2), scales: scale_and_offset(w, i) }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn unpack_q5_k(w: &SuperBlock<40>, i: usize) -> Unpacked<ScaleAndMinimum> {
    let (qs, _) = w.qs.as_chunks::<8>();
    let low = nibbles(&qs[1 + i / 2], i % 2);
    // Turned, so that the fifth bit of these weights becomes the fifth of its byte, or that of the byte beside it, which is not taken.
    let turn = _mm512_set1_epi32((4 - i as i32).rem_euclid(32));
    let q = array::from_fn(|k| merge::<0x10>(_mm512_rolv_epi32(load(&qs[0][k]), turn), low[k]));
    Unpacked { q, scales: scale_and_offset(w, i) }
}

/// The offset is 32.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn unpack_q6_k(w: &SuperBlockQ6, i: usize) -> Unpacked<HalfScales> {
    let (half, i) = (i / 4, i % 4);
    let low = nibbles(&w.ql[half][i % 2], i / 2);
    // The upper two bits go to the fifth and the sixth of their byte.
    let turn = _mm512_set1_epi32((4 - 2 * i as i32).rem_euclid(32));
    let q = array::from_fn(|k| merge::<0x30>(_mm512_rolv_epi32(load(&w.qh[half][k]), turn), low[k]));
    let scales = load(&w.scales[2 * half + i / 2]);
    let d = load_f16_le(&w.d);
    let scaled = |byte: usize| {
        // Up to the top of the lane, and down with the sign.
        let up = _mm512_sll_epi32(scales, _mm_cvtsi64_si128(24 - 8 * byte as i64));
        _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(up)))
    };
    Unpacked { q, scales: HalfScales([scaled(i % 2 * 2), scaled(i % 2 * 2 + 1)]) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn scale_and_minimum(d: &[F16; ROWS], m: &[F16; ROWS]) -> ScaleAndMinimum {
    ScaleAndMinimum { d: load_f16_le(d), m: load_f16_le(m) }
}

/// Return the scale and the minimum of 32 weights of a super-block.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn scale_and_offset<const N: usize>(w: &SuperBlock<N>, i: usize) -> ScaleAndMinimum {
    let [scales, offsets, others] = w.scales.each_ref().map(|lanes| load(lanes));
    let (scales, offsets) = if i < 4 {
        (scales, offsets)
    } else {
        // The lower four bits are among the others, the upper two where the first four leave room for them.
        let low = _mm512_set1_epi8(0xf);
        let upper = |six_bits, low| merge::<0x30>(_mm512_srli_epi16::<2>(six_bits), low);
        let offset = _mm512_and_si512(_mm512_srli_epi16::<4>(others), low);
        (upper(scales, _mm512_and_si512(others, low)), upper(offsets, offset))
    };
    let shift = _mm_cvtsi64_si128(8 * (i as i64 % 4));
    let number =
        |bytes| _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srl_epi32(bytes, shift), _mm512_set1_epi32(0x3f)));
    let m = _mm512_sub_ps(_mm512_setzero_ps(), load_f16_le(&w.m));
    ScaleAndMinimum {
        d: _mm512_mul_ps(load_f16_le(&w.d), number(scales)),
        m: _mm512_mul_ps(m, number(offsets)),
    }
}

/// Return `others` with the bits `MASK` of each byte of `bits`.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn merge<const MASK: i8>(bits: __m512i, others: __m512i) -> __m512i {
    // (bits & mask) | others: the truth table of the instruction, by the numbers of its three inputs.
    _mm512_ternarylogic_epi32::<{ (0xf0 & 0xcc) | 0xaa }>(bits, _mm512_set1_epi8(MASK), others)
}

/// Return the low (`half` = 0) or the high nibbles.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn nibbles(packed: &[Lanes; 8], half: usize) -> [__m512i; 8] {
    let shift = _mm_cvtsi64_si128(4 * half as i64);
    packed
        .each_ref()
        .map(|packed| _mm512_and_si512(_mm512_srl_epi16(load(packed), shift), _mm512_set1_epi8(0xf)))
}

/// Return the low nibbles, then the high ones.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn low_and_high(packed: &[Lanes; 4]) -> [__m512i; 8] {
    let mask = _mm512_set1_epi8(0xf);
    array::from_fn(|i| {
        let packed = load(&packed[i % 4]);
        _mm512_and_si512(if i < 4 { packed } else { _mm512_srli_epi16::<4>(packed) }, mask)
    })
}

/// Return numbers of five bits: the fifth ones come first, then the nibbles.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn with_fifth_bits(packed: &[Lanes; 5]) -> [__m512i; 8] {
    let [fifth, a, b, c, d] = packed;
    let (low, fifth) = (low_and_high(&[*a, *b, *c, *d]), load(fifth));
    array::from_fn(|i| {
        // Byte i / 2 of a lane has the bits of vector i, in its lower or its upper half.
        let lane_starts = _mm512_set4_epi32(0x0c0c_0c0c, 0x0808_0808, 0x0404_0404, 0);
        let index = _mm512_add_epi8(lane_starts, _mm512_set1_epi8((i / 2) as i8));
        let bits = _mm512_shuffle_epi8(fifth, index);
        let bit = _mm512_set1_epi32(if i % 2 == 0 { 0x0804_0201 } else { 0x8040_2010_u32 as i32 });
        let set = _mm512_test_epi8_mask(bits, bit);
        _mm512_mask_add_epi8(low[i], set, low[i], _mm512_set1_epi8(16))
    })
}

#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn load(lanes: &Lanes) -> __m512i {
    // SAFETY: the array has the 64 bytes that are read, and any alignment will do.
    unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
}
