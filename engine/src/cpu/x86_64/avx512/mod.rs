//! The inner loops for AVX-512 with VNNI: the products of [`interleaved`] rows, of which those that are [`floats`] meet many tokens as
//! [`bf16`] where the processor has it, and those in [`attention`]. The others are AVX2's.

mod attention;
mod bf16;
mod floats;
mod interleaved;
mod unpack;
mod vectors;

pub(super) use attention::attend;
pub(super) use bf16::{TOKENS as BF16_TILE_TOKENS, tile as tile_in_bf16};
pub(super) use floats::TOKENS as TILE_TOKENS;
pub(super) use interleaved::{mul_mat_interleaved, mul_mat_interleaved_in_bf16};
