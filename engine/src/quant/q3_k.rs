//! Q3_K: 256 weights `d * scale * (q - 4)` with 3-bit `q` and a 6-bit scale per 16 weights; 3.4375 bits per weight.

use core::array;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{Block, Quants};
use super::{F16, QK, QK_K};

/// The third bits, the lower two, the groups' scales, then what those are multiples of.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockQ3_K {
    /// The third bit of weight `32 * i + k` is bit `i` of byte `k`.
    pub hmask: [u8; QK],
    /// The lower two bits, as in Q2_K.
    pub qs: [[u8; QK]; 2],
    /// Scales: see [`Self::scales`].
    pub scales: [[u8; 4]; 3],
    /// Scale of the scales.
    pub d: F16,
}

const _: () = assert!(size_of::<BlockQ3_K>() == 110);

impl BlockQ3_K {
    /// Return the scales, -32 to 31.
    ///
    /// The low four bits of scales 0 to 7 are the low halves of the first eight bytes, those of scales 8 to 15 their
    /// high halves; the last four bytes hold the upper two bits, scale `i`'s in bits `2 * (i / 4)` of byte `i % 4`.
    pub fn scales(&self) -> [i8; QK_K / 16] {
        let [a, b, high] = self.scales.map(u32::from_le_bytes);
        let mut scales = [0; QK_K / 16];
        for (i, (scales, low)) in
            scales.as_chunks_mut::<4>().0.iter_mut().zip([a, b, a >> 4, b >> 4]).enumerate()
        {
            let bits = low & 0x0f0f_0f0f | (high >> (2 * i) & 0x0303_0303) << 4;
            *scales = bits.to_le_bytes().map(|scale| scale as i8 - 32);
        }
        scales
    }
}

impl Block for BlockQ3_K {
    type Weights = Quants<8, 16>;

    fn unpack(&self) -> Self::Weights {
        Quants {
            d: self.d,
            m: F16::default(),
            scales: self.scales(),
            offsets: [0; QK_K / 16],
            qs: array::from_fn(|i| {
                let low = self.qs[i / 4].map(|q| q >> (2 * (i % 4)) & 3);
                array::from_fn(|k| (low[k] | (self.hmask[k] >> i & 1) << 2) as i8 - 4)
            }),
        }
    }
}
