//! F32, F16, BF16: weights that are floats already. A block is one of them.

use zerocopy::little_endian::F32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Block;

/// A little-endian IEEE 754 binary16 in a file.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct F16(pub [u8; 2]);

impl F16 {
    /// Return the value as a float.
    pub fn to_f32(self) -> f32 {
        half::f16::from_le_bytes(self.0).to_f32()
    }

    /// Return the nearest binary16.
    pub fn from_f32(value: f32) -> Self {
        Self(half::f16::from_f32(value).to_le_bytes())
    }
}

/// A little-endian bfloat16 in a file: the upper half of a binary32.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct BF16(pub [u8; 2]);

impl BF16 {
    /// Return the value as a float.
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(self.0)) << 16)
    }
}

impl Block for F32 {
    type Weights = f32;

    fn unpack(&self) -> f32 {
        self.get()
    }
}

impl Block for F16 {
    type Weights = f32;

    fn unpack(&self) -> f32 {
        self.to_f32()
    }
}

impl Block for BF16 {
    type Weights = f32;

    fn unpack(&self) -> f32 {
        self.to_f32()
    }
}
