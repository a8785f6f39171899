//! Quantizing against ggml: the bytes of its own quantizers, and the types that llama.cpp gives to tensors
//! (`reference/ggml_quants.py` made the fixture).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::ValueEnum as _;
use engine::quant::TensorType;
use serde::Deserialize;
use tools::quantize::{FileType, Shape, encode};

#[derive(Deserialize)]
struct Fixture {
    source: String,
    rows: BTreeMap<String, String>,
    models: BTreeMap<String, Model>,
}

#[derive(Deserialize)]
struct Model {
    n_layer: usize,
    n_gqa: usize,
    has_output: bool,
    shapes: BTreeMap<String, Vec<u64>>,
    file_types: BTreeMap<String, BTreeMap<String, Tensors>>,
}

/// The name of the commonest type, or the tensors of another.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tensors {
    Base(String),
    These(Vec<String>),
}

fn fixture() -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ggml_quants.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn source(fixture: &Fixture) -> Vec<f32> {
    bytes(&fixture.source).as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn kind(name: &str) -> TensorType {
    TensorType::ALL.into_iter().find(|kind| kind.to_string() == name).unwrap()
}

/// Return the root of the mean squared difference of `bytes` from `source`.
fn error(kind: TensorType, bytes: &[u8], source: &[f32]) -> f32 {
    let mut out = vec![0.0; source.len()];
    kind.dequantize(bytes, &mut out);
    let squares: f32 = out.iter().zip(source).map(|(a, b)| (a - b) * (a - b)).sum();
    (squares / source.len() as f32).sqrt()
}

#[test]
fn blocks_have_ggml_s_bytes() {
    let fixture = fixture();
    let source = source(&fixture);
    for name in ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "Q2_K", "Q4_K", "Q5_K"] {
        let mut found = Vec::new();
        encode(kind(name), &source, &mut found);
        assert!(found == bytes(&fixture.rows[name]), "{name}");
    }
}

#[test]
fn blocks_whose_scales_have_a_sign_are_as_near_as_ggml_s() {
    // ggml rounds twice where we round once, and moves single weights of Q3_K in a second search.
    let fixture = fixture();
    let source = source(&fixture);
    for name in ["Q3_K", "Q6_K"] {
        let (kind, mut found) = (kind(name), Vec::new());
        encode(kind, &source, &mut found);
        let theirs = bytes(&fixture.rows[name]);
        assert_eq!(found.len(), theirs.len());
        let (ours, ggml) = (error(kind, &found, &source), error(kind, &theirs, &source));
        println!("{name}: error {ours:.5}, ggml's {ggml:.5}");
        assert!(ours < 1.001 * ggml, "{name}: error {ours}, ggml's {ggml}");
    }
}

#[test]
fn each_tensor_has_the_type_that_llama_cpp_gives_it() {
    for (model, Model { n_layer, n_gqa, has_output, shapes, file_types }) in fixture().models {
        let shape = Shape { n_layer, n_gqa, has_output };
        for (name, types) in file_types {
            let file_type = FileType::from_str(&name, true).unwrap();
            let Tensors::Base(base) = &types["base"] else { panic!("{model}, {name}: no base") };
            let special = |tensor: &String| {
                types.iter().find_map(|(kind, these)| match these {
                    Tensors::These(these) if these.contains(tensor) => Some(kind),
                    _ => None,
                })
            };
            for (tensor, dims) in &shapes {
                let expected = special(tensor).unwrap_or(base);
                let found = file_type.tensor_type(tensor, dims, shape).to_string();
                assert_eq!(found, *expected, "{tensor} of {model} as {name}");
            }
        }
    }
}

#[test]
fn zeros_and_equal_weights_survive() {
    for kind in TensorType::ALL {
        for value in [0.0, 1.5, -1.5] {
            let weights = [value; 256];
            let (mut bytes, mut out) = (Vec::new(), [f32::NAN; 256]);
            encode(kind, &weights, &mut bytes);
            kind.dequantize(&bytes, &mut out);
            let off = out.iter().map(|out| (out - value).abs()).fold(0.0, f32::max);
            assert!(off <= 0.02, "{kind}: {value} became {:?}", &out[..4]);
        }
    }
}
