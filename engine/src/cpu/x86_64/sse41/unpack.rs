//! Interleaved rows taken apart: 32 weights of four rows, a quarter of a group, in eight vectors: a lane per row, four weights to a lane.

use core::arch::x86_64::*;
use core::array;

use super::super::woven::{FromMinimum, Lanes, Scaled, SuperBlock, SuperBlockQ6};
use crate::quant::{F16, ROWS};

/// Rows in a vector.
pub(super) const LANES: usize = ROWS / 4;

/// 32 weights `d * q + m` of four rows: vector `i` has weights `4 * i` to `4 * i + 3`.
#[derive(Clone, Copy)]
pub(super) struct Unpacked {
    pub(super) q: [__m128i; 8],
    pub(super) d: __m128,
    pub(super) m: __m128,
}

/// 32 weights `d * scale * q`, with a scale for either half, twice in each lane.
#[derive(Clone, Copy)]
pub(super) struct UnpackedQ6 {
    pub(super) q: [__m128i; 8],
    pub(super) d: __m128,
    pub(super) scales: [__m128i; 2],
}

#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
pub(super) fn unpack_q8_0(w: &Scaled<8>, part: usize) -> Unpacked {
    let q = array::from_fn(|i| load(&w.qs[i], part));
    Unpacked { q, d: load_f16(&w.d, part), m: _mm_setzero_ps() }
}

#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
pub(super) fn unpack_q4_0(w: &Scaled<4>, part: usize) -> Unpacked {
    let d = load_f16(&w.d, part);
    // d * (q - 8)
    Unpacked { q: low_and_high(&w.qs, part), d, m: _mm_mul_ps(d, _mm_set1_ps(-8.0)) }
}

#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
pub(super) fn unpack_q4_1(w: &FromMinimum<4>, part: usize) -> Unpacked {
    Unpacked { q: low_and_high(&w.qs, part), d: load_f16(&w.d, part), m: load_f16(&w.m, part) }
}

#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
pub(super) fn unpack_q4_k(w: &SuperBlock<32>, i: usize, part: usize) -> Unpacked {
    let (qs, _) = w.qs.as_chunks::<8>();
    let [scales, offsets, others] = w.scales.each_ref().map(|lanes| load(lanes, part));
    let (scales, offsets) = if i < 4 {
        (scales, offsets)
    } else {
        // The lower four bits are among the others, the upper two where the first four leave room for them.
        let (low, high) = (_mm_set1_epi8(0xf), _mm_set1_epi8(0x30));
        let upper = |six_bits| _mm_and_si128(_mm_srli_epi16::<2>(six_bits), high);
        let offset = _mm_and_si128(_mm_srli_epi16::<4>(others), low);
        (_mm_or_si128(_mm_and_si128(others, low), upper(scales)), _mm_or_si128(offset, upper(offsets)))
    };
    let shift = _mm_cvtsi64_si128(8 * (i as i64 % 4));
    let number = |bytes| _mm_cvtepi32_ps(_mm_and_si128(_mm_srl_epi32(bytes, shift), _mm_set1_epi32(0x3f)));
    let m = _mm_sub_ps(_mm_setzero_ps(), load_f16(&w.m, part));
    Unpacked {
        q: nibbles(&qs[i / 2], i % 2, part),
        d: _mm_mul_ps(load_f16(&w.d, part), number(scales)),
        m: _mm_mul_ps(m, number(offsets)),
    }
}

#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
pub(super) fn unpack_q6_k(w: &SuperBlockQ6, i: usize, part: usize) -> UnpackedQ6 {
    let (half, i) = (i / 4, i % 4);
    let low = nibbles(&w.ql[half][i % 2], i / 2, part);
    let (shift, bits) = (_mm_cvtsi64_si128(2 * i as i64), _mm_set1_epi8(3));
    let q = array::from_fn(|k| {
        let high = _mm_and_si128(_mm_srl_epi16(load(&w.qh[half][k], part), shift), bits);
        _mm_sub_epi8(_mm_or_si128(low[k], _mm_slli_epi16::<4>(high)), _mm_set1_epi8(32))
    });
    // The two scales go to the upper bytes of both 16-bit numbers of a lane, and come down with their sign.
    let both = load(&w.scales[2 * half + i / 2], part);
    let both = _mm_srl_epi32(both, _mm_cvtsi64_si128(16 * (i as i64 % 2)));
    let lane_starts = _mm_setr_epi32(0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c);
    let scales = [0x0080_0080, 0x0180_0180].map(|from| {
        let index = _mm_add_epi8(_mm_set1_epi32(from), lane_starts);
        _mm_srai_epi16::<8>(_mm_shuffle_epi8(both, index))
    });
    UnpackedQ6 { q, d: load_f16(&w.d, part), scales }
}

/// Return the low nibbles of four vectors, then the high ones.
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn low_and_high(packed: &[Lanes; 4], part: usize) -> [__m128i; 8] {
    let mask = _mm_set1_epi8(0xf);
    array::from_fn(|i| {
        let packed = load(&packed[i % 4], part);
        _mm_and_si128(if i < 4 { packed } else { _mm_srli_epi16::<4>(packed) }, mask)
    })
}

/// Return the low (`half` = 0) or the high nibbles.
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn nibbles(packed: &[Lanes; 8], half: usize, part: usize) -> [__m128i; 8] {
    let shift = _mm_cvtsi64_si128(4 * half as i64);
    packed
        .each_ref()
        .map(|packed| _mm_and_si128(_mm_srl_epi16(load(packed, part), shift), _mm_set1_epi8(0xf)))
}

/// Return the bytes of four rows.
#[target_feature(enable = "sse2")]
#[inline]
fn load(lanes: &Lanes, part: usize) -> __m128i {
    let (parts, _) = lanes.as_chunks::<{ 4 * LANES }>();
    // SAFETY: the array has the 16 bytes that are read, and any alignment will do.
    unsafe { _mm_loadu_si128(parts[part].as_ptr().cast()) }
}

/// Return the numbers of four rows, which must be finite, as floats.
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn load_f16(numbers: &[F16; ROWS], part: usize) -> __m128 {
    let [a, b, c, d] = numbers.as_chunks::<LANES>().0[part].map(|number| i16::from_le_bytes(number.0));
    let bits = _mm_cvtepi16_epi32(_mm_setr_epi16(a, b, c, d, 0, 0, 0, 0));
    // Exponent and fraction go where a float has them; the exponents' biases, 15 and 127, differ by 112.
    let size = _mm_slli_epi32::<13>(_mm_and_si128(bits, _mm_set1_epi32(0x7fff)));
    let size = _mm_mul_ps(_mm_castsi128_ps(size), _mm_set1_ps(f32::from_bits((112 + 127) << 23)));
    let sign = _mm_and_si128(bits, _mm_set1_epi32(i32::MIN));
    _mm_or_ps(size, _mm_castsi128_ps(sign))
}
