//! Q5_K: Q4_K with a fifth bit: 5.5 bits per weight.

use core::array;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{Block, Quants};
use super::q4_k::ScalesAndOffsets;
use super::{F16, QK};

/// The scales of scales and offsets, those themselves, the fifth bits, the lower four.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockQ5_K {
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the offsets.
    pub m: F16,
    /// Scales and offsets.
    pub scales: ScalesAndOffsets,
    /// The fifth bit of weight `32 * i + k` is bit `i` of byte `k`.
    pub qh: [u8; QK],
    /// The lower four bits, as in Q4_K.
    pub qs: [[u8; QK]; 4],
}

const _: () = assert!(size_of::<BlockQ5_K>() == 176);

impl Block for BlockQ5_K {
    type Weights = Quants<8, 8>;

    fn unpack(&self) -> Self::Weights {
        let [scales, offsets] = self.scales.unpack().map(|six_bits| six_bits.map(|number| number as i8));
        let qs = array::from_fn(|i| {
            let low = self.qs[i / 2].map(|q| q >> (4 * (i % 2)) & 0xf);
            array::from_fn(|k| (low[k] | (self.qh[k] >> i & 1) << 4) as i8)
        });
        Quants { d: self.d, m: self.m, scales, offsets, qs }
    }
}
