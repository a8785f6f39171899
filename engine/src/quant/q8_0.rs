//! Q8_0: 32 weights `d * q` with 8-bit `q`, 8.5 bits per weight.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{Block, Quants};
use super::{F16, QK};

/// The scale, then 32 signed bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockQ8_0 {
    /// Scale.
    pub d: F16,
    /// Quants.
    pub qs: [i8; QK],
}

const _: () = assert!(size_of::<BlockQ8_0>() == 34);

impl Block for BlockQ8_0 {
    type Weights = Quants<1, 1>;

    fn unpack(&self) -> Self::Weights {
        Quants::scaled(self.d, self.qs)
    }
}
