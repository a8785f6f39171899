//! Every instruction set that this processor runs, against the portable loops and against floats.

use alloc::vec::Vec;
use std::println;

use half::f16;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

use super::*;
use crate::quant::{Block, F16};

/// Sums of up to a few thousand products, taken in another order.
const REORDERED: f32 = 1e-5;

/// Return the faster tables, saying which are left out.
fn faster() -> Vec<&'static Kernels> {
    let mut tables = Vec::new();
    for isa in [Isa::Avx2, Isa::Avx2Emulated, Isa::GenericEmulated] {
        match Kernels::of(isa) {
            Some(kernels) => tables.push(kernels),
            None => println!("SKIPPED: this processor does not run {isa}"),
        }
    }
    tables
}

fn generic() -> &'static Kernels {
    Kernels::of(Isa::Generic).unwrap()
}

/// Return `len` floats of about normal distribution.
fn floats(rng: &mut Pcg32, len: usize) -> Vec<f32> {
    let uniform = |rng: &mut Pcg32| rng.next_u32() as f32 / u32::MAX as f32;
    (0..len).map(|_| (0..12).map(|_| uniform(rng)).sum::<f32>() - 6.0).collect()
}

fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance * scale, "{what}: {i} is {found}, expected {expected}");
    }
}

/// A binary16 that a scale may be: of either sign, zero and subnormal among them.
fn scale(rng: &mut Pcg32) -> F16 {
    match rng.next_u32() % 8 {
        0 => F16([0, 0]),
        1 => F16([rng.next_u32() as u8, 0x80]),
        _ => F16::from_f32((rng.next_u32() as f32 / u32::MAX as f32 - 0.5) * 0.2),
    }
}

fn nibbles(rng: &mut Pcg32) -> [u8; QK / 2] {
    let mut bytes = [0; QK / 2];
    rng.fill_bytes(&mut bytes);
    // The largest sums there can be, now and then.
    if rng.next_u32().is_multiple_of(8) { [0xff; QK / 2] } else { bytes }
}

fn quants(rng: &mut Pcg32) -> [i8; QK] {
    let mut bytes = [0; QK];
    rng.fill_bytes(&mut bytes);
    match rng.next_u32() % 8 {
        0 => [i8::MIN; QK],
        1 => [i8::MAX; QK],
        _ => bytes.map(|byte| byte as i8),
    }
}

fn activations(rng: &mut Pcg32, len: usize) -> Vec<BlockQ8_1> {
    let mut x = floats(rng, len);
    // A block of equal values quantizes to the extremes; one of zeros has no scale.
    x[..QK].fill(if rng.next_u32().is_multiple_of(2) { -3.0 } else { 0.0 });
    let mut blocks = alloc::vec![BlockQ8_1::default(); len / QK];
    generic().quantize_q8_1(&x, &mut blocks);
    blocks
}

/// Compare `mul_mat` with the oracle and with floats, over row counts on both sides of a multiple of eight.
fn check_mul_mat<B: Block>(
    name: &str,
    mul_mat: impl Fn(&Kernels, &[B], &[BlockQ8_1], usize, &mut [f32]),
    block: impl Fn(&mut Pcg32) -> B,
) {
    let mut rng = Pcg32::seed_from_u64(1);
    for (n_rows, n_blocks, n_tokens) in [(1, 1, 1), (7, 3, 2), (8, 18, 1), (9, 5, 3), (31, 2, 4), (64, 48, 1)]
    {
        let w: Vec<B> = (0..n_rows * n_blocks).map(|_| block(&mut rng)).collect();
        let x: Vec<BlockQ8_1> = (0..n_tokens).flat_map(|_| activations(&mut rng, n_blocks * QK)).collect();
        let mut expected = alloc::vec![0.0; n_tokens * n_rows];
        mul_mat(generic(), &w, &x, n_blocks, &mut expected);

        let mut floats = Vec::new();
        for x in x.chunks(n_blocks) {
            for w in w.chunks(n_blocks) {
                let mut sum = 0.0_f64;
                for (w, x) in w.iter().zip(x) {
                    let mut values = [0.0; QK];
                    w.dequantize(&mut values);
                    sum += values
                        .iter()
                        .zip(&x.qs)
                        .map(|(w, &q)| f64::from(*w) * f64::from(x.d * f32::from(q)))
                        .sum::<f64>();
                }
                floats.push(sum as f32);
            }
        }
        assert_close(name, &expected, &floats, REORDERED);
        for kernels in faster() {
            let mut found = alloc::vec![f32::NAN; n_tokens * n_rows];
            mul_mat(kernels, &w, &x, n_blocks, &mut found);
            assert_close(&alloc::format!("{name} on {}", kernels.isa()), &found, &expected, REORDERED);
        }
    }
}

#[test]
fn q4_0_products_agree() {
    check_mul_mat("q4_0", Kernels::mul_mat_q4_0_q8_1, |rng| BlockQ4_0 { d: scale(rng), qs: nibbles(rng) });
}

#[test]
fn q4_1_products_agree() {
    check_mul_mat("q4_1", Kernels::mul_mat_q4_1_q8_1, |rng| BlockQ4_1 {
        d: scale(rng),
        m: scale(rng),
        qs: nibbles(rng),
    });
}

#[test]
fn q8_0_products_agree() {
    check_mul_mat("q8_0", Kernels::mul_mat_q8_0_q8_1, |rng| BlockQ8_0 { d: scale(rng), qs: quants(rng) });
}

#[test]
fn f32_products_agree() {
    let mut rng = Pcg32::seed_from_u64(2);
    for (n_rows, n_in, n_tokens) in [(1, 1, 1), (3, 172, 2), (9, 40, 1), (5, 7, 3)] {
        let w: Vec<F32> = floats(&mut rng, n_rows * n_in).into_iter().map(F32::new).collect();
        let x = floats(&mut rng, n_tokens * n_in);
        let mut expected = alloc::vec![0.0; n_tokens * n_rows];
        generic().mul_mat_f32(&w, &x, n_in, &mut expected);
        let products = w[..n_in].iter().zip(&x).map(|(w, x)| f64::from(w.get()) * f64::from(*x));
        assert_close("f32", &expected[..1], &[products.sum::<f64>() as f32], REORDERED);
        for kernels in faster() {
            let mut found = alloc::vec![f32::NAN; n_tokens * n_rows];
            kernels.mul_mat_f32(&w, &x, n_in, &mut found);
            assert_close("f32", &found, &expected, REORDERED);
        }
    }
}

#[test]
fn quantized_activations_are_the_same_everywhere() {
    let mut rng = Pcg32::seed_from_u64(3);
    let mut x = floats(&mut rng, 8 * QK);
    x[QK..2 * QK].fill(0.0);
    // Halves, which round to even: 127 makes the scale 1.
    x[2 * QK..3 * QK].copy_from_slice(&core::array::from_fn::<f32, QK, _>(|i| {
        if i == 0 { 127.0 } else { i as f32 - 15.5 }
    }));
    let mut expected = [BlockQ8_1::default(); 8];
    generic().quantize_q8_1(&x, &mut expected);
    assert_eq!(expected[2].qs[..4], [127, -14, -14, -12]);
    for (x, block) in x.chunks(QK).zip(&expected) {
        for (x, &q) in x.iter().zip(&block.qs) {
            assert!((x - block.d * f32::from(q)).abs() <= 0.5001 * block.d);
        }
        let sum: f32 = block.qs.iter().map(|&q| f32::from(q)).sum();
        assert_close("s", &[block.s], &[block.d * sum], REORDERED);
    }
    for kernels in faster() {
        let mut found = [BlockQ8_1::default(); 8];
        kernels.quantize_q8_1(&x, &mut found);
        assert_eq!(found, expected, "{}", kernels.isa());
    }
}

#[test]
fn attention_agrees() {
    let mut rng = Pcg32::seed_from_u64(4);
    for (n_positions, n_embd_head) in [(1, 64), (3, 8), (17, 20), (100, 64), (9, 5)] {
        let narrow = |floats: Vec<f32>| floats.into_iter().map(f16::from_f32).collect::<Vec<_>>();
        let k = narrow(floats(&mut rng, n_positions * n_embd_head));
        let v = narrow(floats(&mut rng, n_positions * n_embd_head));
        let q = floats(&mut rng, n_embd_head);
        let mut expected = alloc::vec![0.0; n_embd_head];
        let mut scores = alloc::vec![0.0; n_positions];
        generic().attend(&q, &k, &v, 0.3, &mut scores, &mut expected);

        // The definition, in double precision.
        let dot = |k: &[f16]| q.iter().zip(k).map(|(q, k)| f64::from(*q) * k.to_f64()).sum::<f64>();
        let weights: Vec<f64> = k.chunks(n_embd_head).map(|k| (0.3 * dot(k)).exp()).collect();
        let total: f64 = weights.iter().sum();
        let defined: Vec<f32> = (0..n_embd_head)
            .map(|i| {
                (weights.iter().enumerate().map(|(p, w)| w * v[p * n_embd_head + i].to_f64()).sum::<f64>()
                    / total) as f32
            })
            .collect();
        assert_close("attention", &expected, &defined, REORDERED);
        for kernels in faster() {
            let mut found = alloc::vec![f32::NAN; n_embd_head];
            kernels.attend(&q, &k, &v, 0.3, &mut scores, &mut found);
            assert_close("attention", &found, &expected, REORDERED);
        }
    }
}

#[test]
fn softmax_agrees_and_sums_to_one() {
    let mut rng = Pcg32::seed_from_u64(5);
    for len in [1, 7, 8, 100] {
        let mut x: Vec<f32> = floats(&mut rng, len).iter().map(|x| 30.0 * x).collect();
        // As far from the others as it gets: its probability is nothing, not an overflow.
        x[0] = -1e30;
        let mut expected = x.clone();
        generic().softmax(&mut expected);
        assert_close("sum", &[expected.iter().sum()], &[1.0], REORDERED);
        for kernels in faster() {
            let mut found = x.clone();
            kernels.softmax(&mut found);
            assert_close("softmax", &found, &expected, REORDERED);
        }
    }
}

#[test]
fn swiglu_agrees() {
    let mut rng = Pcg32::seed_from_u64(6);
    let mut gate: Vec<f32> = floats(&mut rng, 43).iter().map(|x| 4.0 * x).collect();
    (gate[0], gate[1]) = (-200.0, 200.0);
    let up = floats(&mut rng, 43);
    let expected: Vec<f32> = gate
        .iter()
        .zip(&up)
        .map(|(&gate, &up)| (f64::from(gate) / (1.0 + (-f64::from(gate)).exp()) * f64::from(up)) as f32)
        .collect();
    for kernels in faster().into_iter().chain([generic()]) {
        let mut found = gate.clone();
        kernels.swiglu(&mut found, &up);
        assert_close("swiglu", &found, &expected, REORDERED);
    }
}
