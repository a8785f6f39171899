//! Q4_0: 32 weights `d * (q - 8)` with 4-bit `q`, 4.5 bits per weight.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{Block, Quants, nibbles};
use super::{F16, QK};

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
    type Weights = Quants<1, 1>;

    fn unpack(&self) -> Self::Weights {
        Quants::scaled(self.d, nibbles(&self.qs).map(|q| q as i8 - 8))
    }
}
