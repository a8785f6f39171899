//! Q4_1: 32 weights `d * q + m` with 4-bit `q`, 5 bits per weight.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{Block, Quants, nibbles};
use super::{F16, QK};

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
    type Weights = Quants<1, 1>;

    fn unpack(&self) -> Self::Weights {
        Quants::from_minimum(self.d, self.m, nibbles(&self.qs).map(|q| q as i8))
    }
}
