//! A weight matrix that stays where its file lies.

use alloc::format;
use alloc::string::ToString;
use core::ops::Range;

use crate::Error;
use crate::cpu::{Kernels, Numbers};
use crate::format::gguf::{Gguf, Tensor};
use crate::quant::{Activations, Groups, QK, RowLayout, TensorType, dequantize_row};

/// A weight matrix `(n_out, n_in)`: row `i` makes output `i`. It borrows its rows from the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    n_in: usize,
    n_out: usize,
    rows: Rows<'a>,
}

/// The rows of a matrix, one after the other.
#[derive(Clone, Copy, Debug)]
enum Rows<'a> {
    /// Blocks of a type, so many bytes to a row.
    Blocks { kind: TensorType, row_bytes: usize, bytes: &'a [u8] },
    /// The same, interleaved.
    Interleaved { kind: TensorType, bytes: &'a [u8] },
    /// Blocks whose scales lie apart.
    Groups(Groups<'a>),
}

impl<'a> Matrix<'a> {
    /// Return the tensor `name` as a matrix.
    ///
    /// # Errors
    /// When it is missing, of a type that the engine does not compute with, or of another shape than `(n_out, n_in)`.
    pub(super) fn load(gguf: &Gguf<'a>, name: &str, n_in: usize, n_out: usize) -> Result<Self, Error> {
        let tensor = gguf.tensor(name)?;
        check_shape(tensor, &[n_in as u64, n_out as u64])?;
        // The reader has seen to it that rows are whole blocks, and has cut the bytes to the shape's size.
        let bytes = tensor.bytes;
        let rows = match (tensor.groups, tensor.layout) {
            (Some(groups), _) => Rows::Groups(groups),
            (None, RowLayout::Interleaved) => Rows::Interleaved { kind: tensor.kind()?, bytes },
            (None, RowLayout::Plain) => {
                Rows::Blocks { kind: tensor.kind()?, row_bytes: bytes.len() / n_out, bytes }
            }
        };
        Ok(Self { n_in, n_out, rows })
    }

    /// Return the number of inputs, the width of a row.
    pub(crate) fn n_in(&self) -> usize {
        self.n_in
    }

    /// Return the number of outputs, the count of rows.
    pub(crate) fn n_out(&self) -> usize {
        self.n_out
    }

    /// Return how many activations have one scale where the weights meet quantized ones; `None` where they meet floats.
    pub(crate) fn n_sharing(&self) -> Option<usize> {
        match self.rows {
            Rows::Blocks { kind, .. } | Rows::Interleaved { kind, .. } => {
                kind.is_quantized().then(|| kind.n_sharing())
            }
            Rows::Groups(_) => Some(QK),
        }
    }

    /// Return what the products with many tokens multiply where these are read in tiles.
    pub(crate) fn numbers_in_tiles(&self) -> Option<Numbers> {
        match self.rows {
            Rows::Interleaved { kind, .. } => (!kind.is_quantized()).then(|| Numbers::of(kind)),
            Rows::Blocks { .. } | Rows::Groups(_) => None,
        }
    }

    /// Write row `row` as floats to `out (n_in)`.
    pub(crate) fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        match self.rows {
            Rows::Blocks { kind, row_bytes, bytes } => {
                kind.dequantize(&bytes[row * row_bytes..][..row_bytes], out);
            }
            Rows::Interleaved { kind, bytes } => dequantize_row(kind, bytes, row, out),
            Rows::Groups(groups) => groups.cut(self.blocks_of(&(row..row + 1))).dequantize(out),
        }
    }

    /// Write the products of `rows` with the activations of `n_tokens` tokens to `out (n_tokens)(rows.len())`.
    pub(crate) fn multiply(
        &self,
        kernels: &Kernels,
        rows: Range<usize>,
        x: Activations<'_>,
        out: &mut [&mut [f32]],
    ) {
        match self.rows {
            Rows::Blocks { kind, row_bytes, bytes } => {
                let bytes = &bytes[rows.start * row_bytes..rows.end * row_bytes];
                kernels.mul_mat(kind, bytes, x, self.n_in, out);
            }
            Rows::Interleaved { kind, bytes } => {
                kernels.mul_mat_interleaved(kind, bytes, x, self.n_in, rows, out);
            }
            Rows::Groups(groups) => {
                kernels.mul_mat_groups(groups.cut(self.blocks_of(&rows)), x, self.n_in, out);
            }
        }
    }

    /// Return which blocks of [`QK`] weights some of the rows are.
    fn blocks_of(&self, rows: &Range<usize>) -> Range<usize> {
        let n_blocks = self.n_in / QK;
        rows.start * n_blocks..rows.end * n_blocks
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
