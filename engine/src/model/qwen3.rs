//! The qwen3 architecture (Qwen3, arXiv 2505.09388): llama with a norm on every head of queries and keys.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::blocks::{Attention, Pairing, RmsNorm, Rope, SwiGlu};
use super::hparams::{HParams, Keys};
use super::matrix::Matrix;
use super::pass::Pass;
use super::weights::{Bias, Linear, Tensors};
use super::{Architecture, Error};

/// Return the qwen3 model of a file.
pub(super) fn load<'a>(
    keys: &Keys<'_, 'a>,
    tensors: &mut Tensors<'_, 'a>,
    hparams: &HParams,
) -> Result<Box<dyn Architecture + 'a>, Error> {
    let HParams { n_embd, n_embd_head, n_vocab, .. } = *hparams;
    let eps = keys.needed_positive("attention.layer_norm_rms_epsilon")?;
    let token_embd = tensors.matrix("token_embd.weight", n_embd, n_vocab)?;
    let mut layers = Vec::new();
    for i in 0..hparams.n_layer {
        layers.push(Layer {
            attn_norm: RmsNorm::load(tensors, &format!("blk.{i}.attn_norm"), n_embd, eps)?,
            attention: Attention::load(tensors, i, hparams, Bias::IfThere)?,
            q_norm: RmsNorm::load(tensors, &format!("blk.{i}.attn_q_norm"), n_embd_head, eps)?,
            k_norm: RmsNorm::load(tensors, &format!("blk.{i}.attn_k_norm"), n_embd_head, eps)?,
            ffn_norm: RmsNorm::load(tensors, &format!("blk.{i}.ffn_norm"), n_embd, eps)?,
            ffn: SwiGlu::load(tensors, i, hparams)?,
        });
    }
    Ok(Box::new(Qwen3 {
        token_embd,
        layers,
        output_norm: RmsNorm::load(tensors, "output_norm", n_embd, eps)?,
        output: tensors.output(token_embd)?,
        rope: Rope::load(keys, tensors, hparams, Pairing::Halves)?,
    }))
}

/// A qwen3 model.
#[derive(Debug)]
pub(super) struct Qwen3<'a> {
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
    /// For each head of the queries.
    q_norm: RmsNorm,
    /// For each head of the keys.
    k_norm: RmsNorm,
    ffn_norm: RmsNorm,
    ffn: SwiGlu<'a>,
}

impl Architecture for Qwen3<'_> {
    fn forward(&self, pass: &mut Pass<'_>) -> bool {
        pass.embed(&self.token_embd);
        pass.prepare_rotations(&self.rope);
        for (i, layer) in self.layers.iter().enumerate() {
            if !pass.keeps_going() {
                return false;
            }
            pass.normalize(&layer.attn_norm);
            pass.project(&layer.attention);
            pass.normalize_heads(&layer.q_norm, &layer.k_norm);
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
