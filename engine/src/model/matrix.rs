//! A weight matrix that stays where its file lies.

use alloc::format;
use alloc::string::ToString;
use core::ops::Range;

use crate::Error;
use crate::cpu::Kernels;
use crate::format::gguf::{Gguf, Tensor};
use crate::quant::{Activations, TensorType};

/// A weight matrix `(n_out, n_in)`: row `i` makes output `i`. It borrows its rows from the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    n_in: usize,
    n_out: usize,
    kind: TensorType,
    /// Bytes of a row.
    row_bytes: usize,
    /// The rows, one after the other, as blocks of their type.
    rows: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// Return the tensor `name` as a matrix.
    ///
    /// # Errors
    /// When it is missing, of a type that the engine does not compute with, or of another shape than `(n_out, n_in)`.
    pub(super) fn load(gguf: &Gguf<'a>, name: &str, n_in: usize, n_out: usize) -> Result<Self, Error> {
        let (tensor, kind) = gguf.tensor(name)?;
        check_shape(tensor, &[n_in as u64, n_out as u64])?;
        // The reader has seen to it that rows are whole blocks, and has cut the bytes to the shape's size.
        Ok(Self { n_in, n_out, kind, row_bytes: tensor.bytes.len() / n_out, rows: tensor.bytes })
    }

    /// Return the number of inputs, the width of a row.
    pub(crate) fn n_in(&self) -> usize {
        self.n_in
    }

    /// Return the number of outputs, the count of rows.
    pub(crate) fn n_out(&self) -> usize {
        self.n_out
    }

    /// Return the type of the weights.
    pub(crate) fn kind(&self) -> TensorType {
        self.kind
    }

    /// Write row `row` as floats to `out (n_in)`.
    pub(crate) fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        self.kind.dequantize(self.bytes(row..row + 1), out);
    }

    /// Write the products of `rows` with the activations of `n_tokens` tokens to `out (n_tokens, rows.len())`.
    pub(crate) fn multiply(
        &self,
        kernels: &Kernels,
        rows: Range<usize>,
        x: Activations<'_>,
        out: &mut [f32],
    ) {
        kernels.mul_mat(self.kind, self.bytes(rows), x, self.n_in, out);
    }

    fn bytes(&self, rows: Range<usize>) -> &'a [u8] {
        &self.rows[rows.start * self.row_bytes..rows.end * self.row_bytes]
    }
}

/// Return an error unless the tensor has the dimensions `shape`; further dimensions of 1 do not matter.
pub(super) fn check_shape(tensor: &Tensor<'_>, shape: &[u64]) -> Result<(), Error> {
    let same = tensor.shape.len() >= shape.len()
        && tensor.shape.iter().enumerate().all(|(i, &dim)| dim == shape.get(i).copied().unwrap_or(1));
    if same {
        return Ok(());
    }
    Err(Error::BadTensor {
        name: tensor.name.to_string(),
        expected: format!("of shape {shape:?}"),
        found: format!("of shape {:?}", tensor.shape),
    })
}
