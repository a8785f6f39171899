//! Blocks against the values that ggml's own Python package reads from the same bytes (`tests/reference/quants.py`).

use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{fs, println};

use serde::Deserialize;

use super::*;
use crate::cpu::{Isa, Kernels};

#[derive(Deserialize)]
struct Fixture {
    activation: String,
    activation_q8_0: String,
    f16_edges: Edges,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Edges {
    bytes: String,
    values: String,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "type")]
    kind: String,
    id: u32,
    bytes: String,
    values: String,
    dot: f64,
    dot_q8_0: f64,
}

fn fixture() -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quants.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn floats(hex: &str) -> Vec<f32> {
    bytes(hex).as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|x| x.to_bits()).collect()
}

/// Return the product of the row `w` with `x` by the portable loops.
fn dot(kind: TensorType, w: &[u8], n_in: usize, floats: &[f32], quants: &[BlockQ8_1]) -> f64 {
    let mut out = [f32::NAN];
    Kernels::of(Isa::Generic).unwrap().mul_mat(
        kind,
        w,
        Activations { floats, quants, ..Activations::default() },
        n_in,
        &mut [&mut out],
    );
    f64::from(out[0])
}

#[test]
fn the_fixture_has_every_type_but_f32() {
    let kinds: Vec<_> = fixture().rows.iter().map(|row| row.kind.clone()).collect();
    for kind in TensorType::ALL {
        assert!(kinds.contains(&kind.to_string()) || kind == TensorType::F32, "{kind}");
    }
}

#[test]
fn numbers_and_names_equal_ggml() {
    for row in fixture().rows {
        assert_eq!(TensorType::from_ggml(row.id).map(|kind| kind.to_string()), Some(row.kind));
    }
    assert_eq!(TensorType::SUPPORTED, TensorType::ALL.map(|kind| kind.to_string()).join(", "));
    assert_eq!(TensorType::from_ggml(4), None);
    assert_eq!(TensorType::from_ggml(31), None);
}

#[test]
fn values_equal_ggml_to_the_bit() {
    for row in fixture().rows {
        let kind = TensorType::from_ggml(row.id).unwrap();
        let expected = floats(&row.values);
        let mut found = alloc::vec![f32::NAN; expected.len()];
        kind.dequantize(&bytes(&row.bytes), &mut found);
        assert_eq!(bits(&found), bits(&expected), "{kind}");
    }
}

#[test]
fn dot_products_equal_ggml() {
    let fixture = fixture();
    let activation = floats(&fixture.activation);
    let mut own = alloc::vec![BlockQ8_1::default(); activation.len() / QK];
    Kernels::of(Isa::Generic).unwrap().quantize_q8_1(&activation, QK, &mut own);
    let theirs: Vec<BlockQ8_1> = blocks::<BlockQ8_0>(&bytes(&fixture.activation_q8_0))
        .iter()
        .map(|block| {
            let d = block.d.to_f32();
            let s = d * block.qs.iter().map(|&q| f32::from(q)).sum::<f32>();
            BlockQ8_1 { d, s, sums: [0; 2], qs: block.qs }
        })
        .collect();
    for row in fixture.rows {
        let kind = TensorType::from_ggml(row.id).unwrap();
        let (bytes, values) = (bytes(&row.bytes), floats(&row.values));
        let found = dot(kind, &bytes, values.len(), &activation, &own);
        let found_of_theirs = dot(kind, &bytes, values.len(), &activation, &theirs);
        let norm = f64::from(values.iter().map(|w| w * w).sum::<f32>().sqrt());
        // The same numbers in another order: 512 roundings of 2^-24. Floats meet the activation unrounded.
        let exact = if kind.is_quantized() { row.dot_q8_0 } else { row.dot };
        println!("{kind}: {found_of_theirs} for {exact}, {found} for {}, norm {norm}", row.dot);
        assert!((found_of_theirs - exact).abs() < 2e-6 * norm, "{kind}: {found_of_theirs} for {exact}");
        // Rounding 512 activations of size 1 to 127 steps of about 1/40 moves each by 0.007 at the most, at random.
        assert!((found - row.dot).abs() < 0.01 * norm, "{kind}: {found} for {}", row.dot);
    }
}

#[test]
fn f16_edges_convert_both_ways() {
    let Edges { bytes: halves, values } = fixture().f16_edges;
    for (&half, value) in bytes(&halves).as_chunks::<2>().0.iter().zip(floats(&values)) {
        assert_eq!(F16(half).to_f32().to_bits(), value.to_bits());
        assert_eq!(F16::from_f32(value), F16(half));
    }
}

#[test]
fn six_bit_scales_lie_where_ggml_puts_them() {
    // Number i is i + 1 (a scale) or i + 33 (an offset), packed by hand: both of the last four have bits above the fourth.
    let scales = [1, 2, 3, 4, 5, 6, 7, 8].map(|i| i | 0x10_u8);
    let offsets = scales.map(|i| i + 0x20);
    let first = |numbers: &[u8; 8]| core::array::from_fn(|i| numbers[i] | numbers[i + 4] >> 4 << 6);
    let others = core::array::from_fn(|i| scales[i + 4] & 0xf | offsets[i + 4] << 4);
    let packed = ScalesAndOffsets([first(&scales), first(&offsets), others]);
    assert_eq!(packed.unpack(), [scales, offsets]);
}

#[test]
fn groups_need_a_scale_each_and_a_power_of_two_of_blocks() {
    for (n_quants, n_scales, group_len, expected) in [
        (192, 3, 64, true),
        (192, 6, 32, true),
        (192, 2, 96, false),
        (64, 4, 16, false),
        (192, 2, 64, false),
        (192, 4, 64, false),
        (96, 1, 64, false),
        (80, 1, 64, false),
    ] {
        let groups = Groups::new(&[0; 192][..n_quants], &[0; 24][..4 * n_scales], group_len);
        assert_eq!(groups.is_some(), expected, "{n_quants} in groups of {group_len}, {n_scales} scales");
    }
    assert!(Groups::new(&[0; 64], &[0; 5], 64).is_none());
    assert!(Groups::new(&[], &[], 0).is_none());
}
