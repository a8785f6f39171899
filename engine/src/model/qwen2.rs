//! The qwen2 architecture (Qwen2, arXiv 2407.10671; Qwen2.5): llama with biases on queries, keys and values.

use alloc::boxed::Box;

use super::blocks::Pairing;
use super::hparams::{HParams, Keys};
use super::llama::Llama;
use super::weights::{Bias, Tensors};
use super::{Architecture, Error};

/// Return the qwen2 model of a file: its forward pass is llama's.
pub(super) fn load<'a>(
    keys: &Keys<'_, 'a>,
    tensors: &mut Tensors<'_, 'a>,
    hparams: &HParams,
) -> Result<Box<dyn Architecture + 'a>, Error> {
    Ok(Box::new(Llama::load(keys, tensors, hparams, Pairing::Halves, Bias::Always)?))
}
