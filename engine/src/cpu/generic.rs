//! The inner loops in plain Rust: the definition of what every instruction set must compute.

use half::f16;
use zerocopy::little_endian::F32;

use super::{Isa, Kernels};
use crate::quant::{Block, BlockQ4_0, BlockQ4_1, BlockQ8_0, BlockQ8_1, QK};

pub(super) const KERNELS: Kernels = Kernels {
    isa: Isa::Generic,
    mul_mat_f32,
    mul_mat_q4_0_q8_1: mul_mat::<BlockQ4_0>,
    mul_mat_q4_1_q8_1: mul_mat::<BlockQ4_1>,
    mul_mat_q8_0_q8_1: mul_mat::<BlockQ8_0>,
    quantize_q8_1,
    attend,
    softmax,
    swiglu,
};

fn mul_mat_f32(w: &[F32], x: &[f32], n_in: usize, out: &mut [f32]) {
    let n_rows = w.len() / n_in;
    for (x, out) in x.chunks_exact(n_in).zip(out.chunks_exact_mut(n_rows)) {
        for (w, out) in w.chunks_exact(n_in).zip(out) {
            *out = w.iter().zip(x).map(|(w, x)| w.get() * x).sum();
        }
    }
}

fn mul_mat<B: Block>(w: &[B], x: &[BlockQ8_1], n_blocks: usize, out: &mut [f32]) {
    let n_rows = w.len() / n_blocks;
    for (x, out) in x.chunks_exact(n_blocks).zip(out.chunks_exact_mut(n_rows)) {
        for (w, out) in w.chunks_exact(n_blocks).zip(out) {
            *out = w.iter().zip(x).map(|(w, x)| w.dot(x)).sum();
        }
    }
}

fn quantize_q8_1(x: &[f32], out: &mut [BlockQ8_1]) {
    for (x, out) in x.chunks_exact(QK).zip(out) {
        let max = x.iter().fold(0_f32, |max, x| max.max(x.abs()));
        let d = max / 127.0;
        let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
        let mut sum = 0;
        for (&x, q) in x.iter().zip(&mut out.qs) {
            *q = libm::rintf(x * inverse) as i8;
            sum += i32::from(*q);
        }
        (out.d, out.s) = (d, d * sum as f32);
    }
}

fn attend(q: &[f32], k: &[f16], v: &[f16], scale: f32, scores: &mut [f32], out: &mut [f32]) {
    let n_embd_head = q.len();
    for (k, score) in k.chunks_exact(n_embd_head).zip(&mut *scores) {
        *score = scale * q.iter().zip(k).map(|(q, k)| q * k.to_f32()).sum::<f32>();
    }
    softmax(scores);
    out.fill(0.0);
    for (v, score) in v.chunks_exact(n_embd_head).zip(&*scores) {
        for (out, v) in out.iter_mut().zip(v) {
            *out += score * v.to_f32();
        }
    }
}

fn softmax(x: &mut [f32]) {
    // The largest is taken off first, so that no exponential overflows.
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in &mut *x {
        *x = libm::expf(*x - max);
        sum += *x;
    }
    for x in x {
        *x /= sum;
    }
}

fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate *= up / (1.0 + libm::expf(-*gate));
    }
}
