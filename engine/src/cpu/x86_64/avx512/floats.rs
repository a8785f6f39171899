//! Products of weights that are floats with many tokens, in tiles, a lane per row.
//!
//! So no sum goes across lanes: a panel has the weights of one column side by side, and each meets the activation of that
//! column, which is the same for all lanes. What remains is one fused multiply-add for sixteen weights and a token, of which
//! the loop issues about as many as the processor has units for.

use core::arch::x86_64::*;
use core::array;
use core::ops::Range;

use zerocopy::little_endian::F32;

use super::vectors::{LANES, add_to, load_bf16_le, load_f16_le, load_f32, load_f32_le, prefetch, store_f32};
use crate::quant::{BF16, F16};

/// Vectors of rows, and tokens, that are multiplied at a time: 2 * 8 sums keep both units busy, which take four cycles for
/// a multiplication, and ten loads serve sixteen of them.
const TILE_VECTORS: usize = 2;
const TILE_TOKENS: usize = 8;

/// Columns that are widened at a time: the fewer, the more often sums are stored; the more, the less of the panel stays
/// in the first cache.
const PANEL_LEN: usize = 512;

/// Some columns of `V * LANES` rows, as floats.
type Panel<const V: usize> = [[[f32; LANES]; V]];

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
pub(super) fn mul_mat_f32(w: &[F32], x: &[f32], n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_in, out, |w| load_f32_le(w));
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
pub(super) fn mul_mat_f16(w: &[F16], x: &[f32], n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_in, out, |w| load_f16_le(w));
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
pub(super) fn mul_mat_bf16(w: &[BF16], x: &[f32], n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_in, out, |w| load_bf16_le(w));
}

/// Write the products of the rows `w (n_rows, n_in)` with `x (n_tokens, n_in)` to `out (n_tokens)(n_rows)`; `load`
/// returns sixteen weights.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
fn mul_mat<B: Copy + Default>(
    w: &[B],
    x: &[f32],
    n_in: usize,
    out: &mut [&mut [f32]],
    load: impl Fn(&[B; LANES]) -> __m512 + Copy,
) {
    out.iter_mut().for_each(|out| out.fill(0.0));
    let mut room = [[0.0; LANES]; TILE_VECTORS * PANEL_LEN];
    for first in (0..w.len() / n_in).step_by(TILE_VECTORS * LANES) {
        let w = &w[first * n_in..];
        match w.len() / n_in {
            ..=LANES => multiply_rows::<B, 1>(w, x, n_in, out, first, &mut room, load),
            _ => multiply_rows::<B, TILE_VECTORS>(w, x, n_in, out, first, &mut room, load),
        }
    }
}

/// Return the first sixteen of `values`, or all where they are fewer, with zeros behind them.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
#[inline]
fn load_up_to<T: Copy + Default>(values: &[T], load: impl Fn(&[T; LANES]) -> __m512) -> __m512 {
    match values.first_chunk() {
        Some(values) => load(values),
        None => load(&padded(values)),
    }
}

/// Return fewer than sixteen `values` with zeros behind them.
#[cold]
fn padded<T: Copy + Default>(values: &[T]) -> [T; LANES] {
    let mut padded = [T::default(); LANES];
    padded[..values.len()].copy_from_slice(values);
    padded
}

/// Add the products of the first `V * LANES` rows of `w`, or of all where they are fewer, to `out (n_tokens)(n_rows)` from row
/// `first` on. `room` is for the panel.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
fn multiply_rows<B: Copy + Default, const V: usize>(
    w: &[B],
    x: &[f32],
    n_in: usize,
    out: &mut [&mut [f32]],
    first: usize,
    room: &mut [[f32; LANES]],
    load: impl Fn(&[B; LANES]) -> __m512 + Copy,
) {
    let n_rows = (w.len() / n_in).min(V * LANES);
    let (w, others) = w.split_at(n_rows * n_in);
    let n_tiles = out.len().div_ceil(TILE_TOKENS);
    for start in (0..n_in).step_by(PANEL_LEN) {
        let columns = start..n_in.min(start + PANEL_LEN);
        let panel = &mut room.as_chunks_mut::<V>().0[..columns.len()];
        widen(w, n_in, columns.clone(), panel, load);
        // What is widened next comes meanwhile, some rows with each tile.
        let next = if columns.end < n_in { &w[columns.end..] } else { others };
        let next = &next[..next.len().min(V * LANES * n_in)];
        let mut nexts = next.chunks((V * LANES).div_ceil(n_tiles) * n_in);
        for (x, out) in x.chunks(TILE_TOKENS * n_in).zip(out.chunks_mut(TILE_TOKENS)) {
            // The last token stands in for those that the tile lacks; nobody keeps their sums.
            let x = array::from_fn(|i| &x[i.min(out.len() - 1) * n_in..][columns.clone()]);
            let next = nexts.next().unwrap_or(&[]);
            add_tile(panel, x, out, first..first + n_rows, next, n_in);
        }
    }
}

/// Write `columns` of up to `V * LANES` rows `w (n_rows, n_in)` to `panel`.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
fn widen<B: Copy + Default, const V: usize>(
    w: &[B],
    n_in: usize,
    columns: Range<usize>,
    panel: &mut Panel<V>,
    load: impl Fn(&[B; LANES]) -> __m512,
) {
    for (i, w) in w.chunks(LANES * n_in).enumerate() {
        // The last row stands in for those that the vector lacks.
        let last = w.len() / n_in - 1;
        let rows: [&[B]; LANES] = array::from_fn(|row| &w[row.min(last) * n_in..][columns.clone()]);
        for (block, panel) in panel.chunks_mut(LANES).enumerate() {
            let mut vectors = [_mm512_setzero_ps(); LANES];
            for (vector, row) in vectors.iter_mut().zip(rows) {
                *vector = load_up_to(&row[block * LANES..], &load);
            }
            for (vectors, column) in panel.iter_mut().zip(transpose(vectors)) {
                store_f32(&mut vectors[i], column);
            }
        }
    }
}

/// Return the columns of `rows`.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn transpose(rows: [__m512; LANES]) -> [__m512; LANES] {
    // Of four rows, vector `c` gets column `4 * i + c` in its quarter `i`.
    let mut fours = [_mm512_setzero_ps(); LANES];
    for (fours, rows) in fours.as_chunks_mut::<4>().0.iter_mut().zip(rows.as_chunks::<4>().0) {
        let pair = |a, b| [_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)];
        let [[a, b], [c, d]] = [pair(rows[0], rows[1]), pair(rows[2], rows[3])];
        let [a, b, c, d] =
            [_mm512_castps_pd(a), _mm512_castps_pd(b), _mm512_castps_pd(c), _mm512_castps_pd(d)];
        fours[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        fours[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        fours[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        fours[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    // The quarters of the four vectors `c` are those of the columns.
    let even = |a, b| _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
    let odd = |a, b| _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b);
    let mut columns = [_mm512_setzero_ps(); LANES];
    for c in 0..4 {
        let quarters = [fours[c], fours[4 + c], fours[8 + c], fours[12 + c]];
        let evens = [even(quarters[0], quarters[1]), even(quarters[2], quarters[3])];
        let odds = [odd(quarters[0], quarters[1]), odd(quarters[2], quarters[3])];
        columns[c] = even(evens[0], evens[1]);
        columns[4 + c] = even(odds[0], odds[1]);
        columns[8 + c] = odd(evens[0], evens[1]);
        columns[12 + c] = odd(odds[0], odds[1]);
    }
    columns
}

/// Add to `rows` of `out (n_tokens)(n_rows)` the products of a panel with `x (TILE_TOKENS, panel.len())`. Meanwhile as many columns
/// of `next`, rows of `n_in`, are asked for, a few lines at a time: of many at once, the processor forgets most.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
fn add_tile<B, const V: usize>(
    panel: &Panel<V>,
    x: [&[f32]; TILE_TOKENS],
    out: &mut [&mut [f32]],
    rows: Range<usize>,
    next: &[B],
    n_in: usize,
) {
    let mut acc = [[_mm512_setzero_ps(); V]; TILE_TOKENS];
    for (block, panel) in panel.chunks(LANES).enumerate() {
        for weight in next.iter().skip(block * LANES).step_by(n_in) {
            prefetch(weight);
        }
        for (i, panel) in panel.iter().enumerate() {
            let mut w = [_mm512_setzero_ps(); V];
            for (w, panel) in w.iter_mut().zip(panel) {
                *w = load_f32(panel);
            }
            for (acc, x) in acc.iter_mut().zip(x) {
                let x = _mm512_set1_ps(x[block * LANES + i]);
                for (acc, w) in acc.iter_mut().zip(w) {
                    *acc = _mm512_fmadd_ps(w, x, *acc);
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
