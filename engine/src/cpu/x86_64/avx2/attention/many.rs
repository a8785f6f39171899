//! Many queries: a block of keys and values is made floats once, and tiles of six queries by two vectors are multiplied.

use core::arch::x86_64::*;

use crate::cpu::attention::BLOCK;
use crate::cpu::x86_64::avx2::vectors::{LANES, load_f32, store_f32};

/// Rows of a tile: with two vectors of each, the sums, the vectors and a factor take 15 of 16 registers.
const ROWS: usize = 6;

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

/// Write the product of `a (n_rows, k)` and `b (k, width)` to `out (n_rows, width)`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(a: &[f32], k: usize, b: &[f32], width: usize, out: &mut [f32]) {
    out.fill(0.0);
    add_products(a, k, b, width, out);
}

/// Add to `out (n_rows, width)` the product of the first columns of `a (n_rows, a_width)` with `b (k, width)`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn add_products(a: &[f32], a_width: usize, b: &[f32], width: usize, out: &mut [f32]) {
    for (a, out) in a.chunks(ROWS * a_width).zip(out.chunks_mut(ROWS * width)) {
        match a.len() / a_width {
            1 => add_rows::<1>(a, a_width, b, width, out),
            2 => add_rows::<2>(a, a_width, b, width, out),
            3 => add_rows::<3>(a, a_width, b, width, out),
            4 => add_rows::<4>(a, a_width, b, width, out),
            5 => add_rows::<5>(a, a_width, b, width, out),
            _ => add_rows::<ROWS>(a, a_width, b, width, out),
        }
    }
}

/// As [`add_products`], for `M` rows.
#[target_feature(enable = "avx2,fma,f16c")]
fn add_rows<const M: usize>(a: &[f32], a_width: usize, b: &[f32], width: usize, out: &mut [f32]) {
    let n_vectors = width / LANES;
    for first in (0..n_vectors / 2 * 2).step_by(2) {
        add_tile::<M, 2>(a, a_width, b, n_vectors, first, out);
    }
    if n_vectors % 2 == 1 {
        add_tile::<M, 1>(a, a_width, b, n_vectors, n_vectors - 1, out);
    }
}

/// Add to the vectors `first..first + V` of each row of `out (M, n_vectors)` the product of `a (M, k)` with `b (k, n_vectors)`.
#[allow(clippy::needless_range_loop, reason = "iterators over arrays do not stay in registers")]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_tile<const M: usize, const V: usize>(
    a: &[f32],
    a_width: usize,
    b: &[f32],
    n_vectors: usize,
    first: usize,
    out: &mut [f32],
) {
    let b = b.as_chunks::<LANES>().0;
    let out = out.as_chunks_mut::<LANES>().0;
    let k = b.len() / n_vectors;
    let mut rows = [&[][..]; M];
    for m in 0..M {
        rows[m] = &a[m * a_width..][..k];
    }
    let mut acc = [[_mm256_setzero_ps(); V]; M];
    for m in 0..M {
        for v in 0..V {
            acc[m][v] = load_f32(&out[m * n_vectors + first + v]);
        }
    }
    for (i, b) in (0..k).zip(b.chunks_exact(n_vectors)) {
        let b = &b[first..first + V];
        let mut vectors = [_mm256_setzero_ps(); V];
        for v in 0..V {
            vectors[v] = load_f32(&b[v]);
        }
        for m in 0..M {
            let factor = _mm256_set1_ps(rows[m][i]);
            for v in 0..V {
                acc[m][v] = _mm256_fmadd_ps(factor, vectors[v], acc[m][v]);
            }
        }
    }
    for m in 0..M {
        for v in 0..V {
            store_f32(&mut out[m * n_vectors + first + v], acc[m][v]);
        }
    }
}
