//! Many queries: a block of keys and values is made floats once, so that products of matrices remain.

use core::arch::x86_64::*;

use crate::cpu::attention::BLOCK;
use crate::cpu::x86_64::avx2::vectors::{LANES, load_f32, store_f32};
use crate::cpu::x86_64::products::{self, Product, Steps};

/// Write `from` as floats to `out`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn widen<C, const PER: usize>(from: &[C], load: &impl Fn(&C) -> [__m256; PER], out: &mut [f32]) {
    for (chunk, out) in from.iter().zip(out.as_chunks_mut::<LANES>().0.as_chunks_mut::<PER>().0) {
        for (vector, out) in load(chunk).into_iter().zip(out) {
            store_f32(out, vector);
        }
    }
}

/// Write the rows `from (n, width)` as floats to the columns of `out (n_embd_head, BLOCK)`; up to seven columns behind them
/// may change too.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn transpose<C, const PER: usize>(
    from: &[C],
    width: usize,
    load: &impl Fn(&C) -> [__m256; PER],
    out: &mut [f32],
) {
    for (column, rows) in from.chunks(LANES * width).enumerate() {
        for (i, out) in out.chunks_exact_mut(PER * LANES * BLOCK).enumerate() {
            let mut squares = [[_mm256_setzero_ps(); LANES]; PER];
            for (n, row) in rows.chunks_exact(width).take(LANES).enumerate() {
                for (square, vector) in squares.iter_mut().zip(load(&row[i])) {
                    square[n] = vector;
                }
            }
            for (square, out) in squares.into_iter().zip(out.chunks_exact_mut(LANES * BLOCK)) {
                for (out, vector) in out.chunks_exact_mut(BLOCK).zip(transposed(square)) {
                    store_f32(&mut out.as_chunks_mut().0[column], vector);
                }
            }
        }
    }
}

/// Return the columns of an 8 by 8 matrix as its rows.
#[target_feature(enable = "avx2,fma,f16c")]
fn transposed([a, b, c, d, e, f, g, h]: [__m256; LANES]) -> [__m256; LANES] {
    // Pairs of rows, then fours of them, then the halves of the vectors.
    let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    let (ef_low, ef_high) = (_mm256_unpacklo_ps(e, f), _mm256_unpackhi_ps(e, f));
    let (gh_low, gh_high) = (_mm256_unpacklo_ps(g, h), _mm256_unpackhi_ps(g, h));
    let abcd = [
        _mm256_shuffle_ps::<0x44>(ab_low, cd_low),
        _mm256_shuffle_ps::<0xee>(ab_low, cd_low),
        _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
        _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
    ];
    let efgh = [
        _mm256_shuffle_ps::<0x44>(ef_low, gh_low),
        _mm256_shuffle_ps::<0xee>(ef_low, gh_low),
        _mm256_shuffle_ps::<0x44>(ef_high, gh_high),
        _mm256_shuffle_ps::<0xee>(ef_high, gh_high),
    ];
    let mut out = [_mm256_setzero_ps(); LANES];
    for i in 0..4 {
        out[i] = _mm256_permute2f128_ps::<0x20>(abcd[i], efgh[i]);
        out[i + 4] = _mm256_permute2f128_ps::<0x31>(abcd[i], efgh[i]);
    }
    out
}

/// As [`products::multiply`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn multiply(product: &Product<'_>, out: &mut [f32]) {
    let steps = Steps {
        zero: _mm256_setzero_ps(),
        load: |x: &[f32; LANES]| load_f32(x),
        store: |x: &mut [f32; LANES], v| store_f32(x, v),
        add: |factor, v, sum| _mm256_fmadd_ps(_mm256_set1_ps(factor), v, sum),
    };
    products::multiply::<_, LANES, 2>(product, out, &steps);
}
