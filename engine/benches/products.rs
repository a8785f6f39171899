//! The products of a matrix that lies in the processor's caches, with one token (decode), with 64 and with 512 (prefill): every type
//! of weights on every instruction set that the processor runs, rows interleaved where that set wants them so.
//!
//! `cargo bench -p engine -- AVX2/Q4_0` times some of them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::cpu::{Isa, Kernels, Numbers};
use engine::quant::{Activations, BlockQ8_1, QK, TensorType, Tiles};

/// Columns and rows of the matrix: 64 kB as Q4_0.
const N_IN: usize = 1024;
const N_OUT: usize = 128;

const KINDS: [TensorType; 13] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q8_0,
    TensorType::IQ4_NL,
    TensorType::Q2_K,
    TensorType::Q3_K,
    TensorType::Q4_K,
    TensorType::Q6_K,
];

fn products(criterion: &mut Criterion) {
    for kernels in Isa::ALL.into_iter().filter_map(Kernels::of) {
        for kind in KINDS {
            let mut group = criterion.benchmark_group(format!("{}/{kind}", kernels.isa()));
            for n_tokens in [1, 64, 512] {
                group.throughput(Throughput::Elements((2 * N_IN * N_OUT * n_tokens) as u64));
                group.bench_function(format!("{n_tokens}"), |bencher| {
                    // A scale of 0.07 wherever a block has it; what is multiplied does not matter to the time.
                    let w = vec![0x2c; N_OUT * N_IN / kind.block_len() * kind.block_bytes()];
                    let floats = vec![0.5; n_tokens * N_IN];
                    let mut quants = vec![BlockQ8_1::default(); n_tokens * N_IN / QK];
                    kernels.quantize_q8_1(&floats, kind.n_sharing(), &mut quants);
                    let tiling = kernels.tiling(Numbers::of(kind), N_IN);
                    let (numbers, n_words) = tiling.map_or_else(Default::default, |(numbers, tiling)| {
                        (numbers, tiling.len(n_tokens, N_IN))
                    });
                    let mut words = vec![0; n_words];
                    if tiling.is_some() {
                        kernels.tile(numbers, &floats, N_IN, &mut words);
                    }
                    let mut out = vec![0.0; n_tokens * N_OUT];
                    let mut out: Vec<_> = out.chunks_exact_mut(N_OUT).collect();
                    bencher.iter(|| {
                        let (w, out) = (black_box(&w[..]), black_box(&mut out[..]));
                        let tiles = Tiles { numbers, words: &words };
                        let x = Activations { floats: &floats, quants: &quants, tiles };
                        match kernels.interleaves(kind) {
                            true => kernels.mul_mat_interleaved(kind, w, x, N_IN, 0..N_OUT, out),
                            false => kernels.mul_mat(kind, w, x, N_IN, out),
                        }
                    });
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
