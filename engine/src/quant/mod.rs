//! Tensor types: how a block of weights lies in a file, and what it is worth as floats.
//!
//! One file per block type. The layouts are ggml's (`ggml/src/ggml-common.h` of llama.cpp defines them); every block is
//! a byte array in memory (alignment 1), so that a file can be used wherever it lies.

pub mod q4_0;
pub mod q4_1;
pub mod q8_0;
pub mod q8_1;

pub use q4_0::BlockQ4_0;
pub use q4_1::BlockQ4_1;
pub use q8_0::BlockQ8_0;
pub use q8_1::BlockQ8_1;

use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Weights in a block of every type here.
pub const QK: usize = 32;

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

/// A block of [`QK`] weights.
pub trait Block: FromBytes + Immutable + KnownLayout + Unaligned + Sync + 'static {
    /// Write the block's weights as floats.
    fn dequantize(&self, out: &mut [f32; QK]);

    /// Return the dot product with a block of activations: the oracle of every faster one.
    fn dot(&self, x: &BlockQ8_1) -> f32;
}

/// The tensor types that the engine computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorType {
    /// 32-bit floats.
    F32,
    /// 4 bits per weight and a scale per block.
    Q4_0,
    /// 4 bits per weight, a scale and a minimum per block.
    Q4_1,
    /// 8 bits per weight and a scale per block.
    Q8_0,
}

impl TensorType {
    /// The supported types, for messages.
    pub const SUPPORTED: &'static str = "F32, Q4_0, Q4_1, Q8_0";

    /// Return the type with ggml's number `id` (`enum ggml_type`), if the engine computes with it.
    pub fn from_ggml(id: u32) -> Option<Self> {
        match id {
            0 => Some(Self::F32),
            2 => Some(Self::Q4_0),
            3 => Some(Self::Q4_1),
            8 => Some(Self::Q8_0),
            _ => None,
        }
    }

    /// Return ggml's name for its type number `id`, for messages about types that are not supported too.
    pub fn ggml_name(id: u32) -> &'static str {
        const NAMES: [&str; 31] = [
            "F32", "F16", "Q4_0", "Q4_1", "Q4_2", "Q4_3", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K",
            "Q4_K", "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
            "IQ2_S", "IQ4_XS", "I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16",
        ];
        usize::try_from(id).ok().and_then(|id| NAMES.get(id)).copied().unwrap_or("of an unknown type")
    }

    /// Return how many weights a block has.
    pub fn block_len(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q8_0 => QK,
        }
    }

    /// Return how many bytes a block takes.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Q4_0 => size_of::<BlockQ4_0>(),
            Self::Q4_1 => size_of::<BlockQ4_1>(),
            Self::Q8_0 => size_of::<BlockQ8_0>(),
        }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q8_0 => "Q8_0",
        })
    }
}

#[cfg(test)]
mod tests;
