//! Q8_0: 32 weights `d * q` with 8-bit `q`, 8.5 bits per weight.

use super::{Block, BlockQ8_1, F16, QK};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

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
    fn dequantize(&self, out: &mut [f32; QK]) {
        let d = self.d.to_f32();
        for (out, &q) in out.iter_mut().zip(&self.qs) {
            *out = d * f32::from(q);
        }
    }

    fn dot(&self, x: &BlockQ8_1) -> f32 {
        let sum: i32 = self.qs.iter().zip(&x.qs).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
        self.d.to_f32() * x.d * sum as f32
    }
}
