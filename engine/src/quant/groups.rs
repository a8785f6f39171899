//! 8-bit weights whose scales lie apart from them: llama2.c's files of version 2.
//!
//! quantize_q80 in export.py of karpathy/llama2.c cuts a whole tensor into groups, from row to row: a group may begin in
//! one row and end in another. A group is a power of two of blocks here, so that a block's group is found by a shift.

use core::ops::Range;

use zerocopy::FromBytes;
use zerocopy::little_endian::F32;

use super::block::Weights;
use super::{Activations, BlockQ8_1, QK};

/// The weights of a matrix, in blocks of [`QK`], and a scale for each group of blocks. Having them tells that each block has
/// its scale.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'a> {
    quants: &'a [[i8; QK]],
    scales: &'a [F32],
    /// The binary logarithm of a group's blocks.
    shift: u32,
    /// How many blocks of the first group are not among `quants`.
    n_before: usize,
}

/// 32 weights `d * q` with 8-bit `q`.
#[derive(Clone, Copy, Debug)]
pub struct GroupBlock<'a> {
    /// Scale of the group.
    pub d: f32,
    /// Quants.
    pub qs: &'a [i8; QK],
}

impl<'a> Groups<'a> {
    /// Return how many bytes quants and scales take.
    pub(crate) fn size_bytes(&self) -> u64 {
        (size_of_val(self.quants) + size_of_val(self.scales)) as u64
    }

    /// Return whether groups of `len` weights are ones that can be computed with.
    pub fn is_group_len(len: usize) -> bool {
        len >= QK && len.is_power_of_two()
    }

    /// Return the weights with the quants `quants`, of which each `group_len` share a scale, or `None` when those are not
    /// whole groups or their `scales` are more or fewer.
    pub fn new(quants: &'a [u8], scales: &'a [u8], group_len: usize) -> Option<Self> {
        let fits =
            Self::is_group_len(group_len) && scales.len() / size_of::<F32>() == quants.len() / group_len;
        let quants = <[[i8; QK]]>::ref_from_bytes(quants).ok()?;
        let scales = <[F32]>::ref_from_bytes(scales).ok()?;
        let shift = (group_len / QK).trailing_zeros();
        (fits && quants.len() == scales.len() << shift).then_some(Self { quants, scales, shift, n_before: 0 })
    }

    /// Return the number of blocks.
    pub fn n_blocks(&self) -> usize {
        self.quants.len()
    }

    /// Return some of the blocks.
    pub fn cut(&self, blocks: Range<usize>) -> Self {
        let first = (self.n_before + blocks.start) >> self.shift;
        let n_before = self.n_before + blocks.start - (first << self.shift);
        Self { quants: &self.quants[blocks], scales: &self.scales[first..], n_before, ..*self }
    }

    /// Return the quants of all blocks.
    pub fn quants(&self) -> &'a [[i8; QK]] {
        self.quants
    }

    /// Return the scale of block `i`.
    #[inline(always)]
    pub fn scale(&self, i: usize) -> f32 {
        self.scales[(self.n_before + i) >> self.shift].get()
    }

    /// Return block `i`.
    #[inline(always)]
    pub fn block(&self, i: usize) -> GroupBlock<'a> {
        GroupBlock { d: self.scale(i), qs: &self.quants[i] }
    }

    /// Write the weights as floats to `out (n_blocks, QK)`.
    pub fn dequantize(&self, out: &mut [f32]) {
        for (i, out) in out.chunks_exact_mut(QK).enumerate() {
            self.block(i).dequantize(out);
        }
    }
}

impl Weights for GroupBlock<'_> {
    const LEN: usize = QK;
    type X = BlockQ8_1;

    fn activations(x: Activations<'_>) -> &[BlockQ8_1] {
        x.quants
    }

    fn dequantize(&self, out: &mut [f32]) {
        for (out, &q) in out.iter_mut().zip(self.qs) {
            *out = self.d * f32::from(q);
        }
    }

    fn dot(&self, x: &BlockQ8_1) -> f32 {
        let products: i32 = self.qs.iter().zip(&x.qs).map(|(&q, &x)| i32::from(q) * i32::from(x)).sum();
        self.d * x.d * products as f32
    }
}
