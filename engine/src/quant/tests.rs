//! Blocks against the values that ggml's own Python package reads from the same bytes (`tests/reference/quants.py`).

use std::path::Path;
use std::string::String;
use std::vec::Vec;
use std::{fs, println};

use serde::Deserialize;

use super::*;
use crate::cpu::{Isa, Kernels};

#[derive(Deserialize)]
struct Fixture {
    activation: String,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "type")]
    kind: String,
    bytes: String,
    values: String,
    dot: f64,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn floats(hex: &str) -> Vec<f32> {
    bytes(hex).as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn check<B: Block>(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quants.json");
    let fixture: Fixture = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let row = fixture.rows.iter().find(|row| row.kind == name).unwrap();
    let (bytes, values) = (bytes(&row.bytes), floats(&row.values));
    let blocks = <[B]>::ref_from_bytes(&bytes).unwrap();
    assert_eq!(blocks.len() * QK, values.len());
    for (block, expected) in blocks.iter().zip(values.chunks(QK)) {
        let mut found = [0.0; QK];
        block.dequantize(&mut found);
        assert_eq!(found, *expected, "{name}");
    }

    let activation = floats(&fixture.activation);
    let mut quants = alloc::vec![BlockQ8_1::default(); activation.len() / QK];
    Kernels::of(Isa::Generic).unwrap().quantize_q8_1(&activation, &mut quants);
    let dot: f32 = blocks.iter().zip(&quants).map(|(w, x)| w.dot(x)).sum();
    // Rounding 512 activations of size 1 to 127 steps of about 1/40 moves each by 0.007 at the most, at random.
    let tolerance = 0.01 * values.iter().map(|w| w * w).sum::<f32>().sqrt();
    println!("{name}: {dot} for {}, tolerance {tolerance}", row.dot);
    assert!((f64::from(dot) - row.dot).abs() < f64::from(tolerance), "{name}: {dot} for {}", row.dot);
}

#[test]
fn q4_0_equals_ggml() {
    check::<BlockQ4_0>("Q4_0");
}

#[test]
fn q4_1_equals_ggml() {
    check::<BlockQ4_1>("Q4_1");
}

#[test]
fn q8_0_equals_ggml() {
    check::<BlockQ8_0>("Q8_0");
}
