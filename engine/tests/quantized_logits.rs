//! What each tensor type costs: the logits of a model whose matrices are of that type, next to those of the same model with
//! the matrices as the floats that they stand for.
//!
//! That the floats are right, `quant/tests.rs` proves against ggml's Python package; that each product is right,
//! `cpu/tests.rs`. Here both go through whole forward passes, alone and in batches. What remains is the rounding of the
//! activations to 8 bits, which quantized types meet and floats do not.

use engine::Token;
use engine::cpu::{Isa, Kernels};
use engine::format::gguf::{Gguf, interleave};
use engine::model::Model;
use engine::platform::OneCore;
use engine::quant::TensorType;
use engine::session::{KvType, Session};
use engine::testing::{GgufWriter, scales_at};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

/// The least width that every type's blocks divide.
const N_EMBD: usize = 256;
const N_FF: usize = 512;
const N_VOCAB: usize = 96;
const N_LAYER: usize = 2;
/// Tokens that are read at once, and then one by one.
const N_PROMPT: usize = 9;
const N_TOKENS: usize = 16;
const SEED: u64 = 1;

/// Per type: how far a logit may be off, as a part of the logits' root mean square.
///
/// That is what was measured on every instruction set and up to a third more: an activation that lies between two steps may
/// be rounded to either, and what follows from it differs by as much. With super-blocks (`_K`), 256 activations have one scale, and steps that
/// are the larger for it. Floats only add in another order, but for [`IN_FIXED_POINT`].
const TOLERANCES: [(TensorType, f32); 14] = [
    (TensorType::F32, 1e-5),
    (TensorType::F16, 1e-5),
    (TensorType::BF16, 1e-5),
    (TensorType::Q8_0, 0.06),
    (TensorType::Q4_0, 0.07),
    (TensorType::Q4_1, 0.06),
    (TensorType::Q5_0, 0.08),
    (TensorType::Q5_1, 0.06),
    (TensorType::Q2_K, 0.07),
    (TensorType::Q3_K, 0.13),
    (TensorType::Q4_K, 0.06),
    (TensorType::Q5_K, 0.085),
    (TensorType::Q6_K, 0.1),
    (TensorType::IQ4_NL, 0.065),
];

/// As [`TOLERANCES`], of floats of 16 bits where a prompt meets them in fixed point.
const IN_FIXED_POINT: f32 = 6e-4;

/// Return a number between 0 and 1.
fn uniform(rng: &mut Pcg32) -> f32 {
    rng.next_u32() as f32 / u32::MAX as f32
}

/// Return a number of mean 0 and variance 1.
fn normal(rng: &mut Pcg32) -> f32 {
    (0..12).map(|_| uniform(rng)).sum::<f32>() - 6.0
}

/// Return the second scale of a block for a first one of 1 that makes the weights' mean about 0.
fn centre(kind: TensorType) -> f32 {
    match kind {
        // Minima are added.
        TensorType::Q4_1 => -7.5,
        TensorType::Q5_1 => -15.5,
        // Offsets are taken away, and have scales of their own within the block.
        TensorType::Q2_K => 1.5,
        TensorType::Q4_K => 7.5,
        TensorType::Q5_K => 15.5,
        _ => 0.0,
    }
}

fn write_scales(kind: TensorType, block: &mut [u8], scales: [f32; 2]) {
    for (&at, scale) in scales_at(kind).iter().zip(scales) {
        block[at..at + 2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes());
    }
}

fn dequantize(kind: TensorType, blocks: &[u8]) -> Vec<f32> {
    let mut weights = vec![0.0; blocks.len() / kind.block_bytes() * kind.block_len()];
    kind.dequantize(blocks, &mut weights);
    weights
}

/// Return a block of random weights with a root mean square of about `rms`.
fn block(kind: TensorType, rms: f32, rng: &mut Pcg32) -> Vec<u8> {
    let weight = rms * normal(rng);
    match kind {
        TensorType::F32 => weight.to_le_bytes().to_vec(),
        TensorType::F16 => half::f16::from_f32(weight).to_le_bytes().to_vec(),
        TensorType::BF16 => half::bf16::from_f32(weight).to_le_bytes().to_vec(),
        _ => {
            let mut block = vec![0; kind.block_bytes()];
            rng.fill_bytes(&mut block);
            // The weights are proportional to the scales: those that give the wished size follow from any.
            let scales = [1.0, centre(kind) * (0.5 + uniform(rng))];
            write_scales(kind, &mut block, scales);
            let weights = dequantize(kind, &block);
            let found = (weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32).sqrt();
            let sign = if rng.next_u32().is_multiple_of(2) { 1.0 } else { -1.0 };
            let factor = sign * rms * (0.5 + uniform(rng)) / found;
            write_scales(kind, &mut block, scales.map(|scale| scale * factor));
            block
        }
    }
}

/// Return a llama with random weights whose matrices are of type `kind`, and the same with them as floats.
fn files(kind: TensorType) -> [Vec<u8>; 2] {
    let mut rng = Pcg32::seed_from_u64(SEED);
    let mut files = [GgufWriter::default(), GgufWriter::default()];
    for gguf in &mut files {
        gguf.string("general.architecture", "llama");
        gguf.u32("llama.context_length", N_TOKENS as u32);
        gguf.u32("llama.embedding_length", N_EMBD as u32);
        gguf.u32("llama.block_count", N_LAYER as u32);
        gguf.u32("llama.feed_forward_length", N_FF as u32);
        gguf.u32("llama.attention.head_count", 4);
        gguf.u32("llama.attention.head_count_kv", 2);
        gguf.f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
    }
    let mut norm = |name: &str, rng: &mut Pcg32| {
        let gains: Vec<f32> = (0..N_EMBD).map(|_| 1.0 + 0.3 * normal(rng)).collect();
        for gguf in &mut files {
            gguf.tensor_f32(name, &[N_EMBD as u64], gains.clone());
        }
    };
    norm("output_norm.weight", &mut rng);
    for layer in 0..N_LAYER {
        norm(&format!("blk.{layer}.attn_norm.weight"), &mut rng);
        norm(&format!("blk.{layer}.ffn_norm.weight"), &mut rng);
    }
    let mut matrix = |name: &str, n_in: usize, n_out: usize| {
        // Rows of the embedding are of the size of what the layers add to them, products of the size of their inputs.
        let rms = if name == "token_embd.weight" { 1.0 } else { (n_in as f32).powf(-0.5) };
        let n_blocks = n_out * n_in / kind.block_len();
        let blocks: Vec<u8> = (0..n_blocks).flat_map(|_| block(kind, rms, &mut rng)).collect();
        let shape = [n_in as u64, n_out as u64];
        files[0].tensor(name, &shape, kind as u32, &blocks);
        files[1].tensor_f32(name, &shape, dequantize(kind, &blocks));
    };
    matrix("token_embd.weight", N_EMBD, N_VOCAB);
    matrix("output.weight", N_EMBD, N_VOCAB);
    for layer in 0..N_LAYER {
        for (name, n_in, n_out) in [
            ("attn_q", N_EMBD, N_EMBD),
            ("attn_k", N_EMBD, N_EMBD / 2),
            ("attn_v", N_EMBD, N_EMBD / 2),
            ("attn_output", N_EMBD, N_EMBD),
            ("ffn_gate", N_EMBD, N_FF),
            ("ffn_up", N_EMBD, N_FF),
            ("ffn_down", N_FF, N_EMBD),
        ] {
            matrix(&format!("blk.{layer}.{name}.weight"), n_in, n_out);
        }
    }
    files.map(|gguf| gguf.file())
}

/// Return the logits after a prompt and after each of the tokens that follow it.
fn logits(file: &[u8], kernels: &'static Kernels) -> Vec<f32> {
    let gguf = Gguf::parse(file).unwrap();
    let model = Model::load(&gguf).unwrap();
    let mut session = Session::with_kernels(&model, &OneCore, N_TOKENS, KvType::F32, kernels).unwrap();
    let tokens: Vec<Token> = (0..N_TOKENS).map(|i| (i * 37 % N_VOCAB) as Token).collect();
    let (prompt, others) = tokens.split_at(N_PROMPT);
    let eval = |tokens: &[Token]| session.eval(tokens, &mut || true).unwrap().unwrap().to_vec();
    std::iter::once(prompt).chain(others.chunks(1)).flat_map(eval).collect()
}

/// Return the tables that this processor runs, saying which are left out.
fn kernels() -> Vec<&'static Kernels> {
    let mut tables = Vec::new();
    for isa in [Isa::Generic, Isa::GenericEmulated, Isa::Avx2, Isa::Avx512, Isa::Avx2Emulated] {
        match Kernels::of(isa) {
            Some(kernels) => tables.push(kernels),
            None => println!("SKIPPED: this processor does not run {isa}"),
        }
    }
    tables
}

/// Return how far `found` is off at the most, as a part of the root mean square of `expected`.
fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    // NaN must not pass for small.
    let difference = |(a, b): (&f32, &f32)| if a.is_finite() { (a - b).abs() } else { f32::INFINITY };
    let rms = (expected.iter().map(|x| x * x).sum::<f32>() / expected.len() as f32).sqrt();
    found.iter().zip(expected).map(difference).fold(0.0, f32::max) / rms
}

#[test]
fn quantized_matrices_give_the_logits_of_the_floats_they_stand_for() {
    assert_eq!(TOLERANCES.map(|(kind, _)| kind), TensorType::ALL);
    let kernels = kernels();
    let mut failures = Vec::new();
    for (kind, tolerance) in TOLERANCES {
        let [quantized, floats] = files(kind);
        let expected = logits(&floats, Kernels::of(Isa::Generic).unwrap());
        for kernels in &kernels {
            let mut interleaved = quantized.clone();
            interleave(&mut interleaved, &OneCore, kernels, &mut |_, _| {});
            for (rows, file) in [("rows", &quantized), ("interleaved", &interleaved)] {
                if rows == "interleaved" && !kernels.interleaves(kind) {
                    continue;
                }
                let is_half = matches!(kind, TensorType::F16 | TensorType::BF16);
                let in_fixed_point = is_half && rows == "interleaved" && kernels.isa() == Isa::Avx2;
                let tolerance = if in_fixed_point { IN_FIXED_POINT } else { tolerance };
                let largest = largest_difference(&logits(file, kernels), &expected);
                let line =
                    format!("{kind} {rows} on {}: {largest:.1e}, at most {tolerance:.1e}", kernels.isa());
                println!("{line}");
                if largest > tolerance {
                    failures.push(line);
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
