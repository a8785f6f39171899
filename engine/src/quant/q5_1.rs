//! Q5_1: 32 weights `d * q + m` with 5-bit `q`, 6 bits per weight.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{Block, Quants, nibbles_and_fifth_bits};
use super::{F16, QK};

/// The scale, the minimum, then fifth bits and nibbles as in Q5_0.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockQ5_1 {
    /// Scale.
    pub d: F16,
    /// Minimum: the weight that `q = 0` stands for.
    pub m: F16,
    /// Fifth bits.
    pub qh: [u8; QK / 8],
    /// Nibbles.
    pub qs: [u8; QK / 2],
}

const _: () = assert!(size_of::<BlockQ5_1>() == 24);

impl Block for BlockQ5_1 {
    type Weights = Quants<1, 1>;

    fn unpack(&self) -> Self::Weights {
        Quants::from_minimum(self.d, self.m, nibbles_and_fifth_bits(&self.qs, self.qh).map(|q| q as i8))
    }
}
