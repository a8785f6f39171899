//! A weight matrix that stays where its file lies.

use alloc::format;
use alloc::string::ToString;
use core::ops::Range;

use zerocopy::FromBytes;
use zerocopy::little_endian::F32;

use crate::Error;
use crate::cpu::Kernels;
use crate::format::gguf::{Gguf, Tensor};
use crate::quant::{Block, BlockQ4_0, BlockQ4_1, BlockQ8_0, BlockQ8_1, QK, TensorType};

/// A weight matrix `(n_out, n_in)`: row `i` makes output `i`. It borrows its rows from the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    n_in: usize,
    n_out: usize,
    rows: Rows<'a>,
}

/// The rows, one after the other, as blocks of their type.
#[derive(Clone, Copy, Debug)]
enum Rows<'a> {
    F32(&'a [F32]),
    Q4_0(&'a [BlockQ4_0]),
    Q4_1(&'a [BlockQ4_1]),
    Q8_0(&'a [BlockQ8_0]),
}

/// One token's (or several tokens') activations in both forms that matrices ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activations<'a> {
    /// `(n_tokens, n_in)`.
    pub(crate) floats: &'a [f32],
    /// `(n_tokens, n_in / QK)`, the same values; read by quantized matrices only.
    pub(crate) quants: &'a [BlockQ8_1],
}

impl<'a> Matrix<'a> {
    /// Return the tensor `name` as a matrix.
    ///
    /// # Errors
    /// When it is missing, of a type that the engine does not compute with, or of another shape than `(n_out, n_in)`.
    pub(super) fn load(gguf: &Gguf<'a>, name: &str, n_in: usize, n_out: usize) -> Result<Self, Error> {
        let (tensor, kind) = gguf.tensor(name)?;
        check_shape(tensor, &[n_in as u64, n_out as u64])?;
        // The reader has cut the bytes to the shape's size, so that each of these succeeds.
        let rows = match kind {
            TensorType::F32 => FromBytes::ref_from_bytes(tensor.bytes).map(Rows::F32).ok(),
            TensorType::Q4_0 => FromBytes::ref_from_bytes(tensor.bytes).map(Rows::Q4_0).ok(),
            TensorType::Q4_1 => FromBytes::ref_from_bytes(tensor.bytes).map(Rows::Q4_1).ok(),
            TensorType::Q8_0 => FromBytes::ref_from_bytes(tensor.bytes).map(Rows::Q8_0).ok(),
        };
        let rows = rows.ok_or_else(|| Error::MissingTensor { name: name.to_string() })?;
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

    /// Return the type of the weights.
    pub(crate) fn kind(&self) -> TensorType {
        match self.rows {
            Rows::F32(_) => TensorType::F32,
            Rows::Q4_0(_) => TensorType::Q4_0,
            Rows::Q4_1(_) => TensorType::Q4_1,
            Rows::Q8_0(_) => TensorType::Q8_0,
        }
    }

    /// Write row `row` as floats to `out (n_in)`.
    pub(crate) fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        match self.rows {
            Rows::F32(w) => {
                for (out, w) in out.iter_mut().zip(&w[row * self.n_in..][..self.n_in]) {
                    *out = w.get();
                }
            }
            Rows::Q4_0(w) => dequantize(self.blocks(w, &(row..row + 1)), out),
            Rows::Q4_1(w) => dequantize(self.blocks(w, &(row..row + 1)), out),
            Rows::Q8_0(w) => dequantize(self.blocks(w, &(row..row + 1)), out),
        }
    }

    /// Write the products of `rows` with the activations of `n_tokens` tokens to `out (n_tokens, rows.len())`.
    pub(crate) fn multiply(
        &self,
        kernels: &Kernels,
        rows: Range<usize>,
        x: Activations<'_>,
        out: &mut [f32],
    ) {
        match self.rows {
            Rows::F32(w) => {
                let w = &w[rows.start * self.n_in..rows.end * self.n_in];
                kernels.mul_mat_f32(w, x.floats, self.n_in, out);
            }
            Rows::Q4_0(w) => kernels.mul_mat_q4_0_q8_1(self.blocks(w, &rows), x.quants, self.n_in / QK, out),
            Rows::Q4_1(w) => kernels.mul_mat_q4_1_q8_1(self.blocks(w, &rows), x.quants, self.n_in / QK, out),
            Rows::Q8_0(w) => kernels.mul_mat_q8_0_q8_1(self.blocks(w, &rows), x.quants, self.n_in / QK, out),
        }
    }

    fn blocks<'b, B>(&self, blocks: &'b [B], rows: &Range<usize>) -> &'b [B] {
        let n_blocks = self.n_in / QK;
        &blocks[rows.start * n_blocks..rows.end * n_blocks]
    }
}

fn dequantize<B: Block>(blocks: &[B], out: &mut [f32]) {
    let (out, _) = out.as_chunks_mut::<QK>();
    for (block, out) in blocks.iter().zip(out) {
        block.dequantize(out);
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
