//! Products of weights that are floats, in rows that are not interleaved: of few tokens row by row, of many in tiles.

use core::arch::x86_64::*;
use core::ops::Range;

use zerocopy::little_endian::F32;

use super::fold::fold_f32;
use super::vectors::{LANES, load_bf16_le, load_f16_le, load_f32, load_f32_le, sum, to_array};
use crate::cpu::FEW_TOKENS;
use crate::quant::{BF16, Block, F16};

/// Floats in four vectors: four sums hide the latency of the addition.
const STEP: usize = 4 * LANES;

/// Rows and tokens that are multiplied at a time: 4 * 3 sums, three vectors of activations and one of weights are all
/// sixteen registers.
const TILE_ROWS: usize = 4;
const TILE_TOKENS: usize = 3;

/// Vectors of a row that are widened at a time: with four rows 16 KiB, half of the first cache.
const PANEL_LEN: usize = 128;

/// A part of some rows as floats, so that one vector of each lies beside the others'. It is read once for every few
/// tokens, and lies together whatever the rows' distance is: rows of 2,048 floats would all need the same few places of
/// the cache.
type Panel = [[[f32; LANES]; TILE_ROWS]];

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_f32(w: &[F32], x: &[f32], n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_in, out, |w| load_f32_le(w));
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_f16(w: &[F16], x: &[f32], n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_in, out, |w| load_f16_le(w));
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_bf16(w: &[BF16], x: &[f32], n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_in, out, |w| load_bf16_le(w));
}

/// Write the products of the rows `w (n_rows, n_in)` with `x (n_tokens, n_in)` to `out (n_tokens)(n_rows)`; `load`
/// returns eight weights.
#[target_feature(enable = "avx2,fma,f16c")]
fn mul_mat<B: Block<Weights = f32>>(
    w: &[B],
    x: &[f32],
    n_in: usize,
    out: &mut [&mut [f32]],
    load: impl Fn(&[B; LANES]) -> __m256,
) {
    if out.len() <= FEW_TOKENS {
        multiply_few(w, x, n_in, out, load);
    } else {
        multiply_many(w, x, n_in, out, load);
    }
}

/// As [`mul_mat`], a token like another. The two halves of the rows are read side by side: two streams bring more from
/// memory than one. Where the rows are odd, both have the one between.
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_few<B: Block<Weights = f32>>(
    w: &[B],
    x: &[f32],
    n_in: usize,
    out: &mut [&mut [f32]],
    load: impl Fn(&[B; LANES]) -> __m256,
) {
    let n_half = w.len() / n_in / 2;
    let pairs = w.chunks_exact(n_in).zip(w[n_half * n_in..].chunks_exact(n_in));
    for (row, (a, b)) in pairs.enumerate() {
        for (x, out) in x.chunks_exact(n_in).zip(&mut *out) {
            [out[row], out[n_half + row]] = dot_two(a, b, x, &load);
        }
    }
}

/// Return the products of two rows `(n_in)` with `x (n_in)`.
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_two<B: Block<Weights = f32>>(
    a: &[B],
    b: &[B],
    x: &[f32],
    load: impl Fn(&[B; LANES]) -> __m256,
) -> [f32; 2] {
    let ((a_steps, a_rest), (b_steps, b_rest)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
    let (x_steps, x_rest) = x.as_chunks::<STEP>();
    let mut acc = [[_mm256_setzero_ps(); 2]; STEP / LANES];
    for ((a, b), x) in a_steps.iter().zip(b_steps).zip(x_steps) {
        let vectors = a.as_chunks().0.iter().zip(b.as_chunks().0).zip(x.as_chunks().0);
        for (((a, b), x), [acc_a, acc_b]) in vectors.zip(&mut acc) {
            let x = load_f32(x);
            *acc_a = _mm256_fmadd_ps(load(a), x, *acc_a);
            *acc_b = _mm256_fmadd_ps(load(b), x, *acc_b);
        }
    }
    let [[a0, b0], [a1, b1], [a2, b2], [a3, b3]] = acc;
    let a = _mm256_add_ps(_mm256_add_ps(a0, a1), _mm256_add_ps(a2, a3));
    let b = _mm256_add_ps(_mm256_add_ps(b0, b1), _mm256_add_ps(b2, b3));
    [sum(a) + dot_rest(a_rest, x_rest), sum(b) + dot_rest(b_rest, x_rest)]
}

/// Return the product of what is left over behind the vectors.
fn dot_rest<B: Block<Weights = f32>>(w: &[B], x: &[f32]) -> f32 {
    w.iter().zip(x).map(|(w, x)| w.unpack() * x).sum()
}

/// As [`mul_mat`], a few rows and tokens at a time: a weight is widened once for all tokens, and what is loaded meets all
/// rows or tokens of its tile.
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_many<B: Block<Weights = f32>>(
    w: &[B],
    x: &[f32],
    n_in: usize,
    out: &mut [&mut [f32]],
    load: impl Fn(&[B; LANES]) -> __m256,
) {
    let n_whole = n_in / LANES * LANES;
    // What is left over behind the vectors comes first, and mostly is nothing.
    for (x, out) in x.chunks_exact(n_in).zip(&mut *out) {
        for (w, out) in w.chunks_exact(n_in).zip(out.iter_mut()) {
            *out = dot_rest(&w[n_whole..], &x[n_whole..]);
        }
    }
    let mut panel = [[[0.0; LANES]; TILE_ROWS]; PANEL_LEN];
    for start in (0..n_whole).step_by(PANEL_LEN * LANES) {
        let columns = start..n_whole.min(start + PANEL_LEN * LANES);
        let panel = &mut panel[..columns.len() / LANES];
        for (tile, w) in w.chunks(TILE_ROWS * n_in).enumerate() {
            // Rows that the last tile lacks keep the weights of others; nobody reads their sums.
            for (row, w) in w.chunks_exact(n_in).enumerate() {
                for (w, slot) in w[columns.clone()].as_chunks().0.iter().zip(&mut *panel) {
                    slot[row] = to_array(load(w));
                }
            }
            let first_row = tile * TILE_ROWS;
            let rows = first_row..first_row + w.len() / n_in;
            let tiles = x.chunks(TILE_TOKENS * n_in).zip(out.chunks_mut(TILE_TOKENS));
            for (x, out) in tiles {
                let token = |i: usize| &x[i * n_in..][columns.clone()];
                match out.len() {
                    1 => add_tile(panel, [token(0)], out, &rows),
                    2 => add_tile(panel, [token(0), token(1)], out, &rows),
                    _ => add_tile(panel, [token(0), token(1), token(2)], out, &rows),
                }
            }
        }
    }
}

/// Add to `rows` of `out (T)(n_rows)` the products of a panel with `x (T, n)`, a vector of `x` for each of the panel's.
#[target_feature(enable = "avx2,fma,f16c")]
fn add_tile<const T: usize>(panel: &Panel, x: [&[f32]; T], out: &mut [&mut [f32]], rows: &Range<usize>) {
    let mut rows_x: [&[[f32; LANES]]; T] = [&[]; T];
    for (row, x) in rows_x.iter_mut().zip(x) {
        *row = &x.as_chunks().0[..panel.len()];
    }
    let mut acc = [[_mm256_setzero_ps(); TILE_ROWS]; T];
    for (i, w) in panel.iter().enumerate() {
        let mut vectors = [_mm256_setzero_ps(); T];
        for (vector, x) in vectors.iter_mut().zip(&rows_x) {
            *vector = load_f32(&x[i]);
        }
        for (row, w) in w.iter().enumerate() {
            let w = load_f32(w);
            for (x, acc) in vectors.iter().zip(&mut acc) {
                acc[row] = _mm256_fmadd_ps(w, *x, acc[row]);
            }
        }
    }
    for (acc, out) in acc.into_iter().zip(out) {
        for (sum, out) in fold_f32(acc).into_iter().zip(&mut out[rows.clone()]) {
            *out += sum;
        }
    }
}
