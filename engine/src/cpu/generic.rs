//! The inner loops in plain Rust: the definition of what every instruction set must compute.

use core::ops::Range;

use half::f16;

use super::{Isa, Kernels};
use crate::quant::{
    Activations, Block, BlockQ8_1, Groups, QK, ROWS, TensorType, Weights, block_of, blocks, with_block,
};

pub(super) const KERNELS: Kernels = Kernels {
    isa: Isa::Generic,
    mul_mat,
    mul_mat_groups,
    interleaves: |_| false,
    mul_mat_interleaved,
    quantize_q8_1,
    attend,
    softmax,
    swiglu,
};

pub(super) fn mul_mat(kind: TensorType, w: &[u8], x: Activations<'_>, n_in: usize, out: &mut [&mut [f32]]) {
    with_block!(kind, B => {
        let w = blocks::<B>(w);
        mul_mat_of(|range| w[range].iter().map(B::unpack), x, n_in, out);
    });
}

fn mul_mat_groups(w: Groups<'_>, x: Activations<'_>, n_in: usize, out: &mut [&mut [f32]]) {
    mul_mat_of(|range| range.map(|i| w.block(i)), x, n_in, out);
}

/// Write the products of rows with `x (n_tokens, n_in)` to `out (n_tokens)(n_rows)`; `blocks` returns a range of the rows'
/// blocks.
fn mul_mat_of<W: Weights, I: Iterator<Item = W>>(
    blocks: impl Fn(Range<usize>) -> I,
    x: Activations<'_>,
    n_in: usize,
    out: &mut [&mut [f32]],
) {
    let n_blocks = n_in / W::LEN;
    for (x, out) in W::activations(x).chunks_exact(n_blocks).zip(out) {
        for (row, out) in out.iter_mut().enumerate() {
            let w = blocks(row * n_blocks..(row + 1) * n_blocks);
            *out = w.zip(x).map(|(w, x)| w.dot(x)).sum();
        }
    }
}

/// As [`super::Kernels::mul_mat_interleaved`], for whole groups.
pub(super) fn mul_mat_interleaved(
    kind: TensorType,
    w: &[u8],
    x: &[BlockQ8_1],
    n_in: usize,
    rows: Range<usize>,
    out: &mut [&mut [f32]],
) {
    with_block!(kind, B => {
        let woven_bytes = ROWS * size_of::<B>();
        let group_bytes = n_in / <B as Block>::Weights::LEN * woven_bytes;
        for (x, out) in x.chunks_exact(n_in / QK).zip(out) {
            let x = <B as Block>::Weights::activations(Activations { floats: &[], quants: x });
            for (row, out) in rows.clone().zip(out.iter_mut()) {
                let group = w[row / ROWS * group_bytes..][..group_bytes].chunks_exact(woven_bytes);
                let blocks = group.map(|woven| block_of::<B>(kind, woven, row % ROWS).unpack());
                *out = blocks.zip(x).map(|(w, x)| w.dot(x)).sum();
            }
        }
    });
}

fn quantize_q8_1(x: &[f32], out: &mut [BlockQ8_1]) {
    for (x, out) in x.chunks_exact(QK).zip(out) {
        let max = x.iter().fold(0_f32, |max, x| max.max(x.abs()));
        let d = max / 127.0;
        let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
        for (&x, q) in x.iter().zip(&mut out.qs) {
            *q = libm::rintf(x * inverse) as i8;
        }
        let (first, second) = out.qs.split_at(QK / 2);
        let sums = [first, second].map(|qs| qs.iter().map(|&q| i32::from(q)).sum::<i32>());
        out.bias = sums.map(|sum| -128 * sum);
        (out.d, out.s) = (d, d * (sums[0] + sums[1]) as f32);
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
