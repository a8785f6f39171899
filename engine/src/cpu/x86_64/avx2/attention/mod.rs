//! Attention, block by block of positions: scores, softmax, values.
//!
//! Up to [`FEW`] queries of one token read keys and values [directly](few): memory sets their pace. For more, a block is
//! made floats once, and two [products of matrices](many) remain.

mod few;
mod many;

use core::arch::x86_64::*;

use zerocopy::little_endian::F32;

use super::ops::exp;
use super::vectors::{LANES, largest, load_f16_le, load_f32, load_f32_le, load_i8, store_f32, sum};
use crate::cpu::attention::{BLOCK, Found, KeysValues, Queries};
use crate::cpu::generic;
use crate::cpu::x86_64::products::Product;
use crate::kv_cache::KvType;
use crate::quant::{BlockQ8_0, F16, QK, blocks};

pub(in crate::cpu::x86_64) use many::multiply;

/// Queries that are few.
const FEW: usize = 8;

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn attend(
    queries: &Queries<'_>,
    seen: KeysValues<'_>,
    scratch: &mut [f32],
    found: &mut Found<'_>,
) {
    attend_by(queries, seen, scratch, found, |product, out| multiply(product, out));
}

/// As [`attend`], with `multiply` for the products of matrices; it does what [`many::multiply`] does.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn attend_by(
    queries: &Queries<'_>,
    seen: KeysValues<'_>,
    scratch: &mut [f32],
    found: &mut Found<'_>,
    multiply: impl Fn(&Product<'_>, &mut [f32]),
) {
    // No model has such heads but those of tests.
    if !queries.n_embd_head.is_multiple_of(LANES) {
        return generic::attend(queries, seen, scratch, found);
    }
    let KeysValues { kv_type, keys, values } = seen;
    match kv_type {
        KvType::F16 => {
            let (keys, values) = (blocks::<F16>(keys).as_chunks().0, blocks::<F16>(values).as_chunks().0);
            attend_rows(queries, keys, values, |floats| [load_f16_le(floats)], scratch, found, multiply);
        }
        KvType::F32 => {
            let (keys, values) = (blocks::<F32>(keys).as_chunks().0, blocks::<F32>(values).as_chunks().0);
            attend_rows(queries, keys, values, |floats| [load_f32_le(floats)], scratch, found, multiply);
        }
        KvType::Q8_0 => {
            let (keys, values) = (blocks(keys), blocks(values));
            attend_rows(queries, keys, values, |block| widen_q8_0(block), scratch, found, multiply);
        }
    }
}

/// As [`attend`], with `keys` and `values (n, n_embd_head / (PER * LANES))`, each of `PER` vectors that `load` returns.
#[target_feature(enable = "avx2,fma,f16c")]
fn attend_rows<C, const PER: usize>(
    queries: &Queries<'_>,
    keys: &[C],
    values: &[C],
    load: impl Fn(&C) -> [__m256; PER],
    scratch: &mut [f32],
    found: &mut Found<'_>,
    multiply: impl Fn(&Product<'_>, &mut [f32]),
) {
    let n_embd_head = queries.n_embd_head;
    let width = n_embd_head / (PER * LANES);
    let (keys_scratch, scratch) = scratch.split_at_mut(BLOCK * n_embd_head);
    let (values_scratch, scores) = scratch.split_at_mut(BLOCK * n_embd_head);
    let is_few = !queries.is_batch && queries.len() <= FEW;
    found.clear();
    let blocks = keys.chunks(BLOCK * width).zip(values.chunks(BLOCK * width)).enumerate();
    for (block, (keys, values)) in blocks {
        let (start, n) = (block * BLOCK, keys.len() / width);
        let first = queries.first_to_see(start);
        let q = &queries.rows[first * n_embd_head..];
        let scores = &mut scores[..q.len() / n_embd_head * BLOCK];
        if is_few {
            few::multiply_keys(vectors(q), keys, width, &load, scores.as_chunks_mut().0);
        } else {
            many::transpose(keys, width, &load, keys_scratch);
            let keys = Product {
                a: q,
                a_width: n_embd_head,
                b: keys_scratch,
                b_width: BLOCK,
                n_columns: n,
                adds: false,
            };
            multiply(&keys, scores);
        }
        for (i, scores) in (first..).zip(scores.as_chunks_mut().0) {
            let n_seen = queries.n_seen_of(i, start, n);
            let (largest, total) = (&mut found.largest[i], &mut found.totals[i]);
            let factor = weigh(scores, n_seen, queries.scale, largest, total);
            if factor != 1.0 {
                multiply_all(&mut found.values[i * n_embd_head..][..n_embd_head], factor);
            }
        }
        let sums = &mut found.values[first * n_embd_head..];
        if is_few {
            let sums = sums.as_chunks_mut().0.as_chunks_mut().0;
            few::add_values(scores.as_chunks().0, values, width, &load, sums);
        } else {
            let values_scratch = &mut values_scratch[..n * n_embd_head];
            many::widen(values, &load, values_scratch);
            let values = Product {
                a: scores,
                a_width: BLOCK,
                b: values_scratch,
                b_width: n_embd_head,
                n_columns: n_embd_head,
                adds: true,
            };
            multiply(&values, sums);
        }
    }
}

/// Return the 32 floats of a block.
#[target_feature(enable = "avx2,fma,f16c")]
fn widen_q8_0(block: &BlockQ8_0) -> [__m256; QK / LANES] {
    let scale = _mm256_cvtph_ps(_mm_cvtsi32_si128(i32::from(u16::from_le_bytes(block.d.0))));
    let scale = _mm256_broadcastss_ps(_mm256_castps256_ps128(scale));
    let quants = load_i8(&block.qs);
    let (low, high) = (_mm256_castsi256_si128(quants), _mm256_extracti128_si256::<1>(quants));
    let eights = [low, _mm_unpackhi_epi64(low, low), high, _mm_unpackhi_epi64(high, high)];
    let mut out = [_mm256_setzero_ps(); QK / LANES];
    for (out, eight) in out.iter_mut().zip(eights) {
        *out = _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)));
    }
    out
}

/// Return `floats` as the vectors that stand against a chunk.
fn vectors<const PER: usize>(floats: &[f32]) -> &[[[f32; LANES]; PER]] {
    floats.as_chunks().0.as_chunks().0
}

/// Turn the first `n` of `scores`, times `scale`, into weights `exp(score - largest)`, the others into zeros; bring `largest` and
/// `total` up to date, and return what earlier weights must be multiplied by.
#[target_feature(enable = "avx2,fma,f16c")]
fn weigh(scores: &mut [f32; BLOCK], n: usize, scale: f32, largest_score: &mut f32, total: &mut f32) -> f32 {
    scores[n..].fill(f32::NEG_INFINITY);
    let vectors = &mut scores.as_chunks_mut::<LANES>().0[..n.div_ceil(LANES)];
    let mut max = _mm256_set1_ps(f32::NEG_INFINITY);
    for x in &*vectors {
        max = _mm256_max_ps(max, load_f32(x));
    }
    let max = (scale * largest(max)).max(*largest_score);
    let factor = if max > *largest_score { libm::expf(*largest_score - max) } else { 1.0 };
    let (scale, max_of_all) = (_mm256_set1_ps(scale), _mm256_set1_ps(max));
    let mut weights = _mm256_setzero_ps();
    for x in &mut *vectors {
        let weight = exp(_mm256_fmsub_ps(load_f32(x), scale, max_of_all));
        weights = _mm256_add_ps(weights, weight);
        store_f32(x, weight);
    }
    scores[n..].fill(0.0);
    *largest_score = max;
    *total = *total * factor + sum(weights);
    factor
}

#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_all(x: &mut [f32], factor: f32) {
    for x in x.as_chunks_mut().0 {
        let product = _mm256_mul_ps(load_f32(x), _mm256_set1_ps(factor));
        store_f32(x, product);
    }
}
