//! Products of super-blocks of 256 weights, a few rows at a time: a lane per block of 32 activations.
//!
//! Weights stay unsigned: what is to be taken off all of them meets the sums of the activations, which are made once for
//! the rows.

use core::arch::x86_64::*;
use core::array;

use super::fold::{add_halves, fold_halves_i16, fold_i16};
use super::vectors::{load_i8, load_i8x16, load_u8, load_u8x16, sum};
use crate::quant::{
    BlockQ2_K, BlockQ3_K, BlockQ4_K, BlockQ5_K, BlockQ6_K, BlockQ8_1, F16, QK, ScalesAndOffsets,
};

/// Rows that share what is made of the activations.
const ROWS: usize = 4;

/// Activations for a super-block.
struct SuperActivations<'a> {
    blocks: &'a [BlockQ8_1; 8],
    /// Scales.
    d: __m256,
    /// Sums, as floats.
    s: __m256,
    /// Sums of the quants, in groups of 16.
    group_sums: __m256i,
}

impl<'a> SuperActivations<'a> {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn new(blocks: &'a [BlockQ8_1; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = blocks;
        let ones = _mm256_set1_epi8(1);
        Self {
            blocks,
            d: _mm256_setr_ps(a.d, b.d, c.d, d.d, e.d, f.d, g.d, h.d),
            s: _mm256_setr_ps(a.s, b.s, c.s, d.s, e.s, f.s, g.s, h.s),
            group_sums: fold_halves_i16(
                blocks.each_ref().map(|x| _mm256_maddubs_epi16(ones, load_i8(&x.qs))),
            ),
        }
    }

    /// Return the products with unsigned weights, two to a lane.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn products(&self, weights: [__m256i; 8]) -> [__m256i; 8] {
        array::from_fn(|i| _mm256_maddubs_epi16(weights[i], load_i8(&self.blocks[i].qs)))
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q2_k_q8_1(
    w: &[BlockQ2_K],
    x: &[[BlockQ8_1; 8]],
    n_blocks: usize,
    out: &mut [&mut [f32]],
) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        // 16 products of a group are at most 16 * 3 * 127 = 6,096.
        let products = fold_halves_i16(x.products(two_bits(&w.qs)));
        let both = load_u8x16(&w.scales);
        let four_bits = _mm_set1_epi8(0xf);
        let scales = _mm256_cvtepu8_epi16(_mm_and_si128(both, four_bits));
        let offsets = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16::<4>(both), four_bits));
        let products = _mm256_cvtepi32_ps(_mm256_madd_epi16(products, scales));
        let offsets = _mm256_cvtepi32_ps(_mm256_madd_epi16(x.group_sums, offsets));
        let acc = _mm256_fmadd_ps(products, _mm256_mul_ps(broadcast(w.d), x.d), acc);
        _mm256_fnmadd_ps(offsets, _mm256_mul_ps(broadcast(w.m), x.d), acc)
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q3_k_q8_1(
    w: &[BlockQ3_K],
    x: &[[BlockQ8_1; 8]],
    n_blocks: usize,
    out: &mut [&mut [f32]],
) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let low = two_bits(&w.qs);
        let third = bits_at_4(&w.hmask)
            .map(|bits| _mm256_and_si256(_mm256_srli_epi16::<2>(bits), _mm256_set1_epi8(4)));
        let weights = array::from_fn(|i| _mm256_or_si256(low[i], third[i]));
        // 16 products of a group are at most 16 * 7 * 127 = 14,224.
        let products = fold_halves_i16(x.products(weights));
        let products = _mm256_sub_epi16(products, _mm256_slli_epi16::<2>(x.group_sums));
        let scales = _mm256_cvtepi8_epi16(load_i8x16(&w.scales()));
        let products = _mm256_cvtepi32_ps(_mm256_madd_epi16(products, scales));
        _mm256_fmadd_ps(products, _mm256_mul_ps(broadcast(w.d), x.d), acc)
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q4_k_q8_1(
    w: &[BlockQ4_K],
    x: &[[BlockQ8_1; 8]],
    n_blocks: usize,
    out: &mut [&mut [f32]],
) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let products = fold_i16(x.products(nibbles(&w.qs)));
        add_scaled_and_offset(acc, products, w.d, w.m, &w.scales, x)
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q5_k_q8_1(
    w: &[BlockQ5_K],
    x: &[[BlockQ8_1; 8]],
    n_blocks: usize,
    out: &mut [&mut [f32]],
) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let low = nibbles(&w.qs);
        let fifth = bits_at_4(&w.qh);
        let products = fold_i16(x.products(array::from_fn(|i| _mm256_or_si256(low[i], fifth[i]))));
        add_scaled_and_offset(acc, products, w.d, w.m, &w.scales, x)
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q6_k_q8_1(
    w: &[BlockQ6_K],
    x: &[[BlockQ8_1; 8]],
    n_blocks: usize,
    out: &mut [&mut [f32]],
) {
    mul_mat(w, x, n_blocks, out, |w, x, acc| {
        let low_bits = _mm256_set1_epi8(0xf);
        let high_bits = _mm256_set1_epi8(0x30);
        let [first, second] = array::from_fn(|half| {
            let [a, b] = w.ql[half].each_ref().map(|ql| load_u8(ql));
            let high = load_u8(&w.qh[half]);
            let low = [a, b, _mm256_srli_epi16::<4>(a), _mm256_srli_epi16::<4>(b)];
            let high = [
                _mm256_slli_epi16::<4>(high),
                _mm256_slli_epi16::<2>(high),
                high,
                _mm256_srli_epi16::<2>(high),
            ];
            array::from_fn::<_, 4, _>(|i| {
                _mm256_or_si256(_mm256_and_si256(low[i], low_bits), _mm256_and_si256(high[i], high_bits))
            })
        });
        let [a, b, c, d] = first;
        let [e, f, g, h] = second;
        let [a, b, c, d, e, f, g, h] = x.products([a, b, c, d, e, f, g, h]);

        // Four products are at most 4 * 63 * 127 = 32,004. The lower half of a vector has the even groups, the upper one the
        // odd ones; after the horizontal add, the first four numbers of a half are the first vector's.
        let scales = load_i8x16(&w.scales);
        let even = _mm_srai_epi16::<8>(_mm_slli_epi16::<8>(scales));
        let odd = _mm_srai_epi16::<8>(scales);
        let halves = _mm256_set_m128i(odd, even);
        let scaled = |pairs: __m256i, first: i64| {
            // Bytes 2 * first and 2 * first + 1, four times, then the next two.
            let index = 0x0100_0100_0100_0100 + first * 0x0202_0202_0202_0202;
            let index = _mm256_setr_epi64x(
                index,
                index + 0x0202_0202_0202_0202,
                index,
                index + 0x0202_0202_0202_0202,
            );
            _mm256_madd_epi16(pairs, _mm256_shuffle_epi8(halves, index))
        };
        let ab = scaled(_mm256_hadd_epi16(a, b), 0);
        let cd = scaled(_mm256_hadd_epi16(c, d), 2);
        let ef = scaled(_mm256_hadd_epi16(e, f), 4);
        let gh = scaled(_mm256_hadd_epi16(g, h), 6);
        let products = add_halves(_mm256_hadd_epi32(ab, cd), _mm256_hadd_epi32(ef, gh));

        let offsets = _mm256_madd_epi16(x.group_sums, _mm256_cvtepi8_epi16(scales));
        let products = _mm256_cvtepi32_ps(_mm256_sub_epi32(products, _mm256_slli_epi32::<5>(offsets)));
        _mm256_fmadd_ps(products, _mm256_mul_ps(broadcast(w.d), x.d), acc)
    });
}

/// Write the products of the rows `w (n_rows, n_blocks)` with `x (n_tokens, n_blocks)` to `out (n_tokens)(n_rows)`;
/// `step` adds the products of two super-blocks to a row's eight sums.
#[target_feature(enable = "avx2,fma,f16c")]
fn mul_mat<B>(
    w: &[B],
    x: &[[BlockQ8_1; 8]],
    n_blocks: usize,
    out: &mut [&mut [f32]],
    step: impl Fn(&B, &SuperActivations<'_>, __m256) -> __m256,
) {
    let n_rows = w.len() / n_blocks;
    for first in (0..n_rows).step_by(ROWS) {
        // Behind the last row it stands in for those that are missing; their sums are not kept.
        let rows: [&[B]; ROWS] = array::from_fn(|i| &w[(first + i).min(n_rows - 1) * n_blocks..][..n_blocks]);
        for (x, out) in x.chunks_exact(n_blocks).zip(out.iter_mut()) {
            let mut acc = [_mm256_setzero_ps(); ROWS];
            for (block, x) in x.iter().enumerate() {
                let x = SuperActivations::new(x);
                for (acc, row) in acc.iter_mut().zip(rows) {
                    *acc = step(&row[block], &x, *acc);
                }
            }
            for (out, acc) in out[first..].iter_mut().zip(acc) {
                *out = sum(acc);
            }
        }
    }
}

/// Return `acc + d * scales * products * x.d - m * offsets * x.s`.
#[target_feature(enable = "avx2,fma,f16c")]
fn add_scaled_and_offset(
    acc: __m256,
    products: __m256i,
    d: F16,
    m: F16,
    scales: &ScalesAndOffsets,
    x: &SuperActivations<'_>,
) -> __m256 {
    let [scales, offsets] = scales.unpack().map(|six_bits| {
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(six_bits))))
    });
    let d = _mm256_mul_ps(broadcast(d), x.d);
    let m = _mm256_mul_ps(broadcast(m), x.s);
    let acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_mul_ps(scales, d), acc);
    _mm256_fnmadd_ps(offsets, m, acc)
}

/// Return a binary16 as a float in all lanes.
#[target_feature(enable = "avx2,fma,f16c")]
fn broadcast(number: F16) -> __m256 {
    _mm256_cvtph_ps(_mm_set1_epi16(i16::from_le_bytes(number.0)))
}

/// Return the low, then the high nibbles of each row. With activations, pairs of products are at most 2 * 15 * 127 =
/// 3,810, with a fifth bit 2 * 31 * 127 = 7,874.
#[target_feature(enable = "avx2,fma,f16c")]
fn nibbles(rows: &[[u8; QK]; 4]) -> [__m256i; 8] {
    let mask = _mm256_set1_epi8(0xf);
    array::from_fn(|i| {
        let row = load_u8(&rows[i / 2]);
        _mm256_and_si256(if i % 2 == 0 { row } else { _mm256_srli_epi16::<4>(row) }, mask)
    })
}

/// Return bits 0 and 1, then 2 and 3, 4 and 5, 6 and 7 of each row.
#[target_feature(enable = "avx2,fma,f16c")]
fn two_bits(rows: &[[u8; QK]; 2]) -> [__m256i; 8] {
    let mask = _mm256_set1_epi8(3);
    array::from_fn(|i| {
        let row = load_u8(&rows[i / 4]);
        let shifted = match i % 4 {
            0 => row,
            1 => _mm256_srli_epi16::<2>(row),
            2 => _mm256_srli_epi16::<4>(row),
            _ => _mm256_srli_epi16::<6>(row),
        };
        _mm256_and_si256(shifted, mask)
    })
}

/// Return bit `i` of each byte as bit 4 of the bytes of vector `i`.
#[target_feature(enable = "avx2,fma,f16c")]
fn bits_at_4(bytes: &[u8; QK]) -> [__m256i; 8] {
    let row = load_u8(bytes);
    let mask = _mm256_set1_epi8(16);
    [
        _mm256_slli_epi16::<4>(row),
        _mm256_slli_epi16::<3>(row),
        _mm256_slli_epi16::<2>(row),
        _mm256_slli_epi16::<1>(row),
        row,
        _mm256_srli_epi16::<1>(row),
        _mm256_srli_epi16::<2>(row),
        _mm256_srli_epi16::<3>(row),
    ]
    .map(|shifted| _mm256_and_si256(shifted, mask))
}
