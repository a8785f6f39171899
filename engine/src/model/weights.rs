//! From the tensors of a file to the parts of a model, keeping account of what was taken.
//!
//! A tensor that no part takes would change what the model says without anyone seeing it: [`Tensors::finish`] refuses
//! such a file.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::Range;

use hashbrown::HashSet;

use super::matrix::{Matrix, check_shape};
use crate::Error;
use crate::cpu::Kernels;
use crate::format::gguf::Gguf;
use crate::ops::add;
use crate::quant::{Activations, TensorType};

/// The tensors of a file, and which of them the model has taken.
pub(super) struct Tensors<'g, 'a> {
    gguf: &'g Gguf<'a>,
    taken: HashSet<&'g str>,
}

/// Some rows of a matrix, `(n_out, n_in)`, and what is added to each of their products.
#[derive(Debug)]
pub(crate) struct Linear<'a> {
    /// The matrix, which may have rows of others too.
    pub(crate) matrix: Matrix<'a>,
    /// Which of its rows these are.
    pub(crate) rows: Range<usize>,
    /// `(n_out)`, if there is one.
    pub(crate) bias: Option<Vec<f32>>,
}

impl Linear<'_> {
    /// Write the products of `rows`, counted from the first of these, with the activations of `n_tokens` tokens, plus their
    /// bias, to `out (n_tokens)(rows.len())`.
    pub(crate) fn apply(
        &self,
        kernels: &Kernels,
        rows: Range<usize>,
        x: Activations<'_>,
        out: &mut [&mut [f32]],
    ) {
        let first = self.rows.start;
        self.matrix.multiply(kernels, first + rows.start..first + rows.end, x, out);
        if let Some(bias) = &self.bias {
            for out in out {
                add(out, &bias[rows.clone()]);
            }
        }
    }
}

/// What an architecture says about the bias of a [`Linear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bias {
    /// Every model of the architecture has it.
    Always,
    /// Some models have it.
    IfThere,
}

impl<'g, 'a> Tensors<'g, 'a> {
    /// Return the tensors of `gguf`, none of them taken.
    pub(super) fn new(gguf: &'g Gguf<'a>) -> Self {
        Self { gguf, taken: HashSet::new() }
    }

    /// Return whether the file has the tensor `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.gguf.has_tensor(name)
    }

    /// Return the tensor `name` as a matrix `(n_out, n_in)`.
    ///
    /// # Errors
    /// When it is missing, of a type that the engine does not compute with, or of another shape.
    pub(super) fn matrix(&mut self, name: &str, n_in: usize, n_out: usize) -> Result<Matrix<'a>, Error> {
        let matrix = Matrix::load(self.gguf, name, n_in, n_out)?;
        self.taken.insert(&self.gguf.tensor(name)?.name);
        Ok(matrix)
    }

    /// Return the F32 tensor `name (len)`.
    ///
    /// # Errors
    /// When it is missing, or of another type or shape.
    pub(super) fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        let tensor = self.gguf.tensor(name)?;
        check_shape(tensor, &[len as u64])?;
        let kind = tensor.kind()?;
        if kind != TensorType::F32 {
            return Err(Error::BadTensor {
                name: name.to_string(),
                expected: "F32".to_string(),
                found: kind.to_string(),
            });
        }
        self.taken.insert(&tensor.name);
        let (bytes, _) = tensor.bytes.as_chunks::<4>();
        Ok(bytes.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }

    /// Return `name.weight (n_out, n_in)` and `name.bias (n_out)`.
    ///
    /// # Errors
    /// When one of them is missing or does not fit.
    pub(super) fn linear(
        &mut self,
        name: &str,
        n_in: usize,
        n_out: usize,
        bias: Bias,
    ) -> Result<Linear<'a>, Error> {
        let [linear] = self.fused(name, n_in, [n_out], bias)?;
        Ok(linear)
    }

    /// Return the parts of `name.weight`, whose rows are those of several matrices `(n_out, n_in)` one after the other.
    ///
    /// # Errors
    /// When a tensor is missing or does not fit.
    pub(super) fn fused<const N: usize>(
        &mut self,
        name: &str,
        n_in: usize,
        n_out: [usize; N],
        bias: Bias,
    ) -> Result<[Linear<'a>; N], Error> {
        let total = n_out.iter().sum();
        let matrix = self.matrix(&format!("{name}.weight"), n_in, total)?;
        let name = format!("{name}.bias");
        let bias = match bias == Bias::Always || self.has(&name) {
            true => Some(self.vector(&name, total)?),
            false => None,
        };
        let mut start = 0;
        Ok(n_out.map(|n_out| {
            let rows = start..start + n_out;
            start = rows.end;
            let bias = bias.as_ref().map(|bias| bias[rows.clone()].to_vec());
            Linear { matrix, rows, bias }
        }))
    }

    /// Return the matrix of the logits: `output.weight (n_vocab, n_embd)`, or the embedding itself where the file has none
    /// (tied).
    ///
    /// # Errors
    /// When there is one and it does not fit.
    pub(super) fn output(&mut self, token_embd: Matrix<'a>) -> Result<Linear<'a>, Error> {
        let (n_in, n_out) = (token_embd.n_in(), token_embd.n_out());
        match self.has("output.weight") {
            true => self.linear("output", n_in, n_out, Bias::IfThere),
            false => Ok(Linear { matrix: token_embd, rows: 0..n_out, bias: None }),
        }
    }

    /// Return an error if there is a tensor that `architecture` has not taken.
    ///
    /// # Errors
    /// Names the first of them in the order of the alphabet.
    pub(super) fn finish(self, architecture: &str) -> Result<(), Error> {
        let names = self.gguf.tensors().map(|tensor| &*tensor.name);
        match names.filter(|name| !self.taken.contains(name)).min() {
            None => Ok(()),
            Some(name) => Err(Error::BadTensor {
                name: name.to_string(),
                expected: format!("only tensors that the {architecture} architecture computes with"),
                found: "one that it would ignore".to_string(),
            }),
        }
    }
}
