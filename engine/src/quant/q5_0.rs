//! Q5_0: 32 weights `d * (q - 16)` with 5-bit `q`, 5.5 bits per weight.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{Block, Quants, nibbles_and_fifth_bits};
use super::{F16, QK};

/// The scale, the fifth bits (bit `i` is weight `i`'s), then 16 bytes of nibbles in Q4_0's order.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockQ5_0 {
    /// Scale.
    pub d: F16,
    /// Fifth bits.
    pub qh: [u8; QK / 8],
    /// Nibbles.
    pub qs: [u8; QK / 2],
}

const _: () = assert!(size_of::<BlockQ5_0>() == 22);

impl Block for BlockQ5_0 {
    type Weights = Quants<1, 1>;

    fn unpack(&self) -> Self::Weights {
        Quants::scaled(self.d, nibbles_and_fifth_bits(&self.qs, self.qh).map(|q| q as i8 - 16))
    }
}
