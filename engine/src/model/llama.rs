//! The llama architecture (LLaMA, arXiv 2302.13971), which Llama 2 and 3, Mistral, TinyLlama and SmolLM2 share.
//!
//! Keys and values may have fewer heads than queries; files may scale the rotary embedding, and may have biases.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::blocks::{Attention, Pairing, RmsNorm, Rope, SwiGlu};
use super::hparams::{HParams, Keys};
use super::matrix::Matrix;
use super::pass::Pass;
use super::weights::{Bias, Linear, Tensors};
use super::{Architecture, Error};

/// Return the llama model of a file.
pub(super) fn load<'a>(
    keys: &Keys<'_, 'a>,
    tensors: &mut Tensors<'_, 'a>,
    hparams: &HParams,
) -> Result<Box<dyn Architecture + 'a>, Error> {
    Ok(Box::new(Llama::load(keys, tensors, hparams, Pairing::Neighbours, Bias::IfThere)?))
}

/// A llama model.
#[derive(Debug)]
pub(super) struct Llama<'a> {
    token_embd: Matrix<'a>,
    layers: Vec<Layer<'a>>,
    output_norm: RmsNorm,
    output: Linear<'a>,
    rope: Rope,
}

#[derive(Debug)]
struct Layer<'a> {
    attn_norm: RmsNorm,
    attention: Attention<'a>,
    ffn_norm: RmsNorm,
    ffn: SwiGlu<'a>,
}

impl<'a> Llama<'a> {
    /// Return the model whose rotations turn pairs as `pairing` says, and whose queries, keys and values have a bias as
    /// `bias` says.
    pub(super) fn load(
        keys: &Keys<'_, 'a>,
        tensors: &mut Tensors<'_, 'a>,
        hparams: &HParams,
        pairing: Pairing,
        bias: Bias,
    ) -> Result<Self, Error> {
        let HParams { n_embd, n_vocab, .. } = *hparams;
        keys.refuse_experts()?;
        let eps = keys.needed_positive("attention.layer_norm_rms_epsilon")?;
        let token_embd = tensors.matrix("token_embd.weight", n_embd, n_vocab)?;
        let mut layers = Vec::new();
        for i in 0..hparams.n_layer {
            layers.push(Layer {
                attn_norm: RmsNorm::load(tensors, &format!("blk.{i}.attn_norm"), n_embd, eps)?,
                attention: Attention::load(tensors, i, hparams, bias)?,
                ffn_norm: RmsNorm::load(tensors, &format!("blk.{i}.ffn_norm"), n_embd, eps)?,
                ffn: SwiGlu::load(tensors, i, hparams)?,
            });
        }
        Ok(Self {
            token_embd,
            layers,
            output_norm: RmsNorm::load(tensors, "output_norm", n_embd, eps)?,
            output: tensors.output(token_embd)?,
            rope: Rope::load(keys, tensors, hparams, pairing)?,
        })
    }
}

impl Architecture for Llama<'_> {
    fn forward(&self, pass: &mut Pass<'_>) -> bool {
        pass.embed(&self.token_embd);
        pass.prepare_rotations(&self.rope);
        for (i, layer) in self.layers.iter().enumerate() {
            if !pass.keeps_going() {
                return false;
            }
            pass.normalize(&layer.attn_norm);
            pass.project(&layer.attention);
            pass.rotate(&self.rope);
            pass.attend(i, &layer.attention);

            pass.normalize(&layer.ffn_norm);
            pass.swiglu(&layer.ffn);
        }
        pass.logits(&self.output_norm, &self.output);
        true
    }

    fn rope(&self) -> Option<&Rope> {
        Some(&self.rope)
    }
}
