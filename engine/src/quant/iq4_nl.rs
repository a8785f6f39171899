//! IQ4_NL: 32 weights `d * VALUES[q]` with 4-bit `q`, 4.5 bits per weight.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{Block, Quants, nibbles};
use super::{F16, QK};

/// What a nibble stands for: steps that are small near zero, where most weights lie (`kvalues_iq4nl` of ggml).
pub const IQ4_NL_VALUES: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The scale, then 16 bytes of nibbles in Q4_0's order.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockIQ4_NL {
    /// Scale.
    pub d: F16,
    /// Nibbles.
    pub qs: [u8; QK / 2],
}

const _: () = assert!(size_of::<BlockIQ4_NL>() == 18);

impl Block for BlockIQ4_NL {
    type Weights = Quants<1, 1>;

    fn unpack(&self) -> Self::Weights {
        Quants::scaled(self.d, nibbles(&self.qs).map(|q| IQ4_NL_VALUES[usize::from(q)]))
    }
}
