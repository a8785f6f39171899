//! The keys and values of every token in the context, per layer.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::Error;
use crate::cpu::{Kernels, KeysValues};
use crate::memory::zeroed;
use crate::model::HParams;
use crate::quant::TensorType;

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

impl KvType {
    /// Every type.
    pub const ALL: [Self; 2] = [Self::F16, Self::F32];

    /// Return the type of their blocks.
    pub fn tensor_type(self) -> TensorType {
        match self {
            Self::F16 => TensorType::F16,
            Self::F32 => TensorType::F32,
        }
    }

    /// Return how many bytes `n` floats take.
    pub(crate) fn n_bytes(self, n: usize) -> usize {
        let kind = self.tensor_type();
        n / kind.block_len() * kind.block_bytes()
    }
}

/// Keys and values for `n_ctx` tokens, each `(n_layer, n_head_kv, n_ctx, n_embd_head)`: what one head reads lies in one piece.
#[derive(Debug)]
pub(crate) struct KvCache {
    kv_type: KvType,
    /// Blocks of `kv_type`.
    keys: Vec<u8>,
    /// Blocks of `kv_type`.
    values: Vec<u8>,
    n_head_kv: usize,
    n_ctx: usize,
    n_embd_head: usize,
}

impl KvCache {
    /// Return an empty cache for `n_ctx` tokens.
    pub(crate) fn new(hparams: &HParams, n_ctx: usize, kv_type: KvType) -> Result<Self, Error> {
        let n_bytes = hparams.n_layer * hparams.n_head_kv * n_ctx * kv_type.n_bytes(hparams.n_embd_head);
        Ok(Self {
            kv_type,
            keys: zeroed("the keys of the context", n_bytes)?,
            values: zeroed("the values of the context", n_bytes)?,
            n_head_kv: hparams.n_head_kv,
            n_ctx,
            n_embd_head: hparams.n_embd_head,
        })
    }

    /// Return how many bytes [`Self::new`] allocates.
    pub(crate) fn bytes(hparams: &HParams, n_ctx: usize, kv_type: KvType) -> u64 {
        let head_bytes = kv_type.n_bytes(hparams.n_embd_head);
        let per_token = 2 * (hparams.n_layer * hparams.n_head_kv * head_bytes) as u64;
        per_token.saturating_mul(n_ctx as u64)
    }

    /// Return how many bytes this one takes.
    pub(crate) fn size_bytes(&self) -> u64 {
        (self.keys.len() + self.values.len()) as u64
    }

    /// Store `keys` and `values (n_tokens, n_head_kv, n_embd_head)` of the tokens from `position` on.
    pub(crate) fn store(
        &mut self,
        kernels: &Kernels,
        layer: usize,
        position: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        for head in 0..self.n_head_kv {
            let kept = self.bytes_of(layer, head, position..self.n_ctx);
            for (kept, rows) in [(&mut self.keys[kept.clone()], keys), (&mut self.values[kept], values)] {
                let rows = rows.chunks_exact(self.n_embd_head).skip(head).step_by(self.n_head_kv);
                let kept = kept.chunks_exact_mut(self.kv_type.n_bytes(self.n_embd_head));
                for (kept, row) in kept.zip(rows) {
                    kernels.keep(self.kv_type, row, kept);
                }
            }
        }
    }

    /// Return what a head keeps of `positions`.
    pub(crate) fn positions(&self, layer: usize, head: usize, positions: Range<usize>) -> KeysValues<'_> {
        let bytes = self.bytes_of(layer, head, positions);
        KeysValues { kv_type: self.kv_type, keys: &self.keys[bytes.clone()], values: &self.values[bytes] }
    }

    /// Take the positions `removed` out of the first `n_positions`: those behind them move up, and `turn` changes each head
    /// of their keys `(n_embd_head)`.
    pub(crate) fn remove(
        &mut self,
        kernels: &Kernels,
        removed: Range<usize>,
        n_positions: usize,
        turn: &dyn Fn(&mut [f32]),
    ) {
        let row_bytes = self.kv_type.n_bytes(self.n_embd_head);
        let moved = removed.end * row_bytes..n_positions * row_bytes;
        let to = removed.start * row_bytes;
        let mut floats = vec![0.0; self.n_embd_head];
        let head_bytes = self.n_ctx * row_bytes;
        let heads = self.keys.chunks_exact_mut(head_bytes).zip(self.values.chunks_exact_mut(head_bytes));
        for (keys, values) in heads {
            keys.copy_within(moved.clone(), to);
            values.copy_within(moved.clone(), to);
            for key in keys[to..][..moved.len()].chunks_exact_mut(row_bytes) {
                self.kv_type.tensor_type().dequantize(key, &mut floats);
                turn(&mut floats);
                kernels.keep(self.kv_type, &floats, key);
            }
        }
    }

    /// Return the keys and the values of a head, each `(n_positions, n_embd_head)`, as floats.
    #[cfg(test)]
    pub(crate) fn head(&self, layer: usize, head: usize, n_positions: usize) -> [Vec<f32>; 2] {
        let KeysValues { kv_type, keys, values } = self.positions(layer, head, 0..n_positions);
        [keys, values].map(|kept| {
            let mut floats = vec![0.0; n_positions * self.n_embd_head];
            kv_type.tensor_type().dequantize(kept, &mut floats);
            floats
        })
    }

    /// Return where `positions` of a head lie.
    fn bytes_of(&self, layer: usize, head: usize, positions: Range<usize>) -> Range<usize> {
        let row_bytes = self.kv_type.n_bytes(self.n_embd_head);
        let start = (layer * self.n_head_kv + head) * self.n_ctx;
        (start + positions.start) * row_bytes..(start + positions.end) * row_bytes
    }
}
