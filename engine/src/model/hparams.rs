//! The hyperparameters: the numbers that give a model its shape.
//!
//! [`HParams`] holds those that every transformer has; what only some have (epsilons, rotations) stands in the file of
//! the architecture, which reads it through [`Keys`].

use alloc::format;
use alloc::string::{String, ToString};

use crate::Error;
use crate::format::gguf::{Gguf, bad_value, required};

/// The shape of a model, checked: every count is at least 1, heads divide what they share.
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
    /// Number of tokens that have a row in the embedding; the tokenizer may know fewer of them.
    pub n_vocab: usize,
}

/// Above any model there is, and low enough that products of a few of them stay far below 2^64.
const MAX_DIMENSION: usize = 1 << 24;

impl HParams {
    /// Return all of them with their names, for a person.
    pub fn named(&self) -> [(&'static str, usize); 8] {
        let Self { n_ctx_train, n_embd, n_layer, n_head, n_head_kv, n_embd_head, n_ff, n_vocab } = *self;
        [
            ("n_layer", n_layer),
            ("n_embd", n_embd),
            ("n_ff", n_ff),
            ("n_head", n_head),
            ("n_head_kv", n_head_kv),
            ("n_embd_head", n_embd_head),
            ("n_vocab", n_vocab),
            ("n_ctx_train", n_ctx_train),
        ]
    }

    /// Return the hyperparameters of a file.
    ///
    /// # Errors
    /// When one is missing, zero, too large, or contradicts another.
    pub(super) fn read(keys: &Keys<'_, '_>) -> Result<Self, Error> {
        let n_embd = keys.needed("embedding_length")?;
        let n_head = keys.needed("attention.head_count")?;
        let n_head_kv = keys.count("attention.head_count_kv")?.unwrap_or(n_head);
        if n_head % n_head_kv != 0 {
            let expected = format!("a divisor of the {n_head} heads");
            return Err(keys.bad("attention.head_count_kv", &expected, n_head_kv));
        }
        let n_embd_head = match keys.count("attention.key_length")? {
            Some(n_embd_head) => n_embd_head,
            None if n_embd % n_head == 0 => n_embd / n_head,
            None => {
                let expected = format!("a divisor of the {n_embd} of the embedding");
                return Err(keys.bad("attention.head_count", &expected, n_head));
            }
        };
        let n_embd_head_v = keys.count("attention.value_length")?.unwrap_or(n_embd_head);
        if n_embd_head_v != n_embd_head {
            let expected = format!("the key length {n_embd_head}");
            return Err(keys.bad("attention.value_length", &expected, n_embd_head_v));
        }
        Ok(Self {
            n_ctx_train: keys.needed("context_length")?,
            n_embd,
            n_layer: keys.needed("block_count")?,
            n_head,
            n_head_kv,
            n_embd_head,
            n_ff: keys.needed("feed_forward_length")?,
            n_vocab: n_vocab(keys.gguf)?,
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

/// Return the rows of the embedding, which are at least as many as the tokens that the tokenizer knows: some models are
/// padded to a round number.
fn n_vocab(gguf: &Gguf<'_>) -> Result<usize, Error> {
    let name = "token_embd.weight";
    let tensor = gguf.tensor(name)?;
    let n_rows = tensor.shape.get(1).copied().unwrap_or(1);
    let n_vocab = match usize::try_from(n_rows) {
        Ok(n_rows) if n_rows <= MAX_DIMENSION => n_rows,
        _ => return Err(bad_value(name, &format!("at most {MAX_DIMENSION} rows"), format!("{n_rows} rows"))),
    };
    let key = "tokenizer.ggml.tokens";
    match gguf.value(key) {
        Some(_) if gguf.strings(key)?.len() > n_vocab => {
            let expected = format!("at most the {n_vocab} rows of {name}");
            Err(bad_value(key, &expected, format!("{} texts", gguf.strings(key)?.len())))
        }
        _ => Ok(n_vocab),
    }
}

/// The metadata of one architecture, whose keys begin with its name.
pub(super) struct Keys<'g, 'a> {
    pub(super) gguf: &'g Gguf<'a>,
    pub(super) architecture: &'g str,
}

impl Keys<'_, '_> {
    /// Return the whole of the key `name`.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    /// Return the error for a value that may not be as it is.
    pub(super) fn bad(&self, name: &str, expected: &str, found: impl ToString) -> Error {
        bad_value(&self.key(name), expected, found.to_string())
    }

    /// Return the count under `name`, if it is there: at least 1.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>, Error> {
        match self.gguf.count(&self.key(name))? {
            Some(n) if !(1..=MAX_DIMENSION).contains(&n) => {
                Err(self.bad(name, &format!("1 to {MAX_DIMENSION}"), n))
            }
            count => Ok(count),
        }
    }

    /// Return the count under `name`.
    pub(super) fn needed(&self, name: &str) -> Result<usize, Error> {
        required(&self.key(name), self.count(name)?)
    }

    /// Return the number under `name`, if it is there: above 0.
    pub(super) fn positive(&self, name: &str) -> Result<Option<f32>, Error> {
        match self.gguf.float(&self.key(name))? {
            Some(value) if value <= 0.0 => Err(self.bad(name, "above 0", value)),
            value => Ok(value),
        }
    }

    /// Return the number under `name`, above 0.
    pub(super) fn needed_positive(&self, name: &str) -> Result<f32, Error> {
        required(&self.key(name), self.positive(name)?)
    }

    /// Return an error if the feed-forward networks are mixtures, of which only some take part per token.
    pub(super) fn refuse_experts(&self) -> Result<(), Error> {
        match self.gguf.count(&self.key("expert_count"))? {
            None | Some(0) => Ok(()),
            Some(n) => Err(Error::Unsupported {
                what: "feed-forward network",
                found: format!("mixture of {n} experts"),
                known: "dense",
            }),
        }
    }

    /// Return the text under `name`, if it is there.
    pub(super) fn str(&self, name: &str) -> Result<Option<&str>, Error> {
        self.gguf.str(&self.key(name))
    }
}
