//! Q8_1: what activations are quantized to before they meet quantized weights.
//!
//! Like ggml's block of the same name, but the scale and the sum stay floats: activations are never stored in a file.

use super::QK;

/// 32 activations `d * q` with 8-bit `q`, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct BlockQ8_1 {
    /// Scale.
    pub d: f32,
    /// `d * sum(qs)`, which meets the minimum (or the offset) of the weights.
    pub s: f32,
    /// Quants in -127..=127: -128 never occurs, so that a sign can be moved to the other factor.
    pub qs: [i8; QK],
}

impl BlockQ8_1 {
    /// Return the sum of nibble times quant, the nibbles in Q4_0's order.
    pub(crate) fn dot_nibbles(&self, nibbles: &[u8; QK / 2]) -> i32 {
        let (low, high) = self.qs.split_at(QK / 2);
        nibbles
            .iter()
            .zip(low.iter().zip(high))
            .map(|(&q, (&low, &high))| {
                i32::from(q & 0xf) * i32::from(low) + i32::from(q >> 4) * i32::from(high)
            })
            .sum()
    }
}
