//! Q4_1: 32 weights `d * q + m` with 4-bit `q`, 5 bits per weight.

use super::{Block, BlockQ8_1, F16, QK};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The scale, the minimum, then 16 bytes of nibbles in Q4_0's order.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockQ4_1 {
    /// Scale.
    pub d: F16,
    /// Minimum: the weight that `q = 0` stands for.
    pub m: F16,
    /// Nibbles.
    pub qs: [u8; QK / 2],
}

const _: () = assert!(size_of::<BlockQ4_1>() == 20);

impl Block for BlockQ4_1 {
    fn dequantize(&self, out: &mut [f32; QK]) {
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        for (i, &q) in self.qs.iter().enumerate() {
            out[i] = d * f32::from(q & 0xf) + m;
            out[i + QK / 2] = d * f32::from(q >> 4) + m;
        }
    }

    fn dot(&self, x: &BlockQ8_1) -> f32 {
        self.d.to_f32() * x.d * x.dot_nibbles(&self.qs) as f32 + self.m.to_f32() * x.s
    }
}
