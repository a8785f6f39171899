//! A few queries: each key and value is loaded once for up to three of them, and sums stay in registers.

use core::arch::x86_64::*;

use crate::cpu::attention::BLOCK;
use crate::cpu::x86_64::avx2::vectors::{LANES, load_f32, store_f32, sum};

/// Queries that share what is loaded.
const QUERIES: usize = 3;

/// Keys whose products are summed side by side: these sums, a vector of each query and one of a key take the 16 registers.
const KEYS: usize = 4;

/// Vectors of values that are summed side by side, likewise.
const VECTORS: usize = 4;

/// Write the products of `q (n_queries, n_embd_head)` with `keys (n, width)` to `scores (n_queries, BLOCK)`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_keys<C, const PER: usize>(
    q: &[[[f32; LANES]; PER]],
    keys: &[C],
    width: usize,
    load: &impl Fn(&C) -> [__m256; PER],
    scores: &mut [[f32; BLOCK]],
) {
    for (q, scores) in q.chunks(QUERIES * width).zip(scores.chunks_mut(QUERIES)) {
        match scores.len() {
            1 => multiply_keys_by::<C, PER, 1>(q, keys, width, load, scores),
            2 => multiply_keys_by::<C, PER, 2>(q, keys, width, load, scores),
            _ => multiply_keys_by::<C, PER, QUERIES>(q, keys, width, load, scores),
        }
    }
}

/// As [`multiply_keys`], for `N` queries.
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_keys_by<C, const PER: usize, const N: usize>(
    q: &[[[f32; LANES]; PER]],
    keys: &[C],
    width: usize,
    load: &impl Fn(&C) -> [__m256; PER],
    scores: &mut [[f32; BLOCK]],
) {
    let steps = keys.chunks_exact(KEYS * width);
    let (n_stepped, rest) = (steps.len() * KEYS, steps.remainder());
    for (step, keys) in steps.enumerate() {
        let products = tile::<C, PER, N, KEYS>(q, keys, width, load);
        for (scores, products) in scores.iter_mut().zip(products) {
            scores.as_chunks_mut().0[step] = sums(products);
        }
    }
    for (i, key) in rest.chunks_exact(width).enumerate() {
        let products = tile::<C, PER, N, 1>(q, key, width, load);
        for (scores, [product]) in scores.iter_mut().zip(products) {
            scores[n_stepped + i] = sum(product);
        }
    }
}

/// Return vectors whose sums are the products of the queries `q (N, width)` with `keys (K, width)`.
#[allow(clippy::needless_range_loop, reason = "iterators over arrays do not stay in registers")]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<C, const PER: usize, const N: usize, const K: usize>(
    q: &[[[f32; LANES]; PER]],
    keys: &[C],
    width: usize,
    load: &impl Fn(&C) -> [__m256; PER],
) -> [[__m256; K]; N] {
    let mut rows = [&[][..]; N];
    for n in 0..N {
        rows[n] = &q[n * width..(n + 1) * width];
    }
    let mut key_rows = [&[][..]; K];
    for k in 0..K {
        key_rows[k] = &keys[k * width..(k + 1) * width];
    }
    let mut acc = [[_mm256_setzero_ps(); K]; N];
    for i in 0..width {
        for k in 0..K {
            let key = load(&key_rows[k][i]);
            for part in 0..PER {
                for n in 0..N {
                    acc[n][k] = _mm256_fmadd_ps(load_f32(&rows[n][i][part]), key[part], acc[n][k]);
                }
            }
        }
    }
    acc
}

/// Return the sums of four vectors.
#[target_feature(enable = "avx2,fma,f16c")]
fn sums([a, b, c, d]: [__m256; KEYS]) -> [f32; KEYS] {
    let halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    let sums = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves));
    let mut out = [0.0; LANES];
    store_f32(&mut out, _mm256_castps128_ps256(sums));
    let [a, b, c, d, ..] = out;
    [a, b, c, d]
}

/// Add to `sums (n_queries, n_embd_head)` the `values (n, width)` times `weights (n_queries, BLOCK)`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn add_values<C, const PER: usize>(
    weights: &[[f32; BLOCK]],
    values: &[C],
    width: usize,
    load: &impl Fn(&C) -> [__m256; PER],
    sums: &mut [[[f32; LANES]; PER]],
) {
    for (weights, sums) in weights.chunks(QUERIES).zip(sums.chunks_mut(QUERIES * width)) {
        match weights.len() {
            1 => add_values_by::<C, PER, 1>(weights, values, width, load, sums),
            2 => add_values_by::<C, PER, 2>(weights, values, width, load, sums),
            _ => add_values_by::<C, PER, QUERIES>(weights, values, width, load, sums),
        }
    }
}

/// As [`add_values`], for `N` queries.
#[target_feature(enable = "avx2,fma,f16c")]
fn add_values_by<C, const PER: usize, const N: usize>(
    weights: &[[f32; BLOCK]],
    values: &[C],
    width: usize,
    load: &impl Fn(&C) -> [__m256; PER],
    sums: &mut [[[f32; LANES]; PER]],
) {
    let Some(weights) = weights.first_chunk() else { return };
    // Whole tiles, then chunk by chunk.
    let n_tiled = if PER == 1 { width / VECTORS * VECTORS } else { 0 };
    for first in (0..n_tiled).step_by(VECTORS) {
        add_tile::<C, PER, N, VECTORS>(weights, values, width, load, first, sums);
    }
    for first in n_tiled..width {
        add_tile::<C, PER, N, 1>(weights, values, width, load, first, sums);
    }
}

/// Add to the chunks `first..first + V` of each row of `sums (N, width)` the `values (n, width)` times `weights (N, n)`.
#[allow(clippy::needless_range_loop, reason = "iterators over arrays do not stay in registers")]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_tile<C, const PER: usize, const N: usize, const V: usize>(
    weights: &[[f32; BLOCK]; N],
    values: &[C],
    width: usize,
    load: &impl Fn(&C) -> [__m256; PER],
    first: usize,
    sums: &mut [[[f32; LANES]; PER]],
) {
    let mut acc = [[[_mm256_setzero_ps(); PER]; V]; N];
    for n in 0..N {
        for v in 0..V {
            for part in 0..PER {
                acc[n][v][part] = load_f32(&sums[n * width + first + v][part]);
            }
        }
    }
    for (i, value) in (0..BLOCK).zip(values.chunks_exact(width)) {
        let value = &value[first..first + V];
        for v in 0..V {
            let vectors = load(&value[v]);
            for n in 0..N {
                let weight = _mm256_set1_ps(weights[n][i]);
                for part in 0..PER {
                    acc[n][v][part] = _mm256_fmadd_ps(weight, vectors[part], acc[n][v][part]);
                }
            }
        }
    }
    for n in 0..N {
        for v in 0..V {
            for part in 0..PER {
                store_f32(&mut sums[n * width + first + v][part], acc[n][v][part]);
            }
        }
    }
}
