//! The inner loops in plain Rust: the definition of what every instruction set must compute.

use core::array;
use core::hint::black_box;
use core::ops::Range;

use zerocopy::IntoBytes;

use super::{Found, GELU_CUBIC, Isa, Kernels, KeysValues, LINE_BYTES, Numbers, Queries, SQRT_2_OVER_PI};
use crate::kv_cache::KvType;
use crate::quant::{
    Activations, Block, BlockQ8_0, BlockQ8_1, F16, Groups, QK, ROWS, TensorType, Weights, block_of, blocks,
    with_block,
};

pub(super) const KERNELS: Kernels = Kernels {
    isa: Isa::Generic,
    mul_mat,
    mul_mat_groups,
    interleaves: |_| false,
    mul_mat_interleaved,
    tiling: |_| None,
    tile: |_, _, _, _| {},
    quantize_q8_1,
    keep,
    attend,
    softmax,
    swiglu,
    gelu,
    multiply_add,
    read,
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
    x: Activations<'_>,
    n_in: usize,
    rows: Range<usize>,
    out: &mut [&mut [f32]],
) {
    with_block!(kind, B => {
        let n_blocks = n_in / <B as Block>::Weights::LEN;
        let group_bytes = ROWS * n_blocks * size_of::<B>();
        let x = <B as Block>::Weights::activations(x);
        for (x, out) in x.chunks_exact(n_blocks).zip(out) {
            for (row, out) in rows.clone().zip(out.iter_mut()) {
                let group = &w[row / ROWS * group_bytes..][..group_bytes];
                let blocks = (0..n_blocks).map(|i| block_of::<B>(kind, group, row % ROWS, i).unpack());
                *out = blocks.zip(x).map(|(w, x)| w.dot(x)).sum();
            }
        }
    });
}

fn quantize_q8_1(x: &[f32], n_sharing: usize, out: &mut [BlockQ8_1]) {
    for (x, out) in x.chunks_exact(n_sharing).zip(out.chunks_exact_mut(n_sharing / QK)) {
        let max = x.iter().fold(0_f32, |max, x| max.max(x.abs()));
        let d = max / 127.0;
        let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
        for (x, out) in x.chunks_exact(QK).zip(out) {
            for (&x, q) in x.iter().zip(&mut out.qs) {
                *q = libm::rintf(x * inverse) as i8;
            }
            let (first, second) = out.qs.split_at(QK / 2);
            out.sums = [first, second].map(|qs| qs.iter().map(|&q| i16::from(q)).sum());
            (out.d, out.s) = (d, d * f32::from(out.sums[0] + out.sums[1]));
        }
    }
}

/// As [`Kernels::attend`]: position by position, in blocks of any size.
pub(super) fn attend(
    queries: &Queries<'_>,
    seen: KeysValues<'_>,
    _scratch: &mut [f32],
    found: &mut Found<'_>,
) {
    with_block!(seen.kv_type.tensor_type(), B => {
        attend_blocks(queries, blocks::<B>(seen.keys), blocks::<B>(seen.values), found);
    });
}

fn attend_blocks<B: Block>(queries: &Queries<'_>, keys: &[B], values: &[B], found: &mut Found<'_>) {
    let width = queries.n_embd_head;
    let n_blocks = width / B::Weights::LEN;
    let mut floats = [0.0; QK];
    let floats = &mut floats[..B::Weights::LEN];
    found.clear();
    for (i, (q, sums)) in
        queries.rows.chunks_exact(width).zip(found.values.chunks_exact_mut(width)).enumerate()
    {
        let n_seen = queries.n_seen_of(i, 0, keys.len() / n_blocks);
        let (largest, total) = (&mut found.largest[i], &mut found.totals[i]);
        let rows = keys.chunks_exact(n_blocks).zip(values.chunks_exact(n_blocks));
        for (key, value) in rows.take(n_seen) {
            let mut score = 0.0;
            for (q, key) in q.chunks_exact(B::Weights::LEN).zip(key) {
                key.unpack().dequantize(floats);
                score += q.iter().zip(&*floats).map(|(q, k)| q * k).sum::<f32>();
            }
            score *= queries.scale;
            if score > *largest {
                // What was summed so far was weighted too high.
                let factor = libm::expf(*largest - score);
                sums.iter_mut().for_each(|sum| *sum *= factor);
                (*largest, *total) = (score, *total * factor);
            }
            let weight = libm::expf(score - *largest);
            *total += weight;
            for (sums, value) in sums.chunks_exact_mut(B::Weights::LEN).zip(value) {
                value.unpack().dequantize(floats);
                for (sum, value) in sums.iter_mut().zip(&*floats) {
                    *sum += weight * value;
                }
            }
        }
    }
}

/// As [`Kernels::keep`].
pub(super) fn keep(kv_type: KvType, x: &[f32], out: &mut [u8]) {
    match kv_type {
        KvType::F32 => {
            for (x, out) in x.iter().zip(out.as_chunks_mut().0) {
                *out = x.to_le_bytes();
            }
        }
        KvType::F16 => {
            for (x, out) in x.iter().zip(out.as_chunks_mut().0) {
                *out = F16::from_f32(*x).0;
            }
        }
        KvType::Q8_0 => keep_q8_0(x, out, |x, out| quantize_q8_1(x, QK, out)),
    }
}

/// Write `x` as [`BlockQ8_0`] to `out`, of what `quantize` makes of it.
pub(super) fn keep_q8_0(x: &[f32], out: &mut [u8], quantize: impl Fn(&[f32], &mut [BlockQ8_1])) {
    let mut quants = [BlockQ8_1::default()];
    for (x, out) in x.chunks_exact(QK).zip(out.chunks_exact_mut(size_of::<BlockQ8_0>())) {
        quantize(x, &mut quants);
        out.copy_from_slice(BlockQ8_0 { d: F16::from_f32(quants[0].d), qs: quants[0].qs }.as_bytes());
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

fn gelu(x: &mut [f32]) {
    for x in x {
        let u = SQRT_2_OVER_PI * (*x + GELU_CUBIC * *x * *x * *x);
        // (1 + tanh(u)) / 2 is 1 / (1 + exp(-2u)).
        *x /= 1.0 + libm::expf(-2.0 * u);
    }
}

/// As [`Kernels::multiply_add`], with as many sums as twelve registers of the baseline hold: each waits for itself alone.
fn multiply_add(numbers: Numbers, n_rounds: usize) -> usize {
    match numbers {
        Numbers::Floats | Numbers::Halves => {
            let (factor, summand) = black_box((0.5, 1.0));
            let mut sums = black_box([1_f32; 48]);
            for _ in 0..n_rounds {
                sums.iter_mut().for_each(|sum| *sum = *sum * factor + summand);
            }
            n_rounds * black_box(sums).len()
        }
        // Bytes are multiplied as the 16-bit numbers that their products are.
        Numbers::Bytes => {
            let (factor, summand) = black_box((3, 1));
            let mut sums = black_box([1_i16; 96]);
            for _ in 0..n_rounds {
                sums.iter_mut().for_each(|sum| *sum = sum.wrapping_mul(factor).wrapping_add(summand));
            }
            n_rounds * black_box(sums).len()
        }
    }
}

fn read(lines: &[[u8; LINE_BYTES]]) -> [u8; LINE_BYTES] {
    lines.iter().fold([0; LINE_BYTES], |all, line| array::from_fn(|i| all[i] ^ line[i]))
}
