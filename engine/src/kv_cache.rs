//! The keys and values of every token in the context, per layer.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::Error;
use crate::cpu::{Kernels, KeysValues};
use crate::memory::zeroed;
use crate::model::HParams;
use crate::quant::TensorType;

/// What keys and values are kept as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// binary16: half the memory, and close enough for every model known.
    #[default]
    F16,
    /// 32-bit floats: what the model computed, exactly.
    F32,
    /// 8 bits and a scale per 32 floats: about half of binary16's memory, for heads of whole blocks.
    Q8_0,
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::Q8_0 => "q8_0",
        })
    }
}

impl KvType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::F16, Self::F32, Self::Q8_0];

    /// Return the type of their blocks.
    pub fn tensor_type(self) -> TensorType {
        match self {
            Self::F16 => TensorType::F16,
            Self::F32 => TensorType::F32,
            Self::Q8_0 => TensorType::Q8_0,
        }
    }

    /// Return whether the heads of a model are whole blocks of this type.
    pub fn suits(self, hparams: &HParams) -> bool {
        hparams.n_embd_head.is_multiple_of(self.tensor_type().block_len())
    }

    /// Return how many bytes `n` floats take.
    pub(crate) fn n_bytes(self, n: usize) -> usize {
        let kind = self.tensor_type();
        n.div_ceil(kind.block_len()) * kind.block_bytes()
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
    ///
    /// # Errors
    /// When there is no memory for it, or a head is no whole number of blocks.
    pub(crate) fn new(hparams: &HParams, n_ctx: usize, kv_type: KvType) -> Result<Self, Error> {
        if !kv_type.suits(hparams) {
            return Err(Error::Unsupported {
                what: "type of the context",
                found: format!("{kv_type}, with heads of {}", hparams.n_embd_head),
                known: "f16, f32; q8_0 for heads of a multiple of 32",
            });
        }
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

    /// Return the type that it keeps.
    pub(crate) fn kv_type(&self) -> KvType {
        self.kv_type
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

    /// Zero all but the first `n_positions`.
    pub(crate) fn wipe(&mut self, n_positions: usize) {
        let row_bytes = self.kv_type.n_bytes(self.n_embd_head);
        for kept in [&mut self.keys, &mut self.values] {
            for head in kept.chunks_exact_mut(self.n_ctx * row_bytes) {
                head[n_positions * row_bytes..].fill(0);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Return the shape of a model with two layers of two heads.
    fn hparams() -> HParams {
        HParams {
            n_ctx_train: 1,
            n_embd: 128,
            n_layer: 2,
            n_head: 2,
            n_head_kv: 2,
            n_embd_head: 64,
            n_ff: 1,
            n_vocab: 1,
        }
    }

    /// Return what a cache of `kv_type` holds of one head, after tokens were stored and some of them taken out.
    fn kept(kv_type: KvType, keys: &[f32], values: &[f32]) -> [Vec<f32>; 2] {
        let hparams = hparams();
        let mut kv = KvCache::new(&hparams, 7, kv_type).unwrap();
        assert_eq!(kv.size_bytes(), KvCache::bytes(&hparams, 7, kv_type));
        let kernels = Kernels::detect();
        kv.store(kernels, 1, 0, &keys[..5 * 128], &values[..5 * 128]);
        kv.store(kernels, 1, 5, &keys[5 * 128..], &values[5 * 128..]);
        kv.remove(kernels, 1..3, 6, &|key| key.iter_mut().for_each(|x| *x *= -0.5));
        kv.head(1, 1, 4)
    }

    #[test]
    fn every_type_keeps_what_is_stored_and_moved() {
        let float = |i: usize| ((i * 7919 % 1009) as f32 - 504.0) / 100.0;
        let keys: Vec<f32> = (0..6 * 128).map(float).collect();
        let values: Vec<f32> = (0..6 * 128).map(|i| float(i + 5)).collect();
        let head = |rows: &[f32], token: usize| rows[token * 128 + 64..][..64].to_vec();
        let expected_keys: Vec<f32> = (head(&keys, 0).into_iter())
            .chain((3..6).flat_map(|token| head(&keys, token)).map(|x| -0.5 * x))
            .collect();
        let expected_values: Vec<f32> =
            [0, 3, 4, 5].into_iter().flat_map(|token| head(&values, token)).collect();
        // Halves of a step, of the largest of 5: those that were moved are rounded twice.
        for (kv_type, tolerance) in [(KvType::F32, 0.0), (KvType::F16, 2.5e-3), (KvType::Q8_0, 0.04)] {
            let [keys, values] = kept(kv_type, &keys, &values);
            for (found, expected) in
                keys.iter().zip(&expected_keys).chain(values.iter().zip(&expected_values))
            {
                assert!((found - expected).abs() <= tolerance, "{kv_type}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn q8_0_takes_17_sixteenths_of_a_byte_for_each_float() {
        assert_eq!(KvCache::bytes(&hparams(), 2048, KvType::F16), 2 * 2 * 2 * 64 * 2048 * 2);
        assert_eq!(KvCache::bytes(&hparams(), 2048, KvType::Q8_0), 2 * 2 * 2 * 2 * 2048 * 34);
    }
}
