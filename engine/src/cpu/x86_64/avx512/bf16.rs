//! Products of weights of 16 bits with many tokens where the processor multiplies BF16 (VDPBF16PS, Intel SDM volume 2), two products in
//! the time that [`super::floats`] takes for one. Activations, and weights that are F16, are rounded to the 8 bits that BF16 keeps of
//! a number; sums are floats.
//!
//! Tiles are as in [`super::floats`], with the weights of two columns in a lane.

use core::arch::x86_64::*;
use core::array;
use core::ops::Range;

use super::floats::transpose;
use super::vectors::{LANES, add_to, load_bf16_le, load_f16_le, load_f32, load_u32, prefetch, store_u32};
use crate::quant::{BF16, F16};

/// Vectors of rows, and tokens, that are multiplied at a time: 4 * 6 sums, the weights and an activation are 29 of 32 registers.
const TILE_VECTORS: usize = 4;
const TILE_TOKENS: usize = 6;
const TILE_ROWS: usize = TILE_VECTORS * LANES;

/// Columns in a lane.
const PAIR: usize = 2;

/// Pairs of columns that are unpacked at a time.
const PANEL_LEN: usize = 128;

/// Panels that are unpacked at a time: what is rounded of a token meets all of them.
const N_PANELS: usize = 2;

/// Some pairs of columns of some rows.
type Panel = [[[u32; LANES]; TILE_VECTORS]; PANEL_LEN];

/// The same pairs of the activations of a tile's tokens.
type Activations = [[[u32; LANES]; PANEL_LEN / LANES]; TILE_TOKENS];

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) fn mul_mat_f16(w: &[F16], x: &[f32], n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_in, out, |w| load_f16_le(w));
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) fn mul_mat_bf16(w: &[BF16], x: &[f32], n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_in, out, |w| load_bf16_le(w));
}

/// Write the products of the rows `w (n_rows, n_in)` with `x (n_tokens, n_in)` to `out (n_tokens)(n_rows)`; `load`
/// returns sixteen weights.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512bf16")]
fn mul_mat<B: Copy + Default>(
    w: &[B],
    x: &[f32],
    n_in: usize,
    out: &mut [&mut [f32]],
    load: impl Fn(&[B; LANES]) -> __m512 + Copy,
) {
    out.iter_mut().for_each(|out| out.fill(0.0));
    let mut panels = [[[[0; LANES]; TILE_VECTORS]; PANEL_LEN]; N_PANELS];
    let n_step = N_PANELS * TILE_ROWS;
    for first in (0..w.len() / n_in).step_by(n_step) {
        multiply_rows(&w[first * n_in..], x, n_in, out, first, &mut panels, load);
    }
}

/// Add the products of as many of the first rows of `w` as fill `panels`, or of all where they are fewer, to `out (n_tokens)(n_rows)`
/// from row `first` on.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512bf16")]
fn multiply_rows<B: Copy + Default>(
    w: &[B],
    x: &[f32],
    n_in: usize,
    out: &mut [&mut [f32]],
    first: usize,
    panels: &mut [Panel; N_PANELS],
    load: impl Fn(&[B; LANES]) -> __m512 + Copy,
) {
    let n_rows = (w.len() / n_in).min(N_PANELS * TILE_ROWS);
    let (w, others) = w.split_at(n_rows * n_in);
    let n_tiles = out.len().div_ceil(TILE_TOKENS);
    let mut activations = [[[0; LANES]; PANEL_LEN / LANES]; TILE_TOKENS];
    for start in (0..n_in).step_by(PAIR * PANEL_LEN) {
        let columns = start..n_in.min(start + PAIR * PANEL_LEN);
        for (w, panel) in w.chunks(TILE_ROWS * n_in).zip(&mut *panels) {
            unpack(w, n_in, columns.clone(), panel, load);
        }
        // What is unpacked next comes meanwhile, some rows with each tile.
        let next = if columns.end < n_in { &w[columns.end..] } else { others };
        let next = &next[..next.len().min(w.len())];
        let mut nexts = next.chunks(n_rows.div_ceil(n_tiles) * n_in);
        for (x, out) in x.chunks(TILE_TOKENS * n_in).zip(out.chunks_mut(TILE_TOKENS)) {
            // Tokens that the tile lacks keep the activations of others; nobody reads their sums.
            for (x, activations) in x.chunks(n_in).zip(&mut activations) {
                for (x, pairs) in x[columns.clone()].chunks(PAIR * LANES).zip(activations) {
                    store_u32(pairs, round(x, |x| load_f32(x)));
                }
            }
            let next = nexts.next().unwrap_or(&[]);
            let rows = first..first + n_rows;
            let n_pairs = columns.len().div_ceil(PAIR);
            for (i, (rows, panel)) in chunks(rows, TILE_ROWS).zip(&*panels).enumerate() {
                let panel = &panel[..n_pairs];
                let next = if i == 0 { next } else { &[] };
                match rows.len().div_ceil(LANES) {
                    1 => add_tile::<B, 1>(panel, &activations, out, rows, next, n_in),
                    2 => add_tile::<B, 2>(panel, &activations, out, rows, next, n_in),
                    _ => add_tile::<B, TILE_VECTORS>(panel, &activations, out, rows, next, n_in),
                }
            }
        }
    }
}

/// Return `range` in pieces of `n`, the last of which may be smaller.
fn chunks(range: Range<usize>, n: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(n).map(move |start| start..range.end.min(start + n))
}

/// Return the first 32 of `values`, or all where they are fewer, with zeros behind them, as BF16, ties to even.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512bf16")]
#[inline]
fn round<T: Copy + Default>(values: &[T], load: impl Fn(&[T; LANES]) -> __m512) -> __m512i {
    let mut padded = [T::default(); PAIR * LANES];
    let values = values.first_chunk().unwrap_or_else(|| {
        padded[..values.len()].copy_from_slice(values);
        &padded
    });
    let [even, odd] = [&values.as_chunks().0[0], &values.as_chunks().0[1]];
    let rounded = _mm512_cvtne2ps_pbh(load(odd), load(even));
    // SAFETY: both are 64 bytes, any of which are whole numbers.
    unsafe { core::mem::transmute::<__m512bh, __m512i>(rounded) }
}

/// Write `columns` of up to [`TILE_ROWS`] rows `w (n_rows, n_in)` to `panel`.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512bf16")]
fn unpack<B: Copy + Default>(
    w: &[B],
    n_in: usize,
    columns: Range<usize>,
    panel: &mut Panel,
    load: impl Fn(&[B; LANES]) -> __m512 + Copy,
) {
    for (i, w) in w.chunks(LANES * n_in).enumerate() {
        // The last row stands in for those that the vector lacks.
        let last = w.len() / n_in - 1;
        let rows: [&[B]; LANES] = array::from_fn(|row| &w[row.min(last) * n_in..][columns.clone()]);
        for (block, panel) in panel[..columns.len().div_ceil(PAIR)].chunks_mut(LANES).enumerate() {
            let mut vectors = [_mm512_setzero_ps(); LANES];
            for (vector, row) in vectors.iter_mut().zip(rows) {
                *vector = _mm512_castsi512_ps(round(&row[block * PAIR * LANES..], load));
            }
            for (vectors, column) in panel.iter_mut().zip(transpose(vectors)) {
                store_u32(&mut vectors[i], _mm512_castps_si512(column));
            }
        }
    }
}

/// Add to `rows` of `out (n_tokens)(n_rows)` the products of a panel with the activations of as many tokens. Meanwhile as many columns
/// of `next`, rows of `n_in`, are asked for, a few lines at a time.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512bf16")]
fn add_tile<B, const V: usize>(
    panel: &[[[u32; LANES]; TILE_VECTORS]],
    x: &Activations,
    out: &mut [&mut [f32]],
    rows: Range<usize>,
    next: &[B],
    n_in: usize,
) {
    let mut acc = [[_mm512_setzero_ps(); V]; TILE_TOKENS];
    for (block, panel) in panel.chunks(LANES).enumerate() {
        for weight in next.iter().skip(block * PAIR * LANES).step_by(n_in) {
            prefetch(weight);
        }
        for (i, panel) in panel.iter().enumerate() {
            let mut w = [_mm512_setzero_si512(); V];
            for (w, panel) in w.iter_mut().zip(panel) {
                *w = load_u32(panel);
            }
            for (acc, x) in acc.iter_mut().zip(x) {
                let x = _mm512_set1_epi32(x[block][i] as i32);
                for (acc, w) in acc.iter_mut().zip(w) {
                    *acc = dot(*acc, w, x);
                }
            }
        }
    }
    for (acc, out) in acc.into_iter().zip(out) {
        for (acc, out) in acc.into_iter().zip(out[rows.clone()].chunks_mut(LANES)) {
            add_to(out, acc);
        }
    }
}

/// Return `sum` and the products of the two pairs of each lane.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn dot(sum: __m512, w: __m512i, x: __m512i) -> __m512 {
    // SAFETY: each is 64 bytes, any of which are BF16.
    let [w, x] = [w, x].map(|v| unsafe { core::mem::transmute::<__m512i, __m512bh>(v) });
    _mm512_dpbf16_ps(sum, w, x)
}
