//! Q6_K: 256 weights `d * scale * (q - 32)` with 6-bit `q` and an 8-bit scale per 16 weights; 6.5625 bits per weight.

use core::array;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{Block, Quants};
use super::{F16, QK, QK_K};

/// The lower four bits, the upper two, the groups' scales, then what those are multiples of.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockQ6_K {
    /// Of either half of the weights, weight `32 * i + k` has its lower four bits in byte `k` of row `i % 2`, in the low
    /// half where `i < 2`, else in the high half.
    pub ql: [[[u8; QK]; 2]; 2],
    /// Of either half, weight `32 * i + k` has its upper two bits in bits `2 * i` of byte `k`.
    pub qh: [[u8; QK]; 2],
    /// Scales.
    pub scales: [i8; QK_K / 16],
    /// Scale of the scales.
    pub d: F16,
}

const _: () = assert!(size_of::<BlockQ6_K>() == 210);

impl Block for BlockQ6_K {
    type Weights = Quants<8, 16>;

    fn unpack(&self) -> Self::Weights {
        Quants {
            d: self.d,
            m: F16::default(),
            scales: self.scales,
            offsets: [0; QK_K / 16],
            qs: array::from_fn(|row| {
                let (half, i) = (row / 4, row % 4);
                let low = self.ql[half][i % 2].map(|q| q >> (4 * (i / 2)) & 0xf);
                array::from_fn(|k| (low[k] | (self.qh[half][k] >> (2 * i) & 3) << 4) as i8 - 32)
            }),
        }
    }
}
