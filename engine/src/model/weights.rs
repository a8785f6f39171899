//! The weights of a llama-like model: matrices that stay in the file, and the norms' vectors.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::HParams;
use super::matrix::{Matrix, check_shape};
use crate::Error;
use crate::format::gguf::Gguf;
use crate::quant::TensorType;

/// One transformer layer.
#[derive(Debug)]
pub(crate) struct Layer<'a> {
    /// Gain before attention, `(n_embd)`.
    pub(crate) attn_norm: Vec<f32>,
    /// Queries, `(n_embd_q, n_embd)`.
    pub(crate) attn_q: Matrix<'a>,
    /// Keys, `(n_embd_kv, n_embd)`.
    pub(crate) attn_k: Matrix<'a>,
    /// Values, `(n_embd_kv, n_embd)`.
    pub(crate) attn_v: Matrix<'a>,
    /// What the heads found, back into the stream, `(n_embd, n_embd_q)`.
    pub(crate) attn_output: Matrix<'a>,
    /// Gain before the feed-forward network, `(n_embd)`.
    pub(crate) ffn_norm: Vec<f32>,
    /// Gate, `(n_ff, n_embd)`.
    pub(crate) ffn_gate: Matrix<'a>,
    /// Up, `(n_ff, n_embd)`.
    pub(crate) ffn_up: Matrix<'a>,
    /// Down, `(n_embd, n_ff)`.
    pub(crate) ffn_down: Matrix<'a>,
}

/// All weights of a llama-like model.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    /// A row per token, `(n_vocab, n_embd)`.
    pub(crate) token_embd: Matrix<'a>,
    /// The layers, from the embedding to the output.
    pub(crate) layers: Vec<Layer<'a>>,
    /// Gain before the output, `(n_embd)`.
    pub(crate) output_norm: Vec<f32>,
    /// Logits, `(n_vocab, n_embd)`; the embedding itself where the file has no matrix of its own for it (tied).
    pub(crate) output: Matrix<'a>,
}

impl<'a> Weights<'a> {
    /// Return the weights of `gguf`.
    ///
    /// # Errors
    /// When a tensor is missing, or of a type or shape that does not fit `hparams`.
    pub(super) fn load(gguf: &Gguf<'a>, hparams: &HParams) -> Result<Self, Error> {
        let HParams { n_embd, n_ff, n_vocab, .. } = *hparams;
        let (n_embd_q, n_embd_kv) = (hparams.n_embd_q(), hparams.n_embd_kv());
        let token_embd = Matrix::load(gguf, "token_embd.weight", n_embd, n_vocab)?;
        let output = match gguf.has_tensor("output.weight") {
            true => Matrix::load(gguf, "output.weight", n_embd, n_vocab)?,
            false => token_embd,
        };
        let mut layers = Vec::new();
        for i in 0..hparams.n_layer {
            let vector = |name: &str| vector(gguf, &format!("blk.{i}.{name}.weight"), n_embd);
            let matrix =
                |name: &str, n_in, n_out| Matrix::load(gguf, &format!("blk.{i}.{name}.weight"), n_in, n_out);
            layers.push(Layer {
                attn_norm: vector("attn_norm")?,
                attn_q: matrix("attn_q", n_embd, n_embd_q)?,
                attn_k: matrix("attn_k", n_embd, n_embd_kv)?,
                attn_v: matrix("attn_v", n_embd, n_embd_kv)?,
                attn_output: matrix("attn_output", n_embd_q, n_embd)?,
                ffn_norm: vector("ffn_norm")?,
                ffn_gate: matrix("ffn_gate", n_embd, n_ff)?,
                ffn_up: matrix("ffn_up", n_embd, n_ff)?,
                ffn_down: matrix("ffn_down", n_ff, n_embd)?,
            });
        }
        Ok(Self { token_embd, layers, output_norm: vector(gguf, "output_norm.weight", n_embd)?, output })
    }
}

/// Return the F32 tensor `name (len)`.
fn vector(gguf: &Gguf<'_>, name: &str, len: usize) -> Result<Vec<f32>, Error> {
    let (tensor, kind) = gguf.tensor(name)?;
    check_shape(tensor, &[len as u64])?;
    if kind != TensorType::F32 {
        return Err(Error::BadTensor {
            name: name.to_string(),
            expected: "F32".to_string(),
            found: kind.to_string(),
        });
    }
    let (bytes, _) = tensor.bytes.as_chunks::<4>();
    Ok(bytes.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}
