//! The hyperparameters: the numbers that give a model its shape.

use alloc::format;
use alloc::string::ToString;

use crate::Error;
use crate::format::gguf::{Gguf, bad_value, required};

/// The shape of a llama-like model, checked: every count is at least 1, heads divide what they share.
#[derive(Clone, Debug, PartialEq)]
pub struct HParams {
    /// Tokens of context that the model was trained with.
    pub n_ctx_train: usize,
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Number of layers.
    pub n_layer: usize,
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads; each serves `n_head / n_head_kv` query heads (grouped-query attention).
    pub n_head_kv: usize,
    /// Width of one head.
    pub n_embd_head: usize,
    /// Width of the feed-forward network.
    pub n_ff: usize,
    /// How much of a head the rotary embedding turns; even, at most `n_embd_head`.
    pub n_rot: usize,
    /// Number of tokens in the vocabulary.
    pub n_vocab: usize,
    /// What is added to the mean square in RMS norm.
    pub norm_rms_eps: f32,
    /// Base of the rotary embedding's frequencies.
    pub rope_freq_base: f32,
}

/// Above any model there is, and low enough that products of a few of them stay far below 2^64.
const MAX_DIMENSION: usize = 1 << 24;

impl HParams {
    /// Return the hyperparameters of `gguf`, whose keys begin with its architecture's name.
    ///
    /// # Errors
    /// When one is missing, zero, too large, or contradicts another.
    pub fn read(gguf: &Gguf<'_>, architecture: &str) -> Result<Self, Error> {
        let key = |name: &str| format!("{architecture}.{name}");
        let count = |name: &str| -> Result<Option<usize>, Error> {
            let key = key(name);
            match gguf.count(&key)? {
                Some(n) if !(1..=MAX_DIMENSION).contains(&n) => {
                    Err(bad_value(&key, &format!("1 to {MAX_DIMENSION}"), n.to_string()))
                }
                count => Ok(count),
            }
        };
        let needed = |name: &str| required(&key(name), count(name)?);

        let n_embd = needed("embedding_length")?;
        let n_head = needed("attention.head_count")?;
        let n_head_kv = count("attention.head_count_kv")?.unwrap_or(n_head);
        if n_head % n_head_kv != 0 {
            let expected = format!("a divisor of the {n_head} heads");
            return Err(bad_value(&key("attention.head_count_kv"), &expected, n_head_kv.to_string()));
        }
        let n_embd_head = match count("attention.key_length")? {
            Some(n_embd_head) => n_embd_head,
            None if n_embd % n_head == 0 => n_embd / n_head,
            None => {
                let expected = format!("a divisor of the {n_embd} of the embedding");
                return Err(bad_value(&key("attention.head_count"), &expected, n_head.to_string()));
            }
        };
        let n_embd_head_v = count("attention.value_length")?.unwrap_or(n_embd_head);
        if n_embd_head_v != n_embd_head {
            let expected = format!("the key length {n_embd_head}");
            return Err(bad_value(&key("attention.value_length"), &expected, n_embd_head_v.to_string()));
        }
        let n_rot = count("rope.dimension_count")?.unwrap_or(n_embd_head);
        if n_rot % 2 != 0 || n_rot > n_embd_head {
            let expected = format!("even and at most the head size {n_embd_head}");
            return Err(bad_value(&key("rope.dimension_count"), &expected, n_rot.to_string()));
        }
        let positive = |name: &str, value: f32| {
            if value > 0.0 { Ok(value) } else { Err(bad_value(&key(name), "above 0", value.to_string())) }
        };
        let eps = "attention.layer_norm_rms_epsilon";
        let base = "rope.freq_base";
        Ok(Self {
            n_ctx_train: needed("context_length")?,
            n_embd,
            n_layer: needed("block_count")?,
            n_head,
            n_head_kv,
            n_embd_head,
            n_ff: needed("feed_forward_length")?,
            n_rot,
            n_vocab: gguf.strings("tokenizer.ggml.tokens")?.len(),
            norm_rms_eps: positive(eps, required(&key(eps), gguf.float(&key(eps))?)?)?,
            // The format's default (docs/gguf.md) for files that do not name it.
            rope_freq_base: positive(base, gguf.float(&key(base))?.unwrap_or(10_000.0))?,
        })
    }

    /// Return the width of a token's keys (or values) over all heads.
    pub fn n_embd_kv(&self) -> usize {
        self.n_head_kv * self.n_embd_head
    }

    /// Return the width of a token's queries over all heads.
    pub fn n_embd_q(&self) -> usize {
        self.n_head * self.n_embd_head
    }
}
