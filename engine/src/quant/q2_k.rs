//! Q2_K: 256 weights `d * scale * q - m * offset` with 2-bit `q`, a 4-bit scale and offset per 16 weights; 2.625 bits
//! per weight.

use core::array;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{Block, Quants};
use super::{F16, QK, QK_K};

/// The groups' scales and offsets, the quants, then what both are multiples of.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockQ2_K {
    /// Per group, the scale in the low half and the offset in the high half.
    pub scales: [u8; QK_K / 16],
    /// Weight `32 * i + k` of either half lies in bits `2 * i` of byte `k` of that half.
    pub qs: [[u8; QK]; 2],
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the offsets.
    pub m: F16,
}

const _: () = assert!(size_of::<BlockQ2_K>() == 84);

impl Block for BlockQ2_K {
    type Weights = Quants<8, 16>;

    fn unpack(&self) -> Self::Weights {
        Quants {
            d: self.d,
            m: self.m,
            scales: self.scales.map(|scale| (scale & 0xf) as i8),
            offsets: self.scales.map(|scale| (scale >> 4) as i8),
            qs: array::from_fn(|i| self.qs[i / 4].map(|q| (q >> (2 * (i % 4)) & 3) as i8)),
        }
    }
}
