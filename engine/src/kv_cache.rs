//! The keys and values of every token in the context, per layer.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use half::f16;
use zerocopy::little_endian::F32;

use crate::Error;
use crate::cpu::Kernels;
use crate::memory::zeroed;
use crate::model::HParams;
use crate::ops::attend_f32;

/// The floats that keys and values are kept as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// binary16: half the memory, and close enough for every model known.
    #[default]
    F16,
    /// 32-bit floats: what the model computed, exactly.
    F32,
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
        })
    }
}

/// Keys and values for `n_ctx` tokens.
#[derive(Debug)]
pub(crate) struct KvCache {
    floats: Floats,
    n_head_kv: usize,
    n_ctx: usize,
    n_embd_head: usize,
}

#[derive(Debug)]
enum Floats {
    F16(Pair<f16>),
    F32(Pair<F32>),
}

/// Keys and values, each `(n_layer, n_head_kv, n_ctx, n_embd_head)`: what one head reads lies in one piece.
#[derive(Debug)]
struct Pair<T> {
    keys: Vec<T>,
    values: Vec<T>,
}

impl KvCache {
    /// Return an empty cache for `n_ctx` tokens.
    pub(crate) fn new(hparams: &HParams, n_ctx: usize, kv_type: KvType) -> Result<Self, Error> {
        let len = hparams.n_layer * hparams.n_embd_kv() * n_ctx;
        Ok(Self {
            floats: match kv_type {
                KvType::F16 => Floats::F16(Pair::new(len)?),
                KvType::F32 => Floats::F32(Pair::new(len)?),
            },
            n_head_kv: hparams.n_head_kv,
            n_ctx,
            n_embd_head: hparams.n_embd_head,
        })
    }

    /// Return how many bytes [`Self::new`] allocates.
    pub(crate) fn bytes(hparams: &HParams, n_ctx: usize, kv_type: KvType) -> u64 {
        let float_bytes = match kv_type {
            KvType::F16 => size_of::<f16>(),
            KvType::F32 => size_of::<F32>(),
        };
        let per_token = 2 * (hparams.n_layer * hparams.n_embd_kv() * float_bytes) as u64;
        per_token.saturating_mul(n_ctx as u64)
    }

    /// Return how many bytes this one takes.
    pub(crate) fn size_bytes(&self) -> u64 {
        let bytes = match &self.floats {
            Floats::F16(pair) => size_of_val(&*pair.keys) + size_of_val(&*pair.values),
            Floats::F32(pair) => size_of_val(&*pair.keys) + size_of_val(&*pair.values),
        };
        bytes as u64
    }

    /// Store `keys` and `values (n_tokens, n_head_kv, n_embd_head)` of the tokens from `position` on.
    pub(crate) fn store(&mut self, layer: usize, position: usize, keys: &[f32], values: &[f32]) {
        let heads = keys.chunks_exact(self.n_embd_head).zip(values.chunks_exact(self.n_embd_head));
        for (i, (key, value)) in heads.enumerate() {
            let (position, head) = (position + i / self.n_head_kv, i % self.n_head_kv);
            let start = self.start(layer, head) + position * self.n_embd_head;
            match &mut self.floats {
                Floats::F16(pair) => pair.store(start, key, value, f16::from_f32),
                Floats::F32(pair) => pair.store(start, key, value, F32::new),
            }
        }
    }

    /// Write to `out (n_embd_head)` what the query `q (n_embd_head)` finds in the context's first positions, as many as
    /// `scores`, which is scratch.
    pub(crate) fn attend(
        &self,
        kernels: &Kernels,
        (layer, head): (usize, usize),
        q: &[f32],
        scale: f32,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let start = self.start(layer, head);
        let seen = start..start + scores.len() * self.n_embd_head;
        match &self.floats {
            Floats::F16(Pair { keys, values }) => {
                kernels.attend(q, &keys[seen.clone()], &values[seen], scale, scores, out);
            }
            Floats::F32(Pair { keys, values }) => {
                attend_f32(kernels, q, (&keys[seen.clone()], &values[seen]), scale, scores, out);
            }
        }
    }

    /// Take the positions `removed` out of the first `n_positions`: those behind them move up, and `turn` changes each head
    /// of their keys `(n_embd_head)`.
    pub(crate) fn remove(&mut self, removed: Range<usize>, n_positions: usize, turn: &dyn Fn(&mut [f32])) {
        let width = self.n_embd_head;
        let head_len = self.n_ctx * width;
        let moved = removed.end * width..n_positions * width;
        let to = removed.start * width;
        match &mut self.floats {
            Floats::F16(pair) => pair.move_up(head_len, moved, to, |keys| {
                turn_each(keys, width, turn, f16::to_f32, f16::from_f32);
            }),
            Floats::F32(pair) => pair.move_up(head_len, moved, to, |keys| {
                turn_each(keys, width, turn, F32::get, F32::new);
            }),
        }
    }

    /// Return the keys and the values of a head, each `(n_positions, n_embd_head)`, as floats.
    #[cfg(test)]
    pub(crate) fn head(&self, layer: usize, head: usize, n_positions: usize) -> [Vec<f32>; 2] {
        let start = self.start(layer, head);
        let seen = start..start + n_positions * self.n_embd_head;
        match &self.floats {
            Floats::F16(Pair { keys, values }) => {
                [keys, values].map(|kept| kept[seen.clone()].iter().map(|kept| kept.to_f32()).collect())
            }
            Floats::F32(Pair { keys, values }) => {
                [keys, values].map(|kept| kept[seen.clone()].iter().map(|kept| kept.get()).collect())
            }
        }
    }

    /// Return where the first position of a head begins.
    fn start(&self, layer: usize, head: usize) -> usize {
        (layer * self.n_head_kv + head) * self.n_ctx * self.n_embd_head
    }
}

impl<T: Copy + Default> Pair<T> {
    fn new(len: usize) -> Result<Self, Error> {
        Ok(Self {
            keys: zeroed("the keys of the context", len)?,
            values: zeroed("the values of the context", len)?,
        })
    }

    /// Keep `key` and `value` from `start` on, as `keep` makes them.
    fn store(&mut self, start: usize, key: &[f32], value: &[f32], keep: impl Fn(f32) -> T) {
        for (kept, floats) in [(&mut self.keys, key), (&mut self.values, value)] {
            for (kept, &float) in kept[start..].iter_mut().zip(floats) {
                *kept = keep(float);
            }
        }
    }

    /// Move `moved` of each head, `head_len` long, up to `to`, and let `change` change the keys that it moved.
    fn move_up(&mut self, head_len: usize, moved: Range<usize>, to: usize, change: impl Fn(&mut [T])) {
        let heads = self.keys.chunks_exact_mut(head_len).zip(self.values.chunks_exact_mut(head_len));
        for (keys, values) in heads {
            keys.copy_within(moved.clone(), to);
            values.copy_within(moved.clone(), to);
            change(&mut keys[to..][..moved.len()]);
        }
    }
}

/// Let `turn` change each key of `keys (n, width)`, which are kept as `keep` makes them.
fn turn_each<T: Copy>(
    keys: &mut [T],
    width: usize,
    turn: &dyn Fn(&mut [f32]),
    widen: impl Fn(T) -> f32,
    keep: impl Fn(f32) -> T,
) {
    let mut wide = vec![0.0; width];
    for key in keys.chunks_exact_mut(width) {
        for (wide, &kept) in wide.iter_mut().zip(&*key) {
            *wide = widen(kept);
        }
        turn(&mut wide);
        for (kept, &wide) in key.iter_mut().zip(&wide) {
            *kept = keep(wide);
        }
    }
}
