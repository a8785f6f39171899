//! Q4_K: 256 weights `d * scale * q - m * offset` with 4-bit `q`, a 6-bit scale and offset per 32 weights; 4.5 bits per
//! weight.

use core::array;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{Block, Quants};
use super::{F16, QK};

/// The scales of scales and offsets, those themselves, the quants.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockQ4_K {
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the offsets.
    pub m: F16,
    /// Scales and offsets.
    pub scales: ScalesAndOffsets,
    /// Weights `64 * i + k` in the low half, `64 * i + 32 + k` in the high half of byte `k` of row `i`.
    pub qs: [[u8; QK]; 4],
}

const _: () = assert!(size_of::<BlockQ4_K>() == 144);

impl Block for BlockQ4_K {
    type Weights = Quants<8, 8>;

    fn unpack(&self) -> Self::Weights {
        let [scales, offsets] = self.scales.unpack().map(|six_bits| six_bits.map(|number| number as i8));
        let qs = array::from_fn(|i| self.qs[i / 2].map(|q| (q >> (4 * (i % 2)) & 0xf) as i8));
        Quants { d: self.d, m: self.m, scales, offsets, qs }
    }
}

/// Eight scales and eight offsets of 6 bits, as Q4_K and Q5_K have them.
///
/// The first four scales are the low six bits of bytes 0 to 3, the first four offsets those of bytes 4 to 7. The low four
/// bits of the others lie in bytes 8 to 11, the scales' in the low halves; their upper two are what is left above the first.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct ScalesAndOffsets(pub [[u8; 4]; 3]);

impl ScalesAndOffsets {
    /// Return the scales, then the offsets.
    pub fn unpack(&self) -> [[u8; 8]; 2] {
        let [scales, offsets, others] = self.0.map(u32::from_le_bytes);
        [(scales, others), (offsets, others >> 4)].map(|(first, others)| {
            let others = others & 0x0f0f_0f0f | first >> 2 & 0x3030_3030;
            (u64::from(first & 0x3f3f_3f3f) | u64::from(others) << 32).to_le_bytes()
        })
    }
}
