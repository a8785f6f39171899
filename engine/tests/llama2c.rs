//! llama2.c's own files against llama2.c's own output, and its vocabularies against `sentencepiece`.
//!
//! The files are karpathy's, from a folder beside the repository; `tests/reference/tokenizer_llama2.py` made the fixture of the
//! vocabularies, and `tests/reference/llama2c_v2.py` a model of version 2 with its logits.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use engine::Token;
use engine::cpu::{Isa, Kernels};
use engine::format::gguf::Gguf;
use engine::format::{File, models};
use engine::model::Model;
use engine::platform::OneCore;
use engine::session::{KvType, Session};
use engine::testing::{Llama2cWriter, llama2c_tokenizer};
use engine::tokenizer::Tokenizer;
use serde::Deserialize;

/// Return the file `name`, or `None` and say so where it is not.
fn shared(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models").join(name);
    let file = fs::read(&path).ok();
    if file.is_none() {
        println!("SKIPPED: {} is not there", path.display());
    }
    file
}

/// Return the only model among `files`.
#[track_caller]
fn only_model<'a>(files: &[(&'a str, &'a [u8])]) -> Gguf<'a> {
    let files: Vec<File<'a>> = files.iter().map(|&(name, bytes)| File { name, bytes }).collect();
    let mut found = models(&files);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).model.unwrap()
}

/// Return what the model tells greedily, in at most `n_tokens` tokens from the begin token on.
fn story(gguf: &Gguf<'_>, n_tokens: usize) -> String {
    let (model, tokenizer) = (Model::load(gguf).unwrap(), Tokenizer::load(gguf).unwrap());
    let mut session = Session::new(&model, &OneCore, n_tokens).unwrap();
    let mut decoder = tokenizer.decoder();
    let mut text = String::new();
    let mut token = tokenizer.bos().unwrap();
    for _ in 0..n_tokens {
        let logits = session.eval(&[token], &mut || true).unwrap().unwrap();
        let likelier = |a: &usize, b: &usize| logits[*a].total_cmp(&logits[*b]);
        token = (0..logits.len()).max_by(likelier).unwrap() as Token;
        if tokenizer.is_end(token) {
            break;
        }
        text += &decoder.push(token);
    }
    text + &decoder.finish()
}

/// The steps of karpathy's own test of run.c.
const N_STEPS: usize = 200;

#[test]
fn stories260k_tells_what_run_c_tells() {
    let (Some(model), Some(tokenizer)) = (shared("stories260K.bin"), shared("tok512.bin")) else { return };
    let Some(expected) = shared("stories260K.expected.txt") else { return };
    let gguf = only_model(&[("stories260K.bin", &model), ("tok512.bin", &tokenizer)]);
    assert_eq!(story(&gguf, N_STEPS), String::from_utf8(expected).unwrap());
    let model = Model::load(&gguf).unwrap();
    assert_eq!((model.architecture(), model.name()), ("llama", "stories260K.bin"));
    assert_eq!(model.file_type(), "F32");
    // The file less its header and its table of rotations, in floats.
    assert_eq!(model.n_params(), (1_056_540 - 28) / 4 - 512 * 8);
}

/// Cut `bytes` off the front of `rest`.
fn take<'a>(rest: &mut &'a [u8], n_floats: usize) -> &'a [u8] {
    let (front, after) = rest.split_at(4 * n_floats);
    *rest = after;
    front
}

#[test]
fn every_form_of_one_model_tells_the_same() {
    let (Some(shared_model), Some(tokenizer)) = (shared("stories260K.bin"), shared("tok512.bin")) else {
        return;
    };
    let expected = story(&only_model(&[("a.bin", &shared_model), ("t.bin", &tokenizer)]), 40);
    assert!(expected.starts_with("Once upon a time"));

    // An output of its own: the vocabulary's size is negative, and a copy of the embedding comes last.
    let embedding = 28..28 + 4 * 512 * 64;
    let mut unshared = shared_model.clone();
    unshared[20..24].copy_from_slice(&(-512_i32).to_le_bytes());
    unshared.extend_from_slice(&shared_model[embedding]);
    let gguf = only_model(&[("a.bin", &unshared), ("t.bin", &tokenizer)]);
    assert!(gguf.has_tensor("output.weight"));
    assert_eq!(story(&gguf, 40), expected);

    // Version 1: the same weights in the order of version1_export in export.py.
    let mut rest = &shared_model[28..];
    let tok_embeddings = take(&mut rest, 512 * 64);
    let attention_norm = take(&mut rest, 5 * 64);
    let attention = take(&mut rest, 5 * (64 * 64 + 64 * 32 + 64 * 32 + 64 * 64));
    let ffn_norm = take(&mut rest, 5 * 64);
    let feed_forward = take(&mut rest, 5 * 3 * 64 * 172);
    let norm = take(&mut rest, 64);
    let mut version_1 = [&b"24ka"[..], &1_u32.to_le_bytes(), &shared_model[..28], &[1]].concat();
    version_1.resize(256, 0);
    for weights in [attention_norm, ffn_norm, norm, tok_embeddings, attention, feed_forward] {
        version_1.extend_from_slice(weights);
    }
    assert_eq!(story(&only_model(&[("a.bin", &version_1), ("t.bin", &tokenizer)]), 40), expected);
}

#[derive(Deserialize)]
struct Reference {
    tokens: Vec<Token>,
    positions: Vec<Position>,
}

#[derive(Deserialize)]
struct Position {
    /// With the activations as they are.
    logits: Vec<f32>,
    /// With the activations rounded as the engine rounds them.
    logits_int8: Vec<f32>,
}

/// Return a tokenizer file of `n` tokens.
fn tokenizer_of(n: usize) -> Vec<u8> {
    let pieces: Vec<String> = (0..n).map(|token| format!("<{token}>")).collect();
    llama2c_tokenizer(pieces.iter().map(|piece| (piece.as_bytes(), -1.0)))
}

/// The logits reach 6.6.
const VERSION_2_TOLERANCE: f32 = 1e-3;

/// What rounding the activations changes: the reference of its own moves by 0.23.
const ROUNDED_ACTIVATIONS: f32 = 0.25;

#[test]
fn version_2_equals_the_reference() {
    let file = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama2c_v2.bin")).unwrap();
    let Reference { tokens, positions } = serde_json::from_str(&fixture("llama2c_v2.json")).unwrap();
    assert_eq!((tokens.len(), positions.len()), (20, 20));
    let tokenizer = tokenizer_of(40);
    let gguf = only_model(&[("v2.bin", &file), ("t.bin", &tokenizer)]);
    let model = Model::load(&gguf).unwrap();
    // Two embeddings, two layers of matrices, and the norms.
    let n_params = 2 * 40 * 64 + 2 * (2 * 64 * 64 + 2 * 64 * 16 + 3 * 64 * 96) + 5 * 64;
    assert_eq!((model.file_type(), model.n_params()), ("I8", n_params));
    for isa in [Isa::Generic, Isa::GenericEmulated, Isa::Avx2, Isa::Avx2Emulated] {
        let Some(kernels) = Kernels::of(isa) else {
            println!("SKIPPED: this processor does not run {isa}");
            continue;
        };
        let session = || Session::with_kernels(&model, &OneCore, 32, KvType::F32, kernels).unwrap();
        let mut one_by_one = session();
        let mut largest = [0_f32; 2];
        for (i, Position { logits: exact, logits_int8: rounded }) in positions.iter().enumerate() {
            let alone = one_by_one.eval(&tokens[i..=i], &mut || true).unwrap().unwrap().to_vec();
            let at_once = session().eval(&tokens[..=i], &mut || true).unwrap().unwrap().to_vec();
            for found in [alone, at_once] {
                for (largest, expected) in largest.iter_mut().zip([rounded, exact]) {
                    assert_eq!(found.len(), expected.len());
                    // NaN must not pass for small.
                    let off =
                        |(a, b): (&f32, &f32)| if a.is_finite() { (a - b).abs() } else { f32::INFINITY };
                    *largest = found.iter().zip(expected).map(off).fold(*largest, f32::max);
                }
            }
        }
        println!("{isa}: off by at most {:.1e}, {:.2} without rounded activations", largest[0], largest[1]);
        assert!(largest[0] < VERSION_2_TOLERANCE && largest[1] < ROUNDED_ACTIVATIONS, "{isa}: {largest:?}");
    }
}

#[derive(Deserialize)]
struct Texts {
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Ids {
    vocabularies: Vec<Vocabulary>,
}

#[derive(Deserialize)]
struct Vocabulary {
    file: String,
    ids: Vec<Vec<Token>>,
}

fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

/// Return a model file of as many tokens as `tokenizer`, whatever its weights.
fn model_for(n_vocab: i32) -> Vec<u8> {
    let header = [2, 1, 1, 1, 1, n_vocab, 4];
    Llama2cWriter { header, is_shared: true }.file(0, |_, _, _| 0.0)
}

#[test]
fn tokens_equal_those_of_sentencepiece() {
    let Texts { texts } = serde_json::from_str(&fixture("tokenizer_smollm.json")).unwrap();
    let Ids { vocabularies } = serde_json::from_str(&fixture("tokenizer_llama2.json")).unwrap();
    for Vocabulary { file, ids } in vocabularies {
        let Some(tokenizer) = shared(&file) else { continue };
        let model = model_for(if file == "tok512.bin" { 512 } else { 32_000 });
        let gguf = only_model(&[("model.bin", &model), (&file, &tokenizer)]);
        let tokenizer = Tokenizer::load(&gguf).unwrap();
        assert_eq!(texts.len(), ids.len());
        for (Text { text }, ids) in texts.iter().zip(ids) {
            assert_eq!(tokenizer.encode(text), ids, "{file}: {text:?}");
            let mut decoder = tokenizer.decoder();
            let back: String = ids.iter().map(|&token| decoder.push(token)).collect();
            // U+2581 is what a space is written as.
            assert_eq!(back + &decoder.finish(), text.replace('\u{2581}', " "), "{file}");
        }
    }
}

#[test]
fn a_megabyte_is_encoded_in_time() {
    let Some(tokenizer) = shared("llama2_tokenizer.bin") else { return };
    let model = model_for(32_000);
    let gguf = only_model(&[("model.bin", &model), ("tokenizer.bin", &tokenizer)]);
    let tokenizer = Tokenizer::load(&gguf).unwrap();
    let Texts { texts } = serde_json::from_str(&fixture("tokenizer_smollm.json")).unwrap();
    let prose: String = texts.iter().filter(|text| text.text.len() < 300).map(|text| &*text.text).collect();
    let mib = 1 << 20;
    for (what, text) in [
        ("mixed texts", prose.repeat(mib / prose.len() + 1)),
        ("one letter", "a".repeat(mib)),
        ("spaces", " ".repeat(mib)),
        ("one long word", "internationalization".repeat(mib / 20)),
    ] {
        let start = Instant::now();
        let n_tokens = tokenizer.encode(&text).len();
        let took = start.elapsed();
        println!("Llama-2: 1 MiB, {what}: {n_tokens} tokens in {} ms", took.as_millis());
        // In a build without optimization too.
        assert!(took < Duration::from_secs(20), "{what} took {took:?}");
    }
}
