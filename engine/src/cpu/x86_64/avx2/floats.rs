//! Products of weights that are floats, row by row.

use core::arch::x86_64::*;

use zerocopy::little_endian::F32;

use super::vectors::{LANES, load_bf16_le, load_f16_le, load_f32, load_f32_le, sum};
use crate::quant::{BF16, Block, F16};

/// Floats in four vectors: four sums hide the latency of the addition.
const STEP: usize = 4 * LANES;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_f32(w: &[F32], x: &[f32], n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_in, out, |w| load_f32_le(w));
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_f16(w: &[F16], x: &[f32], n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_in, out, |w| load_f16_le(w));
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_bf16(w: &[BF16], x: &[f32], n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat(w, x, n_in, out, |w| load_bf16_le(w));
}

/// Write the products of the rows `w (n_rows, n_in)` with `x (n_tokens, n_in)` to `out (n_tokens)(n_rows)`; `load`
/// returns eight weights.
#[target_feature(enable = "avx2,fma,f16c")]
fn mul_mat<B: Block<Weights = f32>>(
    w: &[B],
    x: &[f32],
    n_in: usize,
    out: &mut [&mut [f32]],
    load: impl Fn(&[B; LANES]) -> __m256,
) {
    for (row, w) in w.chunks_exact(n_in).enumerate() {
        let (w_steps, w_rest) = w.as_chunks::<STEP>();
        for (x, out) in x.chunks_exact(n_in).zip(out.iter_mut()) {
            let (x_steps, x_rest) = x.as_chunks::<STEP>();
            let mut acc = [_mm256_setzero_ps(); STEP / LANES];
            for (w, x) in w_steps.iter().zip(x_steps) {
                let vectors = w.as_chunks().0.iter().zip(x.as_chunks().0);
                for ((w, x), acc) in vectors.zip(&mut acc) {
                    *acc = _mm256_fmadd_ps(load(w), load_f32(x), *acc);
                }
            }
            let [a, b, c, d] = acc;
            let total = sum(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
            let rest: f32 = w_rest.iter().zip(x_rest).map(|(w, x)| w.unpack() * x).sum();
            out[row] = total + rest;
        }
    }
}
