//! Q8_1: what activations are quantized to before they meet quantized weights.
//!
//! Like ggml's block of the same name, but the scale and the sum stay floats, and more sums are kept: activations are never
//! stored in a file. Those that meet a super-block of weights share one scale, as in ggml's Q8_K ([`TensorType::n_sharing`]): then their products
//! are whole numbers until the super-block is complete.

use zerocopy::FromZeros;

use super::{QK, TensorType};
use crate::cpu::Numbers;

/// 32 activations `d * q` with 8-bit `q`, and their sum.
#[derive(Clone, Copy, Debug, Default, FromZeros, PartialEq)]
#[repr(C)]
pub struct BlockQ8_1 {
    /// Scale.
    pub d: f32,
    /// `d * sum(qs)`, which meets the minimum (or the offset) of the weights.
    pub s: f32,
    /// The sum of either half of `qs`: how often an offset that all weights of a half have is in its products.
    pub sums: [i16; 2],
    /// Quants in -127..=127: -128 never occurs, so that a sign can be moved to the other factor.
    pub qs: [i8; QK],
}

impl BlockQ8_1 {
    /// Return both sums as a lane of 32 bits has them, the first in the lower half.
    #[inline]
    pub(crate) fn lane_of_sums(&self) -> i32 {
        let [first, second] = self.sums.map(i32::from);
        first & 0xffff | second << 16
    }
}

/// Activations of one or several tokens, in the forms that weights ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Activations<'a> {
    /// `(n_tokens, n_in)`; read by floats.
    pub floats: &'a [f32],
    /// `(n_tokens, n_in / QK)`, the same values; read by quantized weights, with as many of one scale as their type asks for.
    pub quants: &'a [BlockQ8_1],
    /// The same values of many tokens in tiles; read by floats that are interleaved.
    pub tiles: Tiles<'a>,
}

/// Activations of many tokens, of some side by side: what [`Kernels::tile`](crate::cpu::Kernels::tile) makes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tiles<'a> {
    /// What they were made for.
    pub numbers: Numbers,
    /// `(n_tiles, words of a tile)`.
    pub words: &'a [u32],
}

impl Activations<'_> {
    /// Return how many there are of what weights of `kind` read.
    pub(crate) fn n_values(self, kind: TensorType) -> usize {
        if kind.is_quantized() { self.quants.len() * QK } else { self.floats.len() }
    }

    /// Return what weights of `kind` read of token `token`.
    pub(crate) fn of_token(self, kind: TensorType, token: usize, n_in: usize) -> Self {
        let mut x = Self::default();
        match kind.is_quantized() {
            true => x.quants = &self.quants[token * n_in / QK..][..n_in / QK],
            false => x.floats = &self.floats[token * n_in..][..n_in],
        }
        x
    }
}
