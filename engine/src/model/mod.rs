//! A model: hyperparameters and weights, borrowed from the file that they lie in.
//!
//! Each architecture is one file: the parts that its weights make up, and its forward pass, written in the steps of
//! [`pass`]. To add one, write that file, and name it in [`ARCHITECTURES`] and [`KNOWN`].

mod blocks;
mod gpt2;
mod hparams;
mod llama;
mod matrix;
mod pass;
mod qwen2;
mod qwen3;
mod times;
mod weights;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;

use hashbrown::HashMap;

pub use hparams::HParams;
pub(crate) use matrix::Matrix;
pub(crate) use pass::{Batch, N_BATCH, N_LOGITS, Pass, Scratch};
pub use times::Times;
pub(crate) use times::{Step, Stopwatch};
pub(crate) use weights::Linear;

use crate::Error;
use crate::format::gguf::{Gguf, readable, required};
use crate::quant::TensorType;
use blocks::Rope;
use hparams::Keys;
use weights::Tensors;

/// How the model of an architecture is made from a file.
type Load =
    for<'a> fn(&Keys<'_, 'a>, &mut Tensors<'_, 'a>, &HParams) -> Result<Box<dyn Architecture + 'a>, Error>;

/// The architectures that the engine runs, as `general.architecture` names them.
const ARCHITECTURES: [(&str, Load); 4] =
    [("llama", llama::load), ("gpt2", gpt2::load), ("qwen2", qwen2::load), ("qwen3", qwen3::load)];

/// Their names, for messages.
const KNOWN: &str = "llama, gpt2, qwen2, qwen3";

/// The weights of a model, and its forward pass.
trait Architecture: fmt::Debug + Send + Sync {
    /// Run `pass` through the layers.
    ///
    /// Return false when it was told to stop; what lies behind the batch's position in the KV cache is then not valid.
    fn forward(&self, pass: &mut Pass<'_>) -> bool;

    /// Return how many positions the model can tell apart.
    fn n_positions(&self) -> usize {
        usize::MAX
    }

    /// Return how positions turn keys, where they do nothing else.
    fn rope(&self) -> Option<&Rope> {
        None
    }
}

/// A model that can be run: every tensor that its forward pass reads is there, in the shape that it needs, and there is no
/// tensor that it would ignore.
#[derive(Debug)]
pub struct Model<'a> {
    name: String,
    architecture: &'a str,
    hparams: HParams,
    weights: Box<dyn Architecture + 'a>,
    n_params: u64,
    file_type: &'static str,
    file_bytes: u64,
}

impl<'a> Model<'a> {
    /// Return the model in `gguf`. Weights stay where they are; only the vectors of norms and biases are copied.
    ///
    /// # Errors
    /// When the architecture is not known, or when hyperparameters or tensors are missing or do not fit together.
    pub fn load(gguf: &Gguf<'a>) -> Result<Self, Error> {
        let key = "general.architecture";
        let architecture = required(key, gguf.str(key)?)?;
        let Some((_, load)) = ARCHITECTURES.iter().find(|(name, _)| *name == architecture) else {
            return Err(Error::Unsupported {
                what: "architecture",
                found: readable(architecture.as_bytes()),
                known: KNOWN,
            });
        };
        let keys = Keys { gguf, architecture };
        let hparams = HParams::read(&keys)?;
        let mut tensors = Tensors::new(gguf);
        let weights = load(&keys, &mut tensors, &hparams)?;
        tensors.finish(architecture)?;
        let (n_params, file_type) = count_weights(gguf);
        let name = gguf.str("general.name")?.unwrap_or("unnamed").to_string();
        let file_bytes = gguf.file_bytes();
        Ok(Self { name, architecture, hparams, weights, n_params, file_type, file_bytes })
    }

    /// Return the architecture's name, as in `general.architecture`.
    pub fn architecture(&self) -> &'a str {
        self.architecture
    }

    /// Return the model's own name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Return the number of weights.
    pub fn n_params(&self) -> u64 {
        self.n_params
    }

    /// Return the size of the file in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Return the type that most of the weights have.
    pub fn file_type(&self) -> &'static str {
        self.file_type
    }

    /// Return the hyperparameters.
    pub fn hparams(&self) -> &HParams {
        &self.hparams
    }

    /// Return the largest context that the model can tell the positions of; with rotary embeddings there is no largest.
    pub fn n_ctx_max(&self) -> usize {
        self.weights.n_positions()
    }

    /// Return how positions turn keys; nothing where the model learned its positions.
    pub(crate) fn rope(&self) -> Option<&Rope> {
        self.weights.rope()
    }

    /// Run `pass`, one batch, through the layers: keys and values go to the KV cache, logits to the scratch.
    ///
    /// Return false when it was told to stop; what lies behind the batch's position in the KV cache is then not valid.
    pub(crate) fn forward(&self, pass: &mut Pass<'_>) -> bool {
        self.weights.forward(pass)
    }
}

/// Return the number of weights, and the type that most of them have.
fn count_weights(gguf: &Gguf<'_>) -> (u64, &'static str) {
    let mut by_type: HashMap<u32, u64> = HashMap::new();
    for tensor in gguf.tensors() {
        let count = by_type.entry(tensor.ggml_type).or_default();
        *count = count.saturating_add(tensor.shape.iter().product());
    }
    let most = by_type.iter().max_by_key(|&(kind, count)| (count, kind));
    let file_type = most.map_or("", |(&kind, _)| TensorType::ggml_name(kind));
    (by_type.values().fold(0, |total, &count| total.saturating_add(count)), file_type)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn messages_name_every_architecture() {
        let names: Vec<&str> = ARCHITECTURES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.join(", "), KNOWN);
    }
}
