//! The inner loops for AVX2 with FMA and F16C.
//!
//! Products of weights with activations, by the kind of block: [`floats`], [`blocks`] of 32 weights, [`super_blocks`] of
//! 256. Quantized ones are summed in whole numbers; the sums of eight blocks are folded into one vector, so that the step
//! to floats is paid once for all of them. [`interleaved`] rows need no folding.

mod attention;
mod blocks;
mod fixed_point;
mod floats;
mod fold;
pub(super) mod interleaved;
mod interleaved_floats;
pub(super) mod interleaved_super_blocks;
mod ops;
mod super_blocks;
pub(super) mod tiles;
pub(super) mod unpack;
mod vectors;

pub(super) use attention::{attend, attend_by, multiply};
pub(super) use fixed_point::{COLUMNS as BLOCK_COLUMNS, WORDS as BLOCK_WORDS, tile as tile_in_fixed_point};
pub(super) use interleaved::{interleaves, mul_mat_interleaved};
pub(super) use interleaved_floats::TOKENS as TILE_TOKENS;
pub(super) use ops::{gelu, keep, quantize_q8_1, softmax, swiglu};

use crate::quant::{Activations, Groups, QK, QK_K, TensorType, blocks as cast};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat(kind: TensorType, w: &[u8], x: Activations<'_>, n_in: usize, out: &mut [&mut [f32]]) {
    let Activations { floats, quants, .. } = x;
    let (supers, _) = quants.as_chunks();
    let (n_blocks, n_supers) = (n_in / QK, n_in / QK_K);
    match kind {
        TensorType::F32 => floats::mul_mat_f32(cast(w), floats, n_in, out),
        TensorType::F16 => floats::mul_mat_f16(cast(w), floats, n_in, out),
        TensorType::BF16 => floats::mul_mat_bf16(cast(w), floats, n_in, out),
        TensorType::Q8_0 => blocks::mul_mat_q8_0_q8_1(cast(w), quants, n_blocks, out),
        TensorType::Q4_0 => blocks::mul_mat_q4_0_q8_1(cast(w), quants, n_blocks, out),
        TensorType::Q4_1 => blocks::mul_mat_q4_1_q8_1(cast(w), quants, n_blocks, out),
        TensorType::Q5_0 => blocks::mul_mat_q5_0_q8_1(cast(w), quants, n_blocks, out),
        TensorType::Q5_1 => blocks::mul_mat_q5_1_q8_1(cast(w), quants, n_blocks, out),
        TensorType::IQ4_NL => blocks::mul_mat_iq4_nl_q8_1(cast(w), quants, n_blocks, out),
        TensorType::Q2_K => super_blocks::mul_mat_q2_k_q8_1(cast(w), supers, n_supers, out),
        TensorType::Q3_K => super_blocks::mul_mat_q3_k_q8_1(cast(w), supers, n_supers, out),
        TensorType::Q4_K => super_blocks::mul_mat_q4_k_q8_1(cast(w), supers, n_supers, out),
        TensorType::Q5_K => super_blocks::mul_mat_q5_k_q8_1(cast(w), supers, n_supers, out),
        TensorType::Q6_K => super_blocks::mul_mat_q6_k_q8_1(cast(w), supers, n_supers, out),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_groups(w: Groups<'_>, x: Activations<'_>, n_in: usize, out: &mut [&mut [f32]]) {
    blocks::mul_mat_groups_q8_1(w, x.quants, n_in / QK, out);
}
