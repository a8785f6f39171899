//! Q4_0: 32 weights `d * (q - 8)` with 4-bit `q`, 4.5 bits per weight.

use super::{Block, BlockQ8_1, F16, QK};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The scale, then 16 bytes: weight `i` in the low half of byte `i`, weight `i + 16` in its high half.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockQ4_0 {
    /// Scale.
    pub d: F16,
    /// Nibbles.
    pub qs: [u8; QK / 2],
}

const _: () = assert!(size_of::<BlockQ4_0>() == 18);

impl Block for BlockQ4_0 {
    fn dequantize(&self, out: &mut [f32; QK]) {
        let d = self.d.to_f32();
        for (i, &q) in self.qs.iter().enumerate() {
            out[i] = d * (f32::from(q & 0xf) - 8.0);
            out[i + QK / 2] = d * (f32::from(q >> 4) - 8.0);
        }
    }

    fn dot(&self, x: &BlockQ8_1) -> f32 {
        // The offset of 8 is taken out of the integer sum: d * (sum(q * x) - 8 * sum(x)), and x.s is the sum of x.
        let d = self.d.to_f32();
        d * x.d * x.dot_nibbles(&self.qs) as f32 - 8.0 * d * x.s
    }
}
