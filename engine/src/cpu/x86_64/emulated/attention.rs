//! Attention: keys and values are multiples of 2^-24 already, queries and weights are made multiples of 2^-23 of the largest.

use core::array;

use super::align;
use super::numbers::fixed_points;
use crate::cpu::attention::BLOCK;
use crate::cpu::{Found, KeysValues, Queries, generic};
use crate::kv_cache::KvType;
use crate::quant::{F16, blocks};

/// Queries that share a key as it is read.
const QUERIES: usize = 3;

/// Two neighbours of a key or value, which are read together.
type Pair = [F16; 2];

/// Pairs of a query that meet as many of a key at a time.
const N_PAIRS: usize = 32;

/// Binary digits of a query or weight after the point.
const FRACTION_BITS: i32 = 23;

/// As [`crate::cpu::Kernels::attend`].
pub(super) fn attend(
    queries: &Queries<'_>,
    seen: KeysValues<'_>,
    scratch: &mut [f32],
    found: &mut Found<'_>,
) {
    let width = queries.n_embd_head;
    if seen.kv_type != KvType::F16 || !width.is_multiple_of(2) {
        return generic::attend(queries, seen, scratch, found);
    }
    found.clear();
    let (keys, values) = (blocks::<F16>(seen.keys).as_chunks().0, blocks::<F16>(seen.values).as_chunks().0);
    let mut first = 0;
    while first < queries.len() {
        let set = Set { queries, first, keys, values };
        match queries.len() - first {
            1 => set.attend::<1>(found),
            2 => set.attend::<2>(found),
            _ => set.attend::<QUERIES>(found),
        }
        first += QUERIES;
    }
}

/// Some queries, from the `first` on, and what they look at: keys and values `(n, n_embd_head / 2)`.
struct Set<'a> {
    queries: &'a Queries<'a>,
    first: usize,
    keys: &'a [Pair],
    values: &'a [Pair],
}

impl Set<'_> {
    /// Let `N` queries look, block by block.
    fn attend<const N: usize>(&self, found: &mut Found<'_>) {
        let (queries, width) = (self.queries, self.queries.n_embd_head);
        let rows = self.first * width..(self.first + N) * width;
        let q: [&[f32]; N] = array::from_fn(|i| &queries.rows[rows.start + i * width..][..width]);
        let units = q.map(|q| unit(q.iter().fold(0.0, |largest, q| q.abs().max(largest))));
        let n_pairs = width / 2;
        let blocks = self.keys.chunks(BLOCK * n_pairs).zip(self.values.chunks(BLOCK * n_pairs));
        for (block, (keys, values)) in blocks.enumerate() {
            // The last query sees the most.
            let n = queries.n_seen_of(self.first + N - 1, block * BLOCK, keys.len() / n_pairs);
            if n == 0 {
                break;
            }
            let (keys, values) = (&keys[..n * n_pairs], &values[..n * n_pairs]);
            let mut weights = [[0_i64; BLOCK]; N];
            multiply_keys(&q, &units, keys, n_pairs, &mut weights);
            let mut factors = [1.0; N];
            for (i, weights) in weights.iter_mut().enumerate() {
                let query = self.first + i;
                let n_seen = queries.n_seen_of(query, block * BLOCK, n);
                let scale = queries.scale * units[i] * POINT_OF_F16;
                let (largest, total) = (&mut found.largest[query], &mut found.totals[query]);
                factors[i] = weigh(weights, n_seen, scale, largest, total);
            }
            add_values(&weights, &factors, values, n_pairs, &mut found.values[rows.clone()]);
        }
    }
}

/// The unit of a binary16.
const POINT_OF_F16: f32 = 1.0 / (1 << 24) as f32;

/// Return the unit of numbers of which the largest is `largest`.
fn unit(largest: f32) -> f32 {
    // Of zeros any will do.
    if largest > 0.0 { largest / (1 << FRACTION_BITS) as f32 } else { 1.0 }
}

/// Write the products of `q (N)(width)`, in `units`, with `keys (n, n_pairs)` to `products`.
fn multiply_keys<const N: usize>(
    q: &[&[f32]; N],
    units: &[f32; N],
    keys: &[Pair],
    n_pairs: usize,
    products: &mut [[i64; BLOCK]; N],
) {
    for first in (0..n_pairs).step_by(N_PAIRS) {
        let pairs = first..n_pairs.min(first + N_PAIRS);
        let mut fixed = [[[0_i64; 2]; N]; N_PAIRS];
        for (i, (q, unit)) in q.iter().zip(units).enumerate() {
            let inverse = 1.0 / unit;
            let q = q.as_chunks::<2>().0[pairs.clone()].iter();
            for (q, fixed) in q.zip(&mut fixed) {
                fixed[i] = q.map(|q| (q * inverse) as i64);
            }
        }
        for (position, key) in keys.chunks_exact(n_pairs).enumerate() {
            let mut sums = [0_i64; N];
            align();
            for (key, q) in key[pairs.clone()].iter().zip(&fixed) {
                let [first, second] = fixed_points(*key);
                for (sum, q) in sums.iter_mut().zip(q) {
                    *sum = sum.wrapping_add(first.wrapping_mul(q[0])).wrapping_add(second.wrapping_mul(q[1]));
                }
            }
            for (products, sum) in products.iter_mut().zip(sums) {
                products[position] = products[position].wrapping_add(sum);
            }
        }
    }
}

/// Turn the first `n` of `scores`, times `scale`, into weights `exp(score - largest)`, the others into zeros; bring
/// `largest_score` and `total` up to date, and return what earlier weights must be multiplied by.
fn weigh(scores: &mut [i64; BLOCK], n: usize, scale: f32, largest_score: &mut f32, total: &mut f32) -> f32 {
    let (seen, others) = scores.split_at_mut(n);
    others.fill(0);
    let Some(largest) = seen.iter().max() else { return 1.0 };
    let largest = (*largest as f32 * scale).max(*largest_score);
    let factor = if largest > *largest_score { libm::expf(*largest_score - largest) } else { 1.0 };
    let mut sum = 0;
    for score in seen {
        *score = (libm::expf(*score as f32 * scale - largest) * (1 << FRACTION_BITS) as f32) as i64;
        sum += *score;
    }
    *largest_score = largest;
    *total = *total * factor + sum as f32 / (1 << FRACTION_BITS) as f32;
    factor
}

/// Multiply `sums (N, n_pairs * 2)` by `factors` and add the `values (n, n_pairs)` times `weights`.
fn add_values<const N: usize>(
    weights: &[[i64; BLOCK]; N],
    factors: &[f32; N],
    values: &[Pair],
    n_pairs: usize,
    sums: &mut [f32],
) {
    const UNIT: f32 = POINT_OF_F16 / (1 << FRACTION_BITS) as f32;
    let by_position: [[i64; N]; BLOCK] = array::from_fn(|i| array::from_fn(|query| weights[query][i]));
    for pair in 0..n_pairs {
        let mut products = [[0_i64; 2]; N];
        align();
        for (value, weights) in values[pair..].iter().step_by(n_pairs).zip(&by_position) {
            let [first, second] = fixed_points(*value);
            for (products, weight) in products.iter_mut().zip(weights) {
                products[0] = products[0].wrapping_add(first.wrapping_mul(*weight));
                products[1] = products[1].wrapping_add(second.wrapping_mul(*weight));
            }
        }
        for ((sums, products), factor) in sums.chunks_exact_mut(2 * n_pairs).zip(products).zip(factors) {
            for (sum, product) in sums[2 * pair..2 * pair + 2].iter_mut().zip(products) {
                *sum = *sum * factor + product as f32 * UNIT;
            }
        }
    }
}
