//! The keys and values of every token in the context, per layer, as binary16.

use alloc::vec::Vec;

use half::f16;

use crate::Error;
use crate::memory::zeroed;
use crate::model::HParams;

/// Keys and values, each `(n_layer, n_head_kv, n_ctx, n_embd_head)`: what one head reads lies in one piece.
#[derive(Debug)]
pub(crate) struct KvCache {
    keys: Vec<f16>,
    values: Vec<f16>,
    n_head_kv: usize,
    n_ctx: usize,
    n_embd_head: usize,
}

impl KvCache {
    /// Return an empty cache for `n_ctx` tokens.
    pub(crate) fn new(hparams: &HParams, n_ctx: usize) -> Result<Self, Error> {
        let len = hparams.n_layer * hparams.n_embd_kv() * n_ctx;
        Ok(Self {
            keys: zeroed("the keys of the context", len)?,
            values: zeroed("the values of the context", len)?,
            n_head_kv: hparams.n_head_kv,
            n_ctx,
            n_embd_head: hparams.n_embd_head,
        })
    }

    /// Return how many bytes a cache for `n_ctx` tokens takes.
    pub(crate) fn bytes(hparams: &HParams, n_ctx: usize) -> u64 {
        let per_token = 2 * (hparams.n_layer as u64) * (hparams.n_embd_kv() as u64) * size_of::<f16>() as u64;
        per_token.saturating_mul(n_ctx as u64)
    }

    /// Store `keys` and `values (n_tokens, n_head_kv, n_embd_head)` of the tokens from `position` on.
    pub(crate) fn store(&mut self, layer: usize, position: usize, keys: &[f32], values: &[f32]) {
        let n_embd_kv = self.n_head_kv * self.n_embd_head;
        let tokens = keys.chunks_exact(n_embd_kv).zip(values.chunks_exact(n_embd_kv));
        for (position, (keys, values)) in (position..).zip(tokens) {
            let heads = keys.chunks_exact(self.n_embd_head).zip(values.chunks_exact(self.n_embd_head));
            for (head, (key, value)) in heads.enumerate() {
                let start = self.start(layer, head) + position * self.n_embd_head;
                narrow(key, &mut self.keys[start..][..self.n_embd_head]);
                narrow(value, &mut self.values[start..][..self.n_embd_head]);
            }
        }
    }

    /// Return the keys and the values, each `(n_positions, n_embd_head)`, of the context's first positions.
    pub(crate) fn head(&self, layer: usize, head: usize, n_positions: usize) -> (&[f16], &[f16]) {
        let start = self.start(layer, head);
        let len = n_positions * self.n_embd_head;
        (&self.keys[start..][..len], &self.values[start..][..len])
    }

    fn start(&self, layer: usize, head: usize) -> usize {
        (layer * self.n_head_kv + head) * self.n_ctx * self.n_embd_head
    }
}

fn narrow(floats: &[f32], out: &mut [f16]) {
    for (out, &float) in out.iter_mut().zip(floats) {
        *out = f16::from_f32(float);
    }
}
