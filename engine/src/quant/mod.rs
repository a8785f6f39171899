//! Tensor types: how a block of weights lies in a file, and what it is worth as floats.
//!
//! One file per block type. The layouts are ggml's (`ggml/src/ggml-common.h` of llama.cpp defines them), but for [`Groups`],
//! which are llama2.c's; every block is a byte array in memory (alignment 1), so that a file can be used wherever it lies. The
//! inner loops over blocks are in [`crate::cpu`].

#![allow(non_camel_case_types, reason = "the types are called as ggml calls them")]

mod block;
mod float;
mod groups;
mod interleaved;
mod iq4_nl;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod q8_1;

pub use block::{Block, Quants, Weights};
pub use float::{BF16, F16};
pub use groups::{GroupBlock, Groups};
pub use interleaved::{ROWS, RowLayout};
pub(crate) use interleaved::{block_of, can_interleave, dequantize_row, interleave};
pub use iq4_nl::{BlockIQ4_NL, IQ4_NL_VALUES};
pub use q2_k::BlockQ2_K;
pub use q3_k::BlockQ3_K;
pub use q4_0::BlockQ4_0;
pub use q4_1::BlockQ4_1;
pub use q4_k::{BlockQ4_K, ScalesAndOffsets};
pub use q5_0::BlockQ5_0;
pub use q5_1::BlockQ5_1;
pub use q5_k::BlockQ5_K;
pub use q6_k::BlockQ6_K;
pub use q8_0::BlockQ8_0;
pub use q8_1::{Activations, BlockQ8_1, Tiles};

use core::fmt;

use zerocopy::FromBytes;

/// Activations in a block of [`BlockQ8_1`], and weights in a block of the older types.
pub const QK: usize = 32;

/// Weights in a block of the K types.
pub const QK_K: usize = 256;

/// The tensor types that the engine computes with, numbered as in ggml (`enum ggml_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum TensorType {
    /// 32-bit floats.
    F32 = 0,
    /// 16-bit floats, IEEE 754.
    F16 = 1,
    /// 4 bits per weight and a scale per block.
    Q4_0 = 2,
    /// 4 bits per weight, a scale and a minimum per block.
    Q4_1 = 3,
    /// 5 bits per weight and a scale per block.
    Q5_0 = 6,
    /// 5 bits per weight, a scale and a minimum per block.
    Q5_1 = 7,
    /// 8 bits per weight and a scale per block.
    Q8_0 = 8,
    /// 2 bits per weight, scales and offsets within a block.
    Q2_K = 10,
    /// 3 bits per weight, scales within a block.
    Q3_K = 11,
    /// 4 bits per weight, scales and offsets within a block.
    Q4_K = 12,
    /// 5 bits per weight, scales and offsets within a block.
    Q5_K = 13,
    /// 6 bits per weight, scales within a block.
    Q6_K = 14,
    /// 4 bits per weight, which choose from a table, and a scale per block.
    IQ4_NL = 20,
    /// 16-bit floats, the upper half of a 32-bit one.
    BF16 = 30,
}

/// Evaluate `$body`, in which `$Block` is the block type of the tensor type `$kind`.
macro_rules! with_block {
    ($kind:expr, $Block:ident => $body:expr) => {{
        macro_rules! with {
            ($Type:ty) => {{
                type $Block = $Type;
                $body
            }};
        }
        match $kind {
            $crate::quant::TensorType::F32 => with!(zerocopy::little_endian::F32),
            $crate::quant::TensorType::F16 => with!($crate::quant::F16),
            $crate::quant::TensorType::Q4_0 => with!($crate::quant::BlockQ4_0),
            $crate::quant::TensorType::Q4_1 => with!($crate::quant::BlockQ4_1),
            $crate::quant::TensorType::Q5_0 => with!($crate::quant::BlockQ5_0),
            $crate::quant::TensorType::Q5_1 => with!($crate::quant::BlockQ5_1),
            $crate::quant::TensorType::Q8_0 => with!($crate::quant::BlockQ8_0),
            $crate::quant::TensorType::Q2_K => with!($crate::quant::BlockQ2_K),
            $crate::quant::TensorType::Q3_K => with!($crate::quant::BlockQ3_K),
            $crate::quant::TensorType::Q4_K => with!($crate::quant::BlockQ4_K),
            $crate::quant::TensorType::Q5_K => with!($crate::quant::BlockQ5_K),
            $crate::quant::TensorType::Q6_K => with!($crate::quant::BlockQ6_K),
            $crate::quant::TensorType::IQ4_NL => with!($crate::quant::BlockIQ4_NL),
            $crate::quant::TensorType::BF16 => with!($crate::quant::BF16),
        }
    }};
}
pub(crate) use with_block;

impl TensorType {
    /// Every type.
    pub const ALL: [Self; 14] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
    ];

    /// The supported types, for messages.
    pub const SUPPORTED: &'static str =
        "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL";

    /// Return the type with ggml's number `id`, if the engine computes with it.
    pub fn from_ggml(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u32 == id)
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
        with_block!(self, B => <B as Block>::Weights::LEN)
    }

    /// Return how many bytes a block takes.
    pub fn block_bytes(self) -> usize {
        with_block!(self, B => size_of::<B>())
    }

    /// Return how many activations have one scale where they meet weights of this type: a block of [`BlockQ8_1`], or a super-block.
    pub fn n_sharing(self) -> usize {
        self.block_len().max(QK)
    }

    /// Return whether the weights meet quantized activations.
    pub fn is_quantized(self) -> bool {
        !matches!(self, Self::F32 | Self::F16 | Self::BF16)
    }

    /// Write the weights of the blocks in `bytes` to `out`.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        with_block!(self, B => {
            for (block, out) in blocks::<B>(bytes).iter().zip(out.chunks_exact_mut(self.block_len())) {
                block.unpack().dequantize(out);
            }
        });
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ggml_name(*self as u32))
    }
}

/// Return `bytes` as blocks.
///
/// # Panics
/// When they are not whole blocks; those of a parsed file are.
pub(crate) fn blocks<B: Block>(bytes: &[u8]) -> &[B] {
    <[B]>::ref_from_bytes(bytes).expect("whole blocks")
}

#[cfg(test)]
mod tests;
