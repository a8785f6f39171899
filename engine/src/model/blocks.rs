//! The parts that transformers are made of: norms, rotations, attention's matrices, feed-forward networks.
//!
//! What they hold and where it lies in a file; [`super::pass`] computes with them.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::hparams::{HParams, Keys};
use super::weights::{Bias, Linear, Tensors};
use crate::Error;
use crate::format::gguf::{bad_value, readable};
use crate::ops::{layer_norm, rms_norm, rope_halves, rope_neighbours};

/// What a row is divided by before a block reads it.
pub(crate) trait Norm: Sync {
    /// Normalize `row (n)` to `out (n)`.
    fn row(&self, row: &[f32], out: &mut [f32]);
}

/// Division by the root of the mean square (RMSNorm, arXiv 1910.07467).
#[derive(Debug)]
pub(super) struct RmsNorm {
    gain: Vec<f32>,
    eps: f32,
}

impl RmsNorm {
    /// Return the norm with the gain `name.weight (n)`.
    pub(super) fn load(tensors: &mut Tensors<'_, '_>, name: &str, n: usize, eps: f32) -> Result<Self, Error> {
        Ok(Self { gain: tensors.vector(&format!("{name}.weight"), n)?, eps })
    }
}

impl Norm for RmsNorm {
    fn row(&self, row: &[f32], out: &mut [f32]) {
        rms_norm(row, &self.gain, self.eps, out);
    }
}

/// Subtraction of the mean, then division by the standard deviation (LayerNorm, arXiv 1607.06450).
#[derive(Debug)]
pub(super) struct LayerNorm {
    gain: Vec<f32>,
    bias: Vec<f32>,
    eps: f32,
}

impl LayerNorm {
    /// Return the norm with the gain `name.weight (n)` and the bias `name.bias (n)`.
    pub(super) fn load(tensors: &mut Tensors<'_, '_>, name: &str, n: usize, eps: f32) -> Result<Self, Error> {
        let gain = tensors.vector(&format!("{name}.weight"), n)?;
        Ok(Self { gain, bias: tensors.vector(&format!("{name}.bias"), n)?, eps })
    }
}

impl Norm for LayerNorm {
    fn row(&self, row: &[f32], out: &mut [f32]) {
        layer_norm(row, &self.gain, &self.bias, self.eps, out);
    }
}

/// Which two values of a head a rotation turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pairing {
    /// `2i` and `2i + 1`: llama, whose files hold the rows of q and k permuted for it.
    Neighbours,
    /// `i` and `i + n_rot / 2`, as GPT-NeoX had it.
    Halves,
}

/// The rotary embedding: a position turns pairs of a head's values (RoPE, arXiv 2104.09864).
#[derive(Debug)]
pub(crate) struct Rope {
    /// Radians per position for each pair, `(n_rot / 2)`.
    pub(crate) frequencies: Vec<f32>,
    pairing: Pairing,
}

impl Rope {
    /// Return the rotary embedding that the metadata and `rope_freqs.weight` describe.
    ///
    /// Allocates in proportion to a head's width, which tensors should have confirmed before.
    pub(super) fn load(
        keys: &Keys<'_, '_>,
        tensors: &mut Tensors<'_, '_>,
        hparams: &HParams,
        pairing: Pairing,
    ) -> Result<Self, Error> {
        let name = "rope.dimension_count";
        let n_rot = keys.count(name)?.unwrap_or(hparams.n_embd_head);
        if n_rot % 2 != 0 || n_rot > hparams.n_embd_head {
            let expected = format!("even and at most the head size {}", hparams.n_embd_head);
            return Err(keys.bad(name, &expected, n_rot));
        }
        // The format's default (docs/gguf.md) for files that do not name it.
        let base = keys.positive("rope.freq_base")?.unwrap_or(10_000.0);
        let factor = Self::scaling(keys)?;
        let mut frequencies: Vec<f32> =
            (0..n_rot / 2).map(|i| libm::powf(base, -((2 * i) as f32) / n_rot as f32) / factor).collect();
        // One divisor per pair: how files write Llama 3's scaling, which leaves fast rotations as they are.
        let name = "rope_freqs.weight";
        if tensors.has(name) {
            for (frequency, divisor) in frequencies.iter_mut().zip(tensors.vector(name, n_rot / 2)?) {
                if !(divisor.is_finite() && divisor > 0.0) {
                    return Err(bad_value(name, "above 0 and finite", divisor.to_string()));
                }
                *frequency /= divisor;
            }
        }
        Ok(Self { frequencies, pairing })
    }

    /// Return by how much positions are interpolated: longer contexts squeezed into the trained one (arXiv 2306.15595).
    fn scaling(keys: &Keys<'_, '_>) -> Result<f32, Error> {
        let factor = match keys.positive("rope.scaling.factor")? {
            // What it was called first.
            None => keys.positive("rope.scale_linear")?,
            factor => factor,
        };
        match keys.str("rope.scaling.type")? {
            Some("none") => Ok(1.0),
            None | Some("linear") => Ok(factor.unwrap_or(1.0)),
            Some(found) => {
                let found = readable(found.as_bytes());
                Err(Error::Unsupported { what: "rope scaling", found, known: "none, linear" })
            }
        }
    }

    /// Turn each head of `heads (n_head, n_embd_head)` by one position's `rotations (n_rot / 2)`.
    pub(crate) fn turn(&self, heads: &mut [f32], n_embd_head: usize, rotations: &[[f32; 2]]) {
        for head in heads.chunks_exact_mut(n_embd_head) {
            match self.pairing {
                Pairing::Neighbours => rope_neighbours(head, rotations),
                Pairing::Halves => rope_halves(head, rotations),
            }
        }
    }
}

/// The matrices of attention (arXiv 1706.03762; with fewer heads of keys and values, arXiv 2305.13245).
#[derive(Debug)]
pub(crate) struct Attention<'a> {
    /// Queries, `(n_embd_q, n_embd)`.
    pub(crate) q: Linear<'a>,
    /// Keys, `(n_embd_kv, n_embd)`.
    pub(crate) k: Linear<'a>,
    /// Values, `(n_embd_kv, n_embd)`.
    pub(crate) v: Linear<'a>,
    /// What the heads found, back into the stream, `(n_embd, n_embd_q)`.
    pub(crate) output: Linear<'a>,
}

impl<'a> Attention<'a> {
    /// Return the matrices of layer `i`; `bias` is that of queries, keys and values.
    pub(super) fn load(
        tensors: &mut Tensors<'_, 'a>,
        i: usize,
        hparams: &HParams,
        bias: Bias,
    ) -> Result<Self, Error> {
        let HParams { n_embd, .. } = *hparams;
        let (n_embd_q, n_embd_kv) = (hparams.n_embd_q(), hparams.n_embd_kv());
        Ok(Self {
            q: tensors.linear(&format!("blk.{i}.attn_q"), n_embd, n_embd_q, bias)?,
            k: tensors.linear(&format!("blk.{i}.attn_k"), n_embd, n_embd_kv, bias)?,
            v: tensors.linear(&format!("blk.{i}.attn_v"), n_embd, n_embd_kv, bias)?,
            output: tensors.linear(&format!("blk.{i}.attn_output"), n_embd_q, n_embd, Bias::IfThere)?,
        })
    }
}

/// A feed-forward network with a gate (SwiGLU, arXiv 2002.05202).
#[derive(Debug)]
pub(crate) struct SwiGlu<'a> {
    /// Gate, `(n_ff, n_embd)`.
    pub(crate) gate: Linear<'a>,
    /// Up, `(n_ff, n_embd)`.
    pub(crate) up: Linear<'a>,
    /// Down, `(n_embd, n_ff)`.
    pub(crate) down: Linear<'a>,
}

impl<'a> SwiGlu<'a> {
    /// Return the network of layer `i`.
    pub(super) fn load(tensors: &mut Tensors<'_, 'a>, i: usize, hparams: &HParams) -> Result<Self, Error> {
        let HParams { n_embd, n_ff, .. } = *hparams;
        let mut linear =
            |name, n_in, n_out| tensors.linear(&format!("blk.{i}.{name}"), n_in, n_out, Bias::IfThere);
        Ok(Self {
            gate: linear("ffn_gate", n_embd, n_ff)?,
            up: linear("ffn_up", n_embd, n_ff)?,
            down: linear("ffn_down", n_ff, n_embd)?,
        })
    }
}

/// A feed-forward network without one.
#[derive(Debug)]
pub(crate) struct Mlp<'a> {
    /// Up, `(n_ff, n_embd)`.
    pub(crate) up: Linear<'a>,
    /// Down, `(n_embd, n_ff)`.
    pub(crate) down: Linear<'a>,
}

impl<'a> Mlp<'a> {
    /// Return the network of layer `i`.
    pub(super) fn load(
        tensors: &mut Tensors<'_, 'a>,
        i: usize,
        hparams: &HParams,
        bias: Bias,
    ) -> Result<Self, Error> {
        let HParams { n_embd, n_ff, .. } = *hparams;
        Ok(Self {
            up: tensors.linear(&format!("blk.{i}.ffn_up"), n_embd, n_ff, bias)?,
            down: tensors.linear(&format!("blk.{i}.ffn_down"), n_ff, n_embd, bias)?,
        })
    }
}
