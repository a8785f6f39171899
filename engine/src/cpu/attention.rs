//! Attention as every instruction set computes it: what goes in, what comes out, and what lies between.
//!
//! Queries look at a range of positions, in blocks; softmax's largest score and its sum are kept beside the sums of values,
//! and all is scaled anew where a block has a larger score (online softmax: arXiv 1805.02867; memory-efficient attention:
//! arXiv 2112.05682; FlashAttention: arXiv 2205.14135). So no row of scores is as long as the context, a key is read once
//! for all queries, and several cores can share a range.

use crate::kv_cache::KvType;

/// Positions whose scores are computed together.
pub(crate) const BLOCK: usize = 64;

/// Queries that look at the same keys: those of one head of keys and values, of consecutive tokens.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    /// `(n_tokens, n_group, n_embd_head)`.
    pub rows: &'a [f32],
    /// How wide a head is.
    pub n_embd_head: usize,
    /// How many heads of queries share the keys.
    pub n_group: usize,
    /// How many positions the first token sees; each further one sees one more.
    pub n_seen: usize,
    /// What the products with keys are multiplied by.
    pub scale: f32,
    /// Whether these are several tokens', or one's of several: sums are then taken in the same order however a batch is cut.
    pub is_batch: bool,
}

impl Queries<'_> {
    /// Return how many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len() / self.n_embd_head
    }

    /// Return how many of the `n` positions from `start` on query `i` sees.
    pub(super) fn n_seen_of(&self, i: usize, start: usize, n: usize) -> usize {
        (self.n_seen + i / self.n_group).saturating_sub(start).min(n)
    }

    /// Return the first query that sees the position `start`.
    pub(super) fn first_to_see(&self, start: usize) -> usize {
        ((start + 1).saturating_sub(self.n_seen) * self.n_group).min(self.len())
    }
}

/// The keys and values of consecutive positions, each `(n, n_embd_head)`, as the cache keeps them.
#[derive(Clone, Copy, Debug)]
pub struct KeysValues<'a> {
    /// What they are kept as.
    pub kv_type: KvType,
    /// Blocks of `kv_type`.
    pub keys: &'a [u8],
    /// Blocks of `kv_type`.
    pub values: &'a [u8],
}

/// What queries have found in a range of positions.
#[derive(Debug)]
pub struct Found<'a> {
    /// The values' sums, weighted by `exp(score - largest)`, `(n_queries, n_embd_head)`.
    pub values: &'a mut [f32],
    /// The largest score, `(n_queries)`; minus infinity where no position was seen.
    pub largest: &'a mut [f32],
    /// The sums of the weights, `(n_queries)`.
    pub totals: &'a mut [f32],
}

impl<'a> Found<'a> {
    /// Return how many floats it takes.
    pub(crate) fn n_floats(n_queries: usize, n_embd_head: usize) -> usize {
        n_queries * (n_embd_head + 2)
    }

    /// Return room for what `n_queries` find, in `floats` of just that size.
    pub(crate) fn on(floats: &'a mut [f32], n_queries: usize) -> Self {
        let (values, sums) = floats.split_at_mut(floats.len() - 2 * n_queries);
        let (largest, totals) = sums.split_at_mut(n_queries);
        Self { values, largest, totals }
    }

    /// Begin: nothing was seen.
    pub(super) fn clear(&mut self) {
        self.values.fill(0.0);
        self.largest.fill(f32::NEG_INFINITY);
        self.totals.fill(0.0);
    }
}

/// Write to `out (n_embd_head)` what query `i` of `n_queries` found in all `parts` of the context, each laid out as
/// [`Found::on`] does: the weighted mean of the values.
pub(crate) fn join<'a>(
    parts: impl Iterator<Item = &'a [f32]> + Clone,
    i: usize,
    n_queries: usize,
    out: &mut [f32],
) {
    let sums = |part: &[f32]| {
        let (largest, totals) = part[part.len() - 2 * n_queries..].split_at(n_queries);
        (largest[i], totals[i])
    };
    let largest = parts.clone().map(|part| sums(part).0).fold(f32::NEG_INFINITY, f32::max);
    let weight = |part: &[f32]| libm::expf(sums(part).0 - largest);
    let total: f32 = parts.clone().map(|part| weight(part) * sums(part).1).sum();
    out.fill(0.0);
    for part in parts {
        let weight = weight(part) / total;
        let values = &part[i * out.len()..];
        for (out, value) in out.iter_mut().zip(values) {
            *out += weight * value;
        }
    }
}

/// Return how many floats of scratch attention takes for up to `n_queries`: scores, and a block of keys and of values.
pub(crate) fn scratch_len(n_queries: usize, n_embd_head: usize) -> usize {
    BLOCK * (n_queries + 2 * n_embd_head)
}
