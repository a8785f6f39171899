//! The inner loops for AVX-512 with VNNI: the products of [`interleaved`] rows, those of many tokens with weights that are [`floats`]
//! or meet them as [`bf16`], and those in [`attention`]. The others are AVX2's: memory brings few tokens their floats no faster to
//! wider vectors.

mod attention;
mod bf16;
mod floats;
mod interleaved;
mod unpack;
mod vectors;

pub(super) use attention::attend;
pub(super) use interleaved::mul_mat_interleaved;

use super::avx2;
use crate::cpu::FEW_TOKENS;
use crate::quant::{Activations, TensorType, blocks as cast};

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn mul_mat(kind: TensorType, w: &[u8], x: Activations<'_>, n_in: usize, out: &mut [&mut [f32]]) {
    match kind {
        _ if out.len() <= FEW_TOKENS => avx2::mul_mat(kind, w, x, n_in, out),
        TensorType::F32 => floats::mul_mat_f32(cast(w), x.floats, n_in, out),
        TensorType::F16 => floats::mul_mat_f16(cast(w), x.floats, n_in, out),
        TensorType::BF16 => floats::mul_mat_bf16(cast(w), x.floats, n_in, out),
        _ => avx2::mul_mat(kind, w, x, n_in, out),
    }
}

/// As [`mul_mat`], but weights of 16 bits meet many tokens as BF16.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni,avx512bf16")]
pub(super) fn mul_mat_in_bf16(
    kind: TensorType,
    w: &[u8],
    x: Activations<'_>,
    n_in: usize,
    out: &mut [&mut [f32]],
) {
    match kind {
        _ if out.len() <= FEW_TOKENS => mul_mat(kind, w, x, n_in, out),
        TensorType::F16 => bf16::mul_mat_f16(cast(w), x.floats, n_in, out),
        TensorType::BF16 => bf16::mul_mat_bf16(cast(w), x.floats, n_in, out),
        _ => mul_mat(kind, w, x, n_in, out),
    }
}
