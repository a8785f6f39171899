//! A trained GPT-2 of 120,000 parameters against its numpy forward pass: the weights are safetensors, put into GGUF here as
//! llama.cpp's converter does it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use engine::Token;
use engine::cpu::Kernels;
use engine::format::gguf::Gguf;
use engine::model::Model;
use engine::platform::OneCore;
use engine::session::{KvType, Session};
use engine::testing::GgufWriter;
use serde::Deserialize;

const MODEL: &str = "../../shared/models/nano_gpt2_shakespeare_byte";

/// The reference's logits are rounded to 4 decimals.
const TOLERANCE: f32 = 1e-3;

#[derive(Deserialize)]
struct Expected {
    config: Config,
    prompt_bytes: Vec<Token>,
    greedy_ids: Vec<Token>,
    logits_after_prompt: Vec<f32>,
}

#[derive(Deserialize)]
struct Config {
    n_layer: u32,
    n_head: u32,
    n_embd: u32,
    n_ctx: u32,
    eps: f32,
}

/// A tensor of a safetensors file; other entries of its header have none of this.
#[derive(Deserialize)]
struct TensorInfo {
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// Return the tensors of a safetensors file: the header's length, the header, the floats.
fn safetensors(file: &[u8]) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let header_len = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let (header, data) = file[8..].split_at(header_len);
    let mut header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header).unwrap();
    header.remove("__metadata__");
    let tensor = |(name, info)| {
        let TensorInfo { shape, data_offsets: [start, end] } = serde_json::from_value(info).unwrap();
        let (floats, _) = data[start..end].as_chunks::<4>();
        (name, (shape, floats.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()))
    };
    header.into_iter().map(tensor).collect()
}

/// Return the GGUF name of transformers' `name`.
fn gguf_name(name: &str) -> String {
    let name = name.strip_prefix("transformer.").unwrap_or(name);
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["wte", kind] => format!("token_embd.{kind}"),
        ["wpe", kind] => format!("position_embd.{kind}"),
        ["ln_f", kind] => format!("output_norm.{kind}"),
        ["h", i, "ln_1", kind] => format!("blk.{i}.attn_norm.{kind}"),
        ["h", i, "ln_2", kind] => format!("blk.{i}.ffn_norm.{kind}"),
        ["h", i, "attn", "c_attn", kind] => format!("blk.{i}.attn_qkv.{kind}"),
        ["h", i, "attn", "c_proj", kind] => format!("blk.{i}.attn_output.{kind}"),
        ["h", i, "mlp", "c_fc", kind] => format!("blk.{i}.ffn_up.{kind}"),
        ["h", i, "mlp", "c_proj", kind] => format!("blk.{i}.ffn_down.{kind}"),
        _ => panic!("what is {name}?"),
    }
}

/// Return the model as GGUF.
fn gguf_file(config: &Config, tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Vec<u8> {
    let mut gguf = GgufWriter::default();
    gguf.string("general.architecture", "gpt2");
    gguf.u32("gpt2.context_length", config.n_ctx);
    gguf.u32("gpt2.embedding_length", config.n_embd);
    gguf.u32("gpt2.block_count", config.n_layer);
    gguf.u32("gpt2.attention.head_count", config.n_head);
    gguf.u32("gpt2.feed_forward_length", tensors["h.0.mlp.c_fc.bias"].0[0] as u32);
    gguf.f32("gpt2.attention.layer_norm_epsilon", config.eps);
    for (name, (shape, values)) in tensors {
        // Conv1D keeps its matrices (n_in, n_out).
        let (shape, values) = match shape[..] {
            [n_in, n_out] if name.contains(".c_") => {
                let transposed = (0..n_in * n_out).map(|i| values[i % n_in * n_out + i / n_in]);
                (vec![n_out, n_in], transposed.collect())
            }
            _ => (shape, values),
        };
        let fastest_first: Vec<u64> = shape.iter().rev().map(|&dim| dim as u64).collect();
        gguf.tensor_f32(&gguf_name(&name), &fastest_first, values);
    }
    gguf.file()
}

#[test]
fn continues_romeo_as_the_reference_does() {
    let path = |suffix: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{MODEL}.{suffix}"));
    let Ok(weights) = fs::read(path("safetensors")) else {
        println!("SKIPPED: {} is not there", path("safetensors").display());
        return;
    };
    let expected: Expected = serde_json::from_slice(&fs::read(path("expected.json")).unwrap()).unwrap();
    let file = gguf_file(&expected.config, safetensors(&weights));
    let gguf = Gguf::parse(&file).unwrap();
    let model = Model::load(&gguf).unwrap();
    let n_ctx = expected.config.n_ctx as usize;
    assert_eq!(expected.greedy_ids.len(), n_ctx - expected.prompt_bytes.len());

    for kv_type in [KvType::F32, KvType::F16] {
        let mut session = Session::with_kernels(&model, &OneCore, n_ctx, kv_type, Kernels::detect()).unwrap();
        let mut eval = |tokens: &[Token]| session.eval(tokens, &mut || true).unwrap().unwrap().to_vec();
        let mut logits = eval(&expected.prompt_bytes);
        if kv_type == KvType::F32 {
            for (byte, (found, expected)) in logits.iter().zip(&expected.logits_after_prompt).enumerate() {
                assert!((found - expected).abs() < TOLERANCE, "byte {byte} has {found}, expected {expected}");
            }
        }
        let mut bytes = Vec::new();
        for _ in &expected.greedy_ids {
            let best = (0..).zip(&logits).max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap().0;
            bytes.push(best);
            logits = eval(&[best]);
        }
        assert_eq!(bytes, expected.greedy_ids, "{kv_type:?}");
    }
}
