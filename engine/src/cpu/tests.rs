//! Every instruction set that this processor runs, against the portable loops and against floats.

use alloc::vec::Vec;
use std::println;

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

use super::*;
use crate::quant::{F16, QK_K, interleave};
use crate::testing::scales_at;

/// Sums of up to a few thousand products, taken in another order.
const REORDERED: f32 = 1e-5;

/// Products of weights with activations, in single precision, next to the product of the two norms.
const ROUNDED: f64 = 1e-6;

/// Return the rows and activations as BF16 has them, both as floats.
fn as_bf16(kind: TensorType, w: &[u8], x: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let round = |value: f32| half::bf16::from_f32(value).to_f32();
    let mut values = alloc::vec![0.0; w.len() / kind.block_bytes()];
    kind.dequantize(w, &mut values);
    let w = values.into_iter().flat_map(|value| round(value).to_le_bytes());
    (w.collect(), x.iter().map(|&x| round(x)).collect())
}

/// Return by how much the products of `w (n_rows, n_in)` with `x (n_tokens, n_in)` change where every factor does by one step of the fixed point
/// that it may be rounded to: of 64 side by side, their norm is 32763 steps. `None` where the weights never have that form.
fn steps_of_fixed_point(kind: TensorType, w: &[u8], x: &[f32], n_in: usize) -> Option<Vec<f64>> {
    matches!(kind, TensorType::F16 | TensorType::BF16).then_some(())?;
    let mut values = alloc::vec![0.0; w.len() / kind.block_bytes()];
    kind.dequantize(w, &mut values);
    // Of each block: a step, and the sum of what a step of the other factor is multiplied by.
    let sums = |block: &[f32]| {
        let sizes = block.iter().map(|value| f64::from(value.abs()));
        (sizes.clone().map(|size| size * size).sum::<f64>().sqrt() / 32763.0, sizes.sum::<f64>())
    };
    let sums_of = |x: &[f32]| x.chunks(64).map(sums).collect::<Vec<_>>();
    let rows: Vec<_> = values.chunks(n_in).map(sums_of).collect();
    let mut steps = Vec::new();
    for x in x.chunks(n_in).map(sums_of) {
        let step = |((w_step, w), (x_step, x)): (&(f64, f64), &(f64, f64))| w_step * x + x_step * w;
        steps.extend(rows.iter().map(|w| w.iter().zip(&x).map(step).sum::<f64>()));
    }
    Some(steps)
}

/// Return the faster tables, saying which are left out.
fn faster() -> Vec<&'static Kernels> {
    let mut tables = Vec::new();
    for isa in Isa::ALL.into_iter().filter(|&isa| isa != Isa::Generic) {
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

/// Return `out (n_tokens, n_rows)` as a piece per token.
fn rows(out: &mut [f32], n_rows: usize) -> Vec<&mut [f32]> {
    out.chunks_mut(n_rows).collect()
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

/// Append a block of weights.
fn push_block(kind: TensorType, rng: &mut Pcg32, out: &mut Vec<u8>) {
    let value = floats(rng, 1)[0];
    match kind {
        TensorType::F32 => out.extend(value.to_le_bytes()),
        TensorType::F16 => out.extend(F16::from_f32(value).0),
        TensorType::BF16 => out.extend(&value.to_le_bytes()[2..]),
        _ => {
            let mut block = alloc::vec![0; kind.block_bytes()];
            // Now and then the greatest and the least numbers that there are, whatever their width.
            match rng.next_u32() % 16 {
                0 => block.fill(0xff),
                1 => block.fill(0x80),
                2 => block.fill(0x7f),
                3 => block.fill(0),
                _ => rng.fill_bytes(&mut block),
            }
            for &at in scales_at(kind) {
                block[at..at + 2].copy_from_slice(&scale(rng).0);
            }
            out.extend(block);
        }
    }
}

/// Append the activations of a token in both forms, for weights of `kind`.
fn push_activations(kind: TensorType, rng: &mut Pcg32, len: usize, out: &mut (Vec<f32>, Vec<BlockQ8_1>)) {
    let mut x = floats(rng, len);
    // A block of equal values quantizes to the extremes; one of zeros has no scale.
    x[..QK.min(len)].fill(if rng.next_u32().is_multiple_of(2) { -3.0 } else { 0.0 });
    let mut blocks = alloc::vec![BlockQ8_1::default(); len / QK];
    let n_sharing = if len.is_multiple_of(kind.n_sharing()) { kind.n_sharing() } else { QK };
    generic().quantize_q8_1(&x[..len / QK * QK], n_sharing, &mut blocks);
    out.0.extend(x);
    out.1.extend(blocks);
}

/// Return what `kernels` make of the activations of many tokens for interleaved weights of `kind`, for which they have tiles: numbers and
/// words.
fn tiles(kernels: &Kernels, kind: TensorType, x: Activations<'_>, n_in: usize) -> (Numbers, Vec<u32>) {
    let n_tokens = x.floats.len() / n_in;
    let has_tiles = !kind.is_quantized() && n_tokens > FEW_TOKENS;
    let tiling = kernels.tiling(Numbers::of(kind), n_in).filter(|_| has_tiles);
    let Some((numbers, tiling)) = tiling else { return Default::default() };
    let mut words = alloc::vec![0xdead_beef; tiling.len(n_tokens, n_in)];
    kernels.tile(numbers, x.floats, n_in, &mut words);
    (numbers, words)
}

/// Return the products in double precision of `w (n_rows, n_in)` as floats with the activations, as they are where the
/// type is a float, else as they were quantized; and the sizes that roundings are measured by: the norms' products.
fn defined(kind: TensorType, w: &[u8], x: Activations<'_>, n_in: usize) -> Vec<(f64, f64)> {
    let row_bytes = n_in / kind.block_len() * kind.block_bytes();
    let quants = x.quants.iter().flat_map(|x| x.qs.map(|q| f64::from(x.d) * f64::from(q)));
    let x: Vec<f64> =
        if kind.is_quantized() { quants.collect() } else { x.floats.iter().map(|&x| f64::from(x)).collect() };
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mut products = Vec::new();
    for x in x.chunks(n_in) {
        for w in w.chunks(row_bytes) {
            let mut values = alloc::vec![0.0; n_in];
            kind.dequantize(w, &mut values);
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let product = values.iter().zip(x).map(|(w, x)| w * x).sum();
            products.push((product, norm(&values) * norm(x)));
        }
    }
    products
}

#[test]
fn products_agree_whatever_the_type_and_the_instruction_set() {
    let mut rng = Pcg32::seed_from_u64(1);
    // Row counts on both sides of multiples of eight and of sixteen; widths in super-blocks, more than are spread at a time among
    // them, and than a panel of floats holds; tokens with and without a whole tile.
    for (n_rows, width, n_tokens) in [
        (1, 1, 1),
        (7, 3, 2),
        (8, 7, 1),
        (17, 2, 3),
        (31, 1, 4),
        (65, 13, 1),
        (6, 9, 10),
        (41, 3, 17),
        (50, 2, 8),
    ] {
        for kind in TensorType::ALL {
            // Floats come in any width, older blocks in multiples of 32.
            for n_in in [width * kind.block_len(), width * QK_K, width * QK_K + kind.block_len() % QK_K] {
                let mut w = Vec::new();
                for _ in 0..n_rows * n_in / kind.block_len() {
                    push_block(kind, &mut rng, &mut w);
                }
                let mut x = (Vec::new(), Vec::new());
                for _ in 0..n_tokens {
                    push_activations(kind, &mut rng, n_in, &mut x);
                }
                let x = Activations { floats: &x.0, quants: &x.1, ..Activations::default() };
                let expected = defined(kind, &w, x, n_in);
                for kernels in faster().into_iter().chain([generic()]) {
                    let mut found = alloc::vec![f32::NAN; n_tokens * n_rows];
                    kernels.mul_mat(kind, &w, x, n_in, &mut rows(&mut found, n_rows));
                    for (i, (found, (expected, size))) in found.iter().zip(&expected).enumerate() {
                        assert!(
                            (f64::from(*found) - expected).abs() <= ROUNDED * size,
                            "{kind} on {}: product {i} of {n_rows} rows of {n_in} is {found}, expected {expected}",
                            kernels.isa()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_token_has_the_same_products_among_others_as_alone() {
    let mut rng = Pcg32::seed_from_u64(9);
    let (n_rows, n_in) = (21, 5 * QK_K);
    for kind in TensorType::ALL {
        // Of floats, more may be summed in another order.
        let n_tokens = if kind.is_quantized() { 2 * FEW_TOKENS } else { FEW_TOKENS };
        let mut w = Vec::new();
        for _ in 0..n_rows * n_in / kind.block_len() {
            push_block(kind, &mut rng, &mut w);
        }
        let mut x = (Vec::new(), Vec::new());
        for _ in 0..n_tokens {
            push_activations(kind, &mut rng, n_in, &mut x);
        }
        let n_woven = n_rows / ROWS * ROWS * (w.len() / n_rows);
        let mut woven = w.clone();
        let scratch = &mut alloc::vec![0; ROWS * (w.len() / n_rows)];
        for group in woven[..n_woven].chunks_exact_mut(scratch.len()) {
            interleave(kind, group, scratch);
        }
        for kernels in faster().into_iter().chain([generic()]) {
            let products = |tokens: Range<usize>| {
                let quants = &x.1[tokens.start * n_in / QK..tokens.end * n_in / QK];
                let floats = &x.0[tokens.start * n_in..tokens.end * n_in];
                let x = Activations { floats, quants, ..Activations::default() };
                let mut found = alloc::vec![f32::NAN; 2 * tokens.len() * n_rows];
                let (plain, interleaved) = found.split_at_mut(tokens.len() * n_rows);
                kernels.mul_mat(kind, &w, x, n_in, &mut rows(plain, n_rows));
                kernels.mul_mat_interleaved(kind, &woven, x, n_in, 0..n_rows, &mut rows(interleaved, n_rows));
                found.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let together = products(0..n_tokens);
            for token in 0..n_tokens {
                let alone = products(token..token + 1);
                for (i, &expected) in alone.iter().enumerate() {
                    // The interleaved products come behind those of all tokens.
                    let at = if i < n_rows { token } else { n_tokens - 1 + token } * n_rows + i;
                    assert_eq!(together[at], expected, "{kind} on {}: token {token}, {i}", kernels.isa());
                }
            }
        }
    }
}

#[test]
fn products_of_groups_agree_wherever_their_rows_begin() {
    let mut rng = Pcg32::seed_from_u64(2);
    for (n_rows, n_blocks, group_len, n_tokens) in
        [(1, 1, 32, 1), (8, 3, 32, 2), (6, 3, 64, 1), (24, 1, 256, 3), (40, 50, 128, 1), (16, 52, 64, 2)]
    {
        let n_in = n_blocks * QK;
        let mut quants = alloc::vec![0; n_rows * n_in];
        rng.fill_bytes(&mut quants);
        quants[..QK].fill(0x80);
        // Scales as models have them; some are zero, tiny or large.
        let mut scales = floats(&mut rng, quants.len() / group_len);
        scales.iter_mut().for_each(|scale| *scale *= 1e-3);
        for (scale, other) in scales.iter_mut().skip(1).step_by(3).zip([0.0, -1e-7, 7.0, 1e-30, -300.0]) {
            *scale = other;
        }
        let bytes: Vec<u8> = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        let mut x = (Vec::new(), Vec::new());
        for _ in 0..n_tokens {
            push_activations(TensorType::Q8_0, &mut rng, n_in, &mut x);
        }
        let x = Activations { floats: &x.0, quants: &x.1, ..Activations::default() };
        let w = Groups::new(&quants, &bytes, group_len).unwrap();

        // The definition; then all rows, those behind the first, and the second alone.
        let weights: Vec<f32> =
            (quants.iter().enumerate()).map(|(i, &q)| f32::from(q as i8) * scales[i / group_len]).collect();
        let floats: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
        let values: Vec<f32> = x.quants.iter().flat_map(|x| x.qs.map(|q| x.d * f32::from(q))).collect();
        for rows in [0..n_rows, 1..n_rows, 1..n_rows.min(2)] {
            if rows.is_empty() {
                continue;
            }
            let w = w.cut(rows.start * n_blocks..rows.end * n_blocks);
            let mut found = alloc::vec![f32::NAN; rows.len() * n_in];
            w.dequantize(&mut found);
            assert_eq!(found, weights[rows.start * n_in..rows.end * n_in]);
            let of_floats = Activations { floats: &values, ..Activations::default() };
            let floats = &floats[4 * rows.start * n_in..4 * rows.end * n_in];
            let expected = defined(TensorType::F32, floats, of_floats, n_in);
            for kernels in faster().into_iter().chain([generic()]) {
                let mut found = alloc::vec![f32::NAN; n_tokens * rows.len()];
                kernels.mul_mat_groups(w, x, n_in, &mut self::rows(&mut found, rows.len()));
                for (i, (found, (expected, size))) in found.iter().zip(&expected).enumerate() {
                    assert!(
                        (f64::from(*found) - expected).abs() <= ROUNDED * size,
                        "{}: product {i} of rows {rows:?} of {n_in} in groups of {group_len} is {found}, \
                         expected {expected}",
                        kernels.isa()
                    );
                }
            }
        }
    }
}

#[test]
fn products_of_interleaved_rows_agree_with_those_of_rows() {
    let mut rng = Pcg32::seed_from_u64(2);
    // Rows with and without a whole group, or some behind the last; tokens with and without a whole tile, and more than share
    // unpacked weights.
    for (n_rows, width, n_tokens) in
        [(16, 1, 1), (5, 2, 2), (19, 3, 5), (64, 2, 4), (41, 5, 9), (48, 25, 66), (80, 3, 300)]
    {
        // Rows shorter and longer than what is unpacked at a time; two floats of 16 bits are a unit.
        let long = [
            (TensorType::F32, 83),
            (TensorType::F16, 86),
            (TensorType::BF16, 86),
            (TensorType::F16, 8 * QK),
            (TensorType::BF16, 8 * QK),
            (TensorType::Q4_1, 8 * QK),
            (TensorType::Q8_0, 8 * QK),
        ];
        let long = long.map(|(kind, columns)| (kind, width * columns));
        let all = TensorType::ALL.map(|kind| (kind, width * kind.block_len().max(2)));
        for (kind, n_in) in long.into_iter().chain(all) {
            let mut w = Vec::new();
            for _ in 0..n_rows * n_in / kind.block_len() {
                push_block(kind, &mut rng, &mut w);
            }
            let mut x = (Vec::new(), Vec::new());
            for _ in 0..n_tokens {
                push_activations(kind, &mut rng, n_in, &mut x);
            }
            let x = Activations { floats: &x.0, quants: &x.1, ..Activations::default() };
            let exact = defined(kind, &w, x, n_in);
            let in_bf16 = matches!(kind, TensorType::F16 | TensorType::BF16).then(|| {
                let (w, floats) = as_bf16(kind, &w, x.floats);
                defined(TensorType::F32, &w, Activations { floats: &floats, ..Activations::default() }, n_in)
            });
            let in_fixed_point = steps_of_fixed_point(kind, &w, x.floats, n_in);
            let group_bytes = ROWS * (w.len() / n_rows);
            for group in w.chunks_exact_mut(group_bytes) {
                interleave(kind, group, &mut alloc::vec![0; group_bytes]);
            }
            for kernels in faster().into_iter().chain([generic()]) {
                let (numbers, words) = &tiles(kernels, kind, x, n_in);
                let x = Activations { tiles: Tiles { numbers: *numbers, words }, ..x };
                // All rows; some from within a group to within another, or behind the last; one.
                for rows in [0..n_rows, n_rows / 5..n_rows - 1, n_rows - 1..n_rows] {
                    let mut found = alloc::vec![f32::NAN; n_tokens * rows.len()];
                    let out = &mut self::rows(&mut found, rows.len());
                    kernels.mul_mat_interleaved(kind, &w, x, n_in, rows.clone(), out);
                    // Rows behind the last group are not interleaved; each token meets them, and those before them, by itself.
                    let rounds = n_tokens > FEW_TOKENS && rows.end <= n_rows / ROWS * ROWS;
                    let tiling = kernels.tiling(Numbers::of(kind), n_in).filter(|_| rounds);
                    let n_columns = tiling.map(|(_, tiling)| tiling.n_columns);
                    let expected = in_bf16.as_ref().filter(|_| n_columns == Some(2)).unwrap_or(&exact);
                    let steps = in_fixed_point.as_ref().filter(|_| n_columns == Some(64));
                    for (i, found) in found.iter().enumerate() {
                        let (token, row) = (i / rows.len(), rows.start + i % rows.len());
                        let (expected, size) = expected[token * n_rows + row];
                        let half_steps = steps.map_or(0.0, |steps| steps[token * n_rows + row] / 2.0);
                        assert!(
                            (f64::from(*found) - expected).abs() <= half_steps + ROUNDED * size,
                            "{kind} on {}: row {row} of {n_rows}, {n_in} wide, token {token} is {found}, \
                             expected {expected}",
                            kernels.isa()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn extreme_weights_and_activations_do_not_overflow_when_interleaved() {
    for kind in TensorType::ALL.into_iter().filter(|kind| kind.is_quantized()) {
        for (byte, activation) in
            [(0xff, 127), (0xff, -127), (0x80, 127), (0x80, -127), (0x7f, 127), (0, -127)]
        {
            let mut block = alloc::vec![byte; kind.block_bytes()];
            for &at in scales_at(kind) {
                block[at..at + 2].copy_from_slice(&F16::from_f32(0.5).0);
            }
            let mut w = block.repeat(ROWS);
            let n_in = kind.block_len();
            let sum = activation * (QK / 2) as i16;
            let x = BlockQ8_1 { d: 1.0, s: f32::from(2 * sum), sums: [sum; 2], qs: [activation as i8; QK] };
            let x = alloc::vec![x; n_in / QK];
            let expected = defined(kind, &w, Activations { quants: &x, ..Activations::default() }, n_in);
            interleave(kind, &mut w, &mut alloc::vec![0; ROWS * block.len()]);
            // By itself, and among many.
            for (kernels, n_tokens) in faster().into_iter().flat_map(|kernels| [(kernels, 1), (kernels, 9)]) {
                let mut found = alloc::vec![f32::NAN; n_tokens * ROWS];
                let x = Activations { quants: &x.repeat(n_tokens), ..Activations::default() };
                kernels.mul_mat_interleaved(kind, &w, x, n_in, 0..ROWS, &mut rows(&mut found, ROWS));
                for (found, (expected, size)) in found.iter().zip(expected.iter().cycle()) {
                    let difference = (f64::from(*found) - expected).abs();
                    assert!(difference <= ROUNDED * size, "{kind}, {byte:#x}: {found}, expected {expected}");
                }
            }
        }
    }
}

#[test]
fn extreme_halves_do_not_overflow_among_many_tokens() {
    let n_in = 2 * QK_K;
    for (kind, weight) in [(TensorType::F16, 65504.0_f32), (TensorType::BF16, -1e15)] {
        // All alike; one that has the norm of its block alone; numbers so small that their squares are zeros.
        for (n_large, activation) in [(n_in, 3e4), (n_in, -3e4), (1, 3e4), (n_in, 1e-25)] {
            let value = |column: usize| if column < n_large { weight } else { 0.0 };
            let row = (0..n_in).flat_map(|column| match kind {
                TensorType::F16 => F16::from_f32(value(column)).0,
                _ => half::bf16::from_f32(value(column)).to_le_bytes(),
            });
            let mut w = row.collect::<Vec<u8>>().repeat(ROWS);
            let floats =
                [alloc::vec![activation; n_large], alloc::vec![0.0; n_in - n_large]].concat().repeat(9);
            let x = Activations { floats: &floats, ..Activations::default() };
            let expected = defined(kind, &w, x, n_in);
            interleave(kind, &mut w, &mut alloc::vec![0; ROWS * 2 * n_in]);
            for kernels in faster() {
                let (numbers, words) = tiles(kernels, kind, x, n_in);
                let x = Activations { tiles: Tiles { numbers, words: &words }, ..x };
                let mut found = alloc::vec![f32::NAN; 9 * ROWS];
                kernels.mul_mat_interleaved(kind, &w, x, n_in, 0..ROWS, &mut rows(&mut found, ROWS));
                for (found, (expected, size)) in found.iter().zip(&expected) {
                    // What is smaller than 1e-18 may count as nothing.
                    let allowed = 0.01 * size + 1e-18 * f64::from(weight.abs()) * n_in as f64;
                    assert!(
                        (f64::from(*found) - expected).abs() <= allowed,
                        "{kind} on {}: {found}, expected {expected}",
                        kernels.isa()
                    );
                }
            }
        }
    }
}

#[test]
fn quantized_activations_are_the_same_everywhere() {
    let mut rng = Pcg32::seed_from_u64(3);
    let mut x = floats(&mut rng, 2 * QK_K);
    x[QK..2 * QK].fill(0.0);
    // Halves, which round to even: 127 makes the scale 1.
    x[2 * QK..3 * QK].copy_from_slice(&core::array::from_fn::<f32, QK, _>(|i| {
        if i == 0 { 127.0 } else { i as f32 - 15.5 }
    }));
    for n_sharing in [QK, QK_K] {
        let mut expected = [BlockQ8_1::default(); 2 * QK_K / QK];
        generic().quantize_q8_1(&x, n_sharing, &mut expected);
        assert_eq!(expected[2].qs[..4], [127, -14, -14, -12]);
        for (x, blocks) in x.chunks(n_sharing).zip(expected.chunks(n_sharing / QK)) {
            let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            for (x, block) in x.chunks(QK).zip(blocks) {
                assert_close("d", &[block.d], &[largest / 127.0], REORDERED);
                for (x, &q) in x.iter().zip(&block.qs) {
                    assert!((x - block.d * f32::from(q)).abs() <= 0.5001 * block.d);
                }
                let sums = [&block.qs[..QK / 2], &block.qs[QK / 2..]]
                    .map(|half| half.iter().map(|&q| i16::from(q)).sum::<i16>());
                assert_eq!(block.sums, sums);
                assert_close("s", &[block.s], &[block.d * f32::from(sums[0] + sums[1])], REORDERED);
            }
        }
        for kernels in faster() {
            let mut found = [BlockQ8_1::default(); 2 * QK_K / QK];
            kernels.quantize_q8_1(&x, n_sharing, &mut found);
            assert_eq!(found, expected, "{}, {n_sharing} of a scale", kernels.isa());
        }
    }
}

/// Return floats as a context keeps them, and those that it then holds.
fn kept(kv_type: KvType, x: &[f32]) -> (Vec<u8>, Vec<f64>) {
    let mut bytes = alloc::vec![0; kv_type.n_bytes(x.len())];
    generic().keep(kv_type, x, &mut bytes);
    let mut floats = alloc::vec![0.0; x.len()];
    kv_type.tensor_type().dequantize(&bytes, &mut floats);
    (bytes, floats.into_iter().map(f64::from).collect())
}

/// Return attention's definition in double precision: `softmax(scale * q k^T) v`, for the `n_seen` first positions.
fn attention(q: &[f32], k: &[f64], v: &[f64], n_seen: usize, scale: f32) -> Vec<f32> {
    let width = q.len();
    let dot = |k: &[f64]| q.iter().zip(k).map(|(q, k)| f64::from(*q) * k).sum::<f64>();
    let weights: Vec<f64> = k.chunks(width).take(n_seen).map(|k| (f64::from(scale) * dot(k)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let sum = |i| weights.iter().enumerate().map(|(p, w)| w * v[p * width + i]).sum::<f64>();
    (0..width).map(|i| (sum(i) / total) as f32).collect()
}

#[test]
fn attention_agrees_with_its_definition() {
    let mut rng = Pcg32::seed_from_u64(4);
    for (n_embd_head, n_group, n_tokens, position) in [
        // One token: positions on both sides of a block, of two and of three.
        (64_usize, 1, 1, 0),
        (64, 3, 1, 2),
        (64, 4, 1, 62),
        (128, 2, 1, 63),
        (32, 8, 1, 64),
        (96, 9, 1, 127),
        (64, 5, 1, 190),
        // Several, which see nothing, part or all of a block; their rows fill tiles or not.
        (64, 1, 2, 0),
        (64, 3, 33, 0),
        (128, 2, 70, 40),
        (40, 1, 200, 3),
        (8, 7, 5, 130),
        (256, 1, 64, 64),
        // Heads that are no whole vectors.
        (20, 1, 3, 16),
        (5, 2, 70, 3),
    ] {
        for kv_type in KvType::ALL {
            if !n_embd_head.is_multiple_of(kv_type.tensor_type().block_len()) {
                continue;
            }
            let n_positions = position + n_tokens;
            let (n_queries, scale) = (n_tokens * n_group, 0.3);
            let q = floats(&mut rng, n_queries * n_embd_head);
            let (keys, k) = kept(kv_type, &floats(&mut rng, n_positions * n_embd_head));
            let (values, v) = kept(kv_type, &floats(&mut rng, n_positions * n_embd_head));
            let expected: Vec<f32> = (q.chunks(n_embd_head).enumerate())
                .flat_map(|(i, q)| attention(q, &k, &v, position + i / n_group + 1, scale))
                .collect();
            // In one part, and in two that are joined.
            for split in [0, position / 3] {
                for kernels in faster().into_iter().chain([generic()]) {
                    let n_floats = Found::n_floats(n_queries, n_embd_head);
                    let mut parts = alloc::vec![f32::NAN; 2 * n_floats];
                    let mut scratch = alloc::vec![f32::NAN; attention::scratch_len(n_queries, n_embd_head)];
                    for (part, seen) in parts.chunks_mut(n_floats).zip([0..split, split..n_positions]) {
                        let n_seen = position + 1 - seen.start;
                        let bytes = kv_type.n_bytes(seen.start * n_embd_head)
                            ..kv_type.n_bytes(seen.end * n_embd_head);
                        let seen = KeysValues { kv_type, keys: &keys[bytes.clone()], values: &values[bytes] };
                        let queries =
                            Queries { rows: &q, n_embd_head, n_group, n_seen, scale, is_batch: n_tokens > 1 };
                        kernels.attend(&queries, seen, &mut scratch, &mut Found::on(part, n_queries));
                    }
                    let mut found = alloc::vec![f32::NAN; q.len()];
                    for (i, found) in found.chunks_mut(n_embd_head).enumerate() {
                        attention::join(parts.chunks(n_floats), i, n_queries, found);
                    }
                    let what = alloc::format!(
                        "{kv_type} on {}, {n_tokens} x {n_group} x {n_embd_head}",
                        kernels.isa()
                    );
                    assert_close(&what, &found, &expected, REORDERED);
                }
            }
        }
    }
}

#[test]
fn what_is_kept_is_the_same_everywhere() {
    let mut rng = Pcg32::seed_from_u64(7);
    let mut x = floats(&mut rng, 3 * QK);
    // Infinite as binary16, subnormal, zero, halfway between two.
    x[..6].copy_from_slice(&[1e6, -65504.0, 3e-6, -0.0, 1.000_488_3, 1e-9]);
    for kv_type in KvType::ALL {
        for n in [3 * QK, 2 * QK] {
            let (expected, _) = kept(kv_type, &x[..n]);
            for kernels in faster() {
                let mut found = alloc::vec![0xee; expected.len()];
                kernels.keep(kv_type, &x[..n], &mut found);
                assert_eq!(found, expected, "{kv_type} on {}", kernels.isa());
            }
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

#[test]
fn every_line_is_read() {
    let mut lines = [[0; LINE_BYTES]; 9];
    Pcg32::seed_from_u64(10).fill_bytes(lines.as_flattened_mut());
    for kernels in faster() {
        assert_eq!(kernels.read(&lines), generic().read(&lines), "{}", kernels.isa());
        assert_ne!(kernels.read(&lines), kernels.read(&lines[1..]));
    }
}

#[test]
fn sets_are_found_by_their_names() {
    for isa in Isa::ALL {
        let Some(kernels) = Kernels::of(isa) else { continue };
        assert_eq!(Kernels::named(isa.name()).unwrap().isa(), kernels.isa());
    }
    let error = Kernels::named("AVX2").unwrap_err();
    assert!(error.starts_with("AVX2 is no instruction set"), "{error}");
    assert!(error.contains("generic"), "{error}");
}

#[test]
fn gelu_equals_its_definition() {
    let mut rng = Pcg32::seed_from_u64(8);
    let mut x: Vec<f32> = floats(&mut rng, 43).iter().map(|x| 2.0 * x).collect();
    x[..7].copy_from_slice(&[-200.0, -3.0, -0.75, 0.0, 0.5, 2.0, 200.0]);
    for kernels in faster().into_iter().chain([generic()]) {
        for n in [43, 5] {
            let mut found = x[..n].to_vec();
            kernels.gelu(&mut found);
            for (found, &x) in found.iter().zip(&x) {
                let x = f64::from(x);
                let u = core::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044715 * x.powi(3));
                let expected = 0.5 * x * (1.0 + u.tanh());
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-6 * x.abs().max(1.0),
                    "{found} is not {expected}"
                );
            }
        }
    }
}
