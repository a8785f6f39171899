//! Attention over the cores: who looks at what.
//!
//! The queries of heads that share keys and values go together. One token is cut by heads and by positions, so that all
//! cores have a part of the context to read whatever the number of heads, and what was found in the parts is joined. Several
//! tokens are cut by tokens: fewer of the later ones, which see more, weigh as much as more of the earlier. Either way, how
//! many cores there are changes no sum.

use crate::cpu::FEW_TOKENS;
use crate::cpu::attention::{BLOCK, Found, Queries, join, scratch_len};
use crate::kv_cache::KvCache;
use crate::model::HParams;
use crate::parallel::{Cores, share};

/// Queries of several tokens that look at a block of the context together, at least: its way to floats is then short beside
/// the products, and all stays in the second-level cache.
const TILE: usize = 64;

/// The most parts that a head's context is cut into for one token.
const MAX_SPLITS: usize = 8;

/// How one layer's attention is cut for a number of cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    n_cores: usize,
    n_head_kv: usize,
    /// Heads of queries for each of keys and values.
    n_group: usize,
    n_embd_head: usize,
}

impl Cut {
    /// Return the cut of attention for `n_cores`.
    pub(crate) fn new(hparams: &HParams, n_cores: usize) -> Self {
        let HParams { n_head, n_head_kv, n_embd_head, .. } = *hparams;
        Self { n_cores, n_head_kv, n_group: n_head / n_head_kv, n_embd_head }
    }

    /// Return how many floats of scratch [`attend`] takes.
    pub(crate) fn scratch_len(&self) -> usize {
        self.parts_len() + self.n_cores * self.core_len()
    }

    /// Return in how many parts each head's context of `n_seen` positions is cut for one token.
    fn n_splits(&self, n_seen: usize) -> usize {
        (n_seen / BLOCK).clamp(1, MAX_SPLITS)
    }

    /// Return how many floats what is found in a part takes.
    fn part_len(&self) -> usize {
        Found::n_floats(self.n_group, self.n_embd_head)
    }

    /// Return how many floats what is found in all parts takes.
    fn parts_len(&self) -> usize {
        self.n_head_kv * MAX_SPLITS * self.part_len()
    }

    /// Return how many of several tokens look at the context together.
    fn n_tokens_together(&self) -> usize {
        TILE.div_ceil(self.n_group)
    }

    /// Return how many floats of scratch a core takes: some tokens' queries, what they find, and the inner loop's.
    fn core_len(&self) -> usize {
        let n_queries = self.n_tokens_together() * self.n_group;
        let found_len = Found::n_floats(n_queries, self.n_embd_head);
        n_queries * self.n_embd_head + found_len + scratch_len(n_queries, self.n_embd_head)
    }
}

/// Write to `out (n_tokens, n_head, n_embd_head)` what the queries `q (n_tokens, n_head, n_embd_head)` of the tokens from
/// `position` on find in `layer` of the context. `scratch` is as long as [`Cut::scratch_len`] says.
pub(crate) fn attend(
    cores: &Cores<'_>,
    kv: &KvCache,
    cut: &Cut,
    (layer, position): (usize, usize),
    q: &[f32],
    scratch: &mut [f32],
    out: &mut [f32],
) {
    let (parts, scratch) = scratch.split_at_mut(cut.parts_len());
    let mut layer =
        Layer { cores, kv, cut, layer, position, scale: 1.0 / libm::sqrtf(cut.n_embd_head as f32) };
    let n_embd_q = cut.n_head_kv * cut.n_group * cut.n_embd_head;
    if q.len() > FEW_TOKENS * n_embd_q {
        return layer.attend_several(q, scratch, out);
    }
    // Few tokens find what each finds alone, to the bit.
    for (q, out) in q.chunks_exact(n_embd_q).zip(out.chunks_exact_mut(n_embd_q)) {
        layer.attend_one(q, parts, scratch, out);
        layer.position += 1;
    }
}

/// A layer's attention at work.
struct Layer<'a> {
    cores: &'a Cores<'a>,
    kv: &'a KvCache,
    cut: &'a Cut,
    layer: usize,
    position: usize,
    scale: f32,
}

impl Layer<'_> {
    /// Let one token look at the context, `parts` of it at a time.
    fn attend_one(&self, q: &[f32], parts: &mut [f32], scratch: &mut [f32], out: &mut [f32]) {
        let Cut { n_group, n_embd_head, .. } = *self.cut;
        let (n_seen, part_len) = (self.position + 1, self.cut.part_len());
        let n_splits = self.cut.n_splits(n_seen);
        let n_parts = self.cut.n_head_kv * n_splits;
        let parts = &mut parts[..n_parts * part_len];
        let group_len = n_group * n_embd_head;
        let cut = |core| share(n_parts, core, self.cut.n_cores);
        self.cores.for_each_share(parts, part_len, &cut, scratch, &|units, scratch, parts| {
            for (unit, part) in units.zip(parts.chunks_exact_mut(part_len)) {
                let (head, split) = (unit / n_splits, unit % n_splits);
                let positions = share(n_seen, split, n_splits);
                let rows = &q[head * group_len..][..group_len];
                let (n_seen, scale) = (positions.len(), self.scale);
                let queries = Queries { rows, n_embd_head, n_group, n_seen, scale, is_batch: false };
                let seen = self.kv.positions(self.layer, head, positions);
                self.cores.kernels.attend(&queries, seen, scratch, &mut Found::on(part, n_group));
            }
        });
        let parts = parts.chunks_exact(n_splits * part_len);
        for (parts, out) in parts.zip(out.chunks_exact_mut(group_len)) {
            for (i, out) in out.chunks_exact_mut(n_embd_head).enumerate() {
                join(parts.chunks_exact(part_len), i, n_group, out);
            }
        }
    }

    /// Let several tokens look at the context, each core its share of them.
    fn attend_several(&self, q: &[f32], scratch: &mut [f32], out: &mut [f32]) {
        let Cut { n_cores, n_head_kv, n_group, n_embd_head, .. } = *self.cut;
        let n_embd_q = n_head_kv * n_group * n_embd_head;
        let group_len = n_group * n_embd_head;
        let n_tokens = q.len() / n_embd_q;
        let end = |core| equal_work(n_tokens, self.position, core, n_cores);
        let cut = |core| end(core)..end(core + 1);
        self.cores.for_each_share(out, n_embd_q, &cut, scratch, &|tokens, scratch, out| {
            let together = self.cut.n_tokens_together();
            for (i, out) in out.chunks_mut(together * n_embd_q).enumerate() {
                let first = tokens.start + i * together;
                let n_tokens = out.len() / n_embd_q;
                let n_queries = n_tokens * n_group;
                let (rows, scratch) = scratch.split_at_mut(n_queries * n_embd_head);
                let (found, scratch) = scratch.split_at_mut(Found::n_floats(n_queries, n_embd_head));
                for head in 0..n_head_kv {
                    let of_head = head * group_len..(head + 1) * group_len;
                    let tokens = q[first * n_embd_q..].chunks_exact(n_embd_q);
                    for (row, token) in rows.chunks_exact_mut(group_len).zip(tokens) {
                        row.copy_from_slice(&token[of_head.clone()]);
                    }
                    let n_seen = self.position + first + 1;
                    let scale = self.scale;
                    let queries = Queries { rows, n_embd_head, n_group, n_seen, scale, is_batch: true };
                    let seen = self.kv.positions(self.layer, head, 0..n_seen + n_tokens - 1);
                    self.cores.kernels.attend(&queries, seen, scratch, &mut Found::on(found, n_queries));
                    for (token, out) in out.chunks_exact_mut(n_embd_q).enumerate() {
                        for (i, out) in out[of_head.clone()].chunks_exact_mut(n_embd_head).enumerate() {
                            join([&*found].into_iter(), token * n_group + i, n_queries, out);
                        }
                    }
                }
            }
        });
    }
}

/// Return where core `core`'s share of `n_tokens` tokens from `position` on begins, when each costs what it sees.
fn equal_work(n_tokens: usize, position: usize, core: usize, n_cores: usize) -> usize {
    let work = |n: usize| n * position + n * (n + 1) / 2;
    let before = work(n_tokens) * core / n_cores;
    (0..n_tokens).find(|&n| work(n) >= before).unwrap_or(n_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_somebodys_and_the_work_is_even() {
        for (n_tokens, position, n_cores) in [(512, 0, 2), (512, 1536, 7), (3, 0, 64), (2, 9, 2), (64, 5, 64)]
        {
            let begins: alloc::vec::Vec<_> =
                (0..=n_cores).map(|core| equal_work(n_tokens, position, core, n_cores)).collect();
            assert_eq!((begins[0], begins[n_cores]), (0, n_tokens));
            let seen = |tokens: core::ops::Range<usize>| tokens.map(|i| position + i + 1).sum::<usize>();
            let even = seen(0..n_tokens) / n_cores;
            for shares in begins.windows(2) {
                assert!(shares[0] <= shares[1]);
                // A token is whole.
                assert!(seen(shares[0]..shares[1]) <= even + 2 * (position + n_tokens));
            }
        }
        assert_eq!(equal_work(512, 0, 1, 2), 362);
    }
}
