//! Every architecture against transformers: tiny models with random weights, whose files hold the logits that transformers
//! computed (`tests/reference/tiny_models.py` made them; `reference.made_with` in each names the versions).

use std::fs;
use std::path::Path;

use engine::cpu::{Isa, Kernels};
use engine::format::gguf::{Gguf, Value};
use engine::model::Model;
use engine::platform::{OneCore, Workers};
use engine::session::{KvType, Session};
use engine::{Error, Token};

/// The largest difference from transformers that a logit may have, in floats throughout; the logits reach 26.
const F32_TOLERANCE: f32 = 1e-3;

/// With keys and values rounded to the 11 bits of binary16; 0.023 was measured.
const F16_KV_TOLERANCE: f32 = 0.05;

const N_CTX: usize = 64;

/// Return the fixture `tiny_{name}.gguf`.
fn tiny(name: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::read(fixtures.join(format!("tiny_{name}.gguf"))).unwrap()
}

/// Return the numbers of `key`.
fn numbers(gguf: &Gguf<'_>, key: &str) -> Vec<f64> {
    let Some(Value::Array(array)) = gguf.value(key) else { panic!("no array {key}") };
    let number = |value| match value {
        Value::Signed(value) => value as f64,
        Value::Float(value) => value,
        other => panic!("{other} in {key}"),
    };
    array.iter().map(number).collect()
}

/// Return the tables that this processor runs, saying which are left out.
fn kernels() -> Vec<&'static Kernels> {
    let mut tables = Vec::new();
    for isa in [Isa::Generic, Isa::GenericEmulated, Isa::Avx2, Isa::Avx2Emulated] {
        match Kernels::of(isa) {
            Some(kernels) => tables.push(kernels),
            None => println!("SKIPPED: this processor does not run {isa}"),
        }
    }
    tables
}

fn eval(session: &mut Session<'_>, tokens: &[Token]) -> Vec<f32> {
    session.eval(tokens, &mut || true).unwrap().unwrap().to_vec()
}

/// Return the largest difference between two rows of logits.
fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    // NaN must not pass for small.
    let difference = |(a, b): (&f32, &f32)| if a.is_finite() { (a - b).abs() } else { f32::INFINITY };
    found.iter().zip(expected).map(difference).fold(0.0, f32::max)
}

/// Compare the logits of every position with the reference: the tokens one by one, and all at once up to that position.
fn check(name: &str) {
    let file = tiny(name);
    let gguf = Gguf::parse(&file).unwrap();
    let model = Model::load(&gguf).unwrap();
    let tokens: Vec<Token> = numbers(&gguf, "reference.tokens").iter().map(|&token| token as Token).collect();
    let expected: Vec<f32> = numbers(&gguf, "reference.logits").iter().map(|&logit| logit as f32).collect();
    let n_vocab = model.hparams().n_vocab;
    assert_eq!((tokens.len(), expected.len()), (20, 20 * n_vocab));
    for kernels in kernels() {
        for (kv_type, tolerance) in [(KvType::F32, F32_TOLERANCE), (KvType::F16, F16_KV_TOLERANCE)] {
            let session = || Session::with_kernels(&model, &OneCore, N_CTX, kv_type, kernels).unwrap();
            let mut one_by_one = session();
            let mut largest = 0_f32;
            for (position, expected) in expected.chunks_exact(n_vocab).enumerate() {
                for (how, logits) in [
                    ("alone", eval(&mut one_by_one, &tokens[position..=position])),
                    ("at once", eval(&mut session(), &tokens[..=position])),
                ] {
                    let difference = largest_difference(&logits, expected);
                    let isa = kernels.isa();
                    assert!(
                        difference < tolerance,
                        "{name} on {isa}, {kv_type:?}, {how}: position {position} is off by {difference}"
                    );
                    largest = largest.max(difference);
                }
            }
            println!("{name} on {}, {kv_type:?}: off by at most {largest:.1e}", kernels.isa());
        }
    }
}

#[test]
fn llama_with_its_own_head_size_and_rope_base_equals_transformers() {
    check("llama");
}

#[test]
fn llama_with_biases_and_linear_rope_scaling_equals_transformers() {
    check("llama_linear");
}

#[test]
fn llama_with_the_rope_scaling_of_llama_3_equals_transformers() {
    check("llama_llama3");
}

#[test]
fn gpt2_equals_transformers() {
    check("gpt2");
}

#[test]
fn qwen2_equals_transformers() {
    check("qwen2");
}

#[test]
fn qwen3_equals_transformers() {
    check("qwen3");
}

/// Threads of the host, as many as it says.
struct Threads(usize);

impl Workers for Threads {
    fn count(&self) -> usize {
        self.0
    }

    fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for core in 0..self.0 {
                scope.spawn(move || task(core));
            }
        });
    }
}

#[test]
fn logits_do_not_depend_on_the_number_of_cores() {
    for name in ["llama_linear", "gpt2", "qwen3"] {
        let file = tiny(name);
        let gguf = Gguf::parse(&file).unwrap();
        let model = Model::load(&gguf).unwrap();
        let logits = |workers: &dyn Workers| {
            let mut session = Session::new(&model, workers, N_CTX).unwrap();
            [eval(&mut session, &[5, 6, 7, 8, 9]), eval(&mut session, &[10])]
        };
        let expected = logits(&OneCore);
        for n in [2, 3, 7] {
            assert_eq!(logits(&Threads(n)), expected, "{name} on {n} cores");
        }
    }
}

#[test]
fn several_batches_and_single_tokens_give_the_same_logits() {
    for name in ["llama", "gpt2", "qwen2", "qwen3"] {
        let file = tiny(name);
        let gguf = Gguf::parse(&file).unwrap();
        let model = Model::load(&gguf).unwrap();
        let session =
            || Session::with_kernels(&model, &OneCore, N_CTX, KvType::F32, Kernels::detect()).unwrap();
        // The whole context, which takes more than one batch.
        let tokens: Vec<Token> = (0..N_CTX as Token).map(|i| i * 37 % 272).collect();
        let expected = eval(&mut session(), &tokens);
        let mut one_by_one = session();
        let logits = tokens.iter().map(|&token| eval(&mut one_by_one, &[token])).last().unwrap();
        let difference = largest_difference(&logits, &expected);
        assert!(difference < F32_TOLERANCE, "{name} is off by {difference}");
    }
}

#[test]
fn a_context_longer_than_the_learned_positions_is_refused() {
    let file = tiny("gpt2");
    let gguf = Gguf::parse(&file).unwrap();
    let model = Model::load(&gguf).unwrap();
    assert_eq!(model.n_ctx_max(), N_CTX);
    let error = Session::new(&model, &OneCore, N_CTX + 1).err().unwrap();
    assert_eq!(error, Error::ContextFull { n_past: 0, n_tokens: N_CTX + 1, n_ctx: N_CTX });
}

/// Return what is said of the fixture `name` with each `from` replaced by `to`, a text of the same length.
fn refusal(name: &str, from: &str, to: &str) -> String {
    assert_eq!(from.len(), to.len());
    let mut file = tiny(name);
    let places: Vec<usize> =
        (0..file.len() - from.len()).filter(|&at| file[at..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty(), "{name} has no {from}");
    for at in places {
        file[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    Model::load(&Gguf::parse(&file).unwrap()).expect_err("the file must be refused").to_string()
}

#[test]
fn what_a_forward_pass_would_ignore_is_refused() {
    let unknown = refusal("llama_linear", "blk.1.attn_q.bias", "blk.1.attn_q.bent");
    assert!(unknown.contains("blk.1.attn_q.bent") && unknown.contains("would ignore"), "{unknown}");
    // A norm of queries is no part of llama.
    let norm = refusal("qwen3", "qwen3", "llama");
    assert!(norm.contains("blk.0.attn_k_norm.weight") && norm.contains("llama"), "{norm}");
    let scaling = refusal("llama_linear", "linear", "yarn2 ");
    assert!(scaling.contains("rope scaling \"yarn2 \"") && scaling.contains("linear"), "{scaling}");
}

#[test]
fn biases_that_an_architecture_always_has_are_asked_for() {
    let qwen2 = refusal("qwen2", "blk.0.attn_k.bias", "blk.0.attn_k.bent");
    assert!(qwen2.contains("blk.0.attn_k.bias is missing"), "{qwen2}");
    let gpt2 = refusal("gpt2", "blk.0.attn_norm.bias", "blk.0.attn_norm.bent");
    assert!(gpt2.contains("blk.0.attn_norm.bias is missing"), "{gpt2}");
}
