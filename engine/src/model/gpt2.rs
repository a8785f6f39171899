//! The gpt2 architecture (GPT-2, Radford et al. 2019): learned positions, LayerNorm, GELU, and biases everywhere.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::blocks::{Attention, LayerNorm, Mlp};
use super::hparams::{HParams, Keys};
use super::matrix::Matrix;
use super::pass::Pass;
use super::weights::{Bias, Linear, Tensors};
use super::{Architecture, Error};

/// Return the gpt2 model of a file.
pub(super) fn load<'a>(
    keys: &Keys<'_, 'a>,
    tensors: &mut Tensors<'_, 'a>,
    hparams: &HParams,
) -> Result<Box<dyn Architecture + 'a>, Error> {
    let HParams { n_embd, n_vocab, n_ctx_train, .. } = *hparams;
    let (n_embd_q, n_embd_kv) = (hparams.n_embd_q(), hparams.n_embd_kv());
    let eps = keys.needed_positive("attention.layer_norm_epsilon")?;
    let token_embd = tensors.matrix("token_embd.weight", n_embd, n_vocab)?;
    let mut layers = Vec::new();
    for i in 0..hparams.n_layer {
        // Queries, keys and values share one matrix.
        let name = format!("blk.{i}.attn_qkv");
        let [q, k, v] = tensors.fused(&name, n_embd, [n_embd_q, n_embd_kv, n_embd_kv], Bias::Always)?;
        let output = tensors.linear(&format!("blk.{i}.attn_output"), n_embd_q, n_embd, Bias::Always)?;
        layers.push(Layer {
            attn_norm: LayerNorm::load(tensors, &format!("blk.{i}.attn_norm"), n_embd, eps)?,
            attention: Attention { q, k, v, output },
            ffn_norm: LayerNorm::load(tensors, &format!("blk.{i}.ffn_norm"), n_embd, eps)?,
            ffn: Mlp::load(tensors, i, hparams, Bias::Always)?,
        });
    }
    Ok(Box::new(Gpt2 {
        token_embd,
        position_embd: tensors.matrix("position_embd.weight", n_embd, n_ctx_train)?,
        layers,
        output_norm: LayerNorm::load(tensors, "output_norm", n_embd, eps)?,
        output: tensors.output(token_embd)?,
    }))
}

/// A gpt2 model.
#[derive(Debug)]
pub(super) struct Gpt2<'a> {
    token_embd: Matrix<'a>,
    /// A row per position, `(n_ctx_train, n_embd)`.
    position_embd: Matrix<'a>,
    layers: Vec<Layer<'a>>,
    output_norm: LayerNorm,
    output: Linear<'a>,
}

#[derive(Debug)]
struct Layer<'a> {
    attn_norm: LayerNorm,
    attention: Attention<'a>,
    ffn_norm: LayerNorm,
    ffn: Mlp<'a>,
}

impl Architecture for Gpt2<'_> {
    fn forward(&self, pass: &mut Pass<'_>) -> bool {
        pass.embed(&self.token_embd);
        pass.add_positions(&self.position_embd);
        for (i, layer) in self.layers.iter().enumerate() {
            if !pass.keeps_going() {
                return false;
            }
            pass.normalize(&layer.attn_norm);
            pass.project(&layer.attention);
            pass.attend(i, &layer.attention);

            pass.normalize(&layer.ffn_norm);
            pass.gelu(&layer.ffn);
        }
        pass.logits(&self.output_norm, &self.output);
        true
    }

    fn n_positions(&self) -> usize {
        self.position_embd.n_out()
    }
}
