//! A model: hyperparameters and weights, borrowed from the file that they lie in.
//!
//! One file per architecture holds its forward pass ([`llama`]).

mod hparams;
pub(crate) mod llama;
mod matrix;
mod weights;

use alloc::string::{String, ToString};

pub use hparams::HParams;
pub(crate) use matrix::Matrix;
pub(crate) use weights::Weights;

use crate::Error;
use crate::format::gguf::{Gguf, readable, required};

/// The architectures that the engine runs.
const ARCHITECTURES: &str = "llama";

/// A model that can be run: every tensor that its forward pass reads is there, in the shape that it needs.
#[derive(Debug)]
pub struct Model<'a> {
    architecture: &'a str,
    name: String,
    n_params: u64,
    file_bytes: u64,
    hparams: HParams,
    weights: Weights<'a>,
}

impl<'a> Model<'a> {
    /// Return the model in `gguf`. Weights stay where they are; only the norms' vectors are copied.
    ///
    /// # Errors
    /// When the architecture is not known, or when hyperparameters or tensors are missing or do not fit together.
    pub fn load(gguf: &Gguf<'a>) -> Result<Self, Error> {
        let key = "general.architecture";
        let architecture = required(key, gguf.str(key)?)?;
        if architecture != "llama" {
            return Err(Error::Unsupported {
                what: "architecture",
                found: readable(architecture.as_bytes()),
                known: ARCHITECTURES,
            });
        }
        let hparams = HParams::read(gguf, architecture)?;
        let weights = Weights::load(gguf, &hparams)?;
        let n_params =
            gguf.tensors().map(|tensor| tensor.shape.iter().product::<u64>()).fold(0, u64::saturating_add);
        let name = gguf.str("general.name")?.unwrap_or("unnamed").to_string();
        Ok(Self { architecture, name, n_params, file_bytes: gguf.file_bytes(), hparams, weights })
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

    /// Return the type that most of the weights have: that of the first layer's feed-forward network.
    pub fn file_type(&self) -> String {
        self.weights.layers.first().map(|layer| layer.ffn_up.kind().to_string()).unwrap_or_default()
    }

    /// Return the hyperparameters.
    pub fn hparams(&self) -> &HParams {
        &self.hparams
    }

    /// Return the weights.
    pub(crate) fn weights(&self) -> &Weights<'a> {
        &self.weights
    }
}
