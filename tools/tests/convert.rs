//! `bootlm convert` against transformers: tiny checkpoints in every form, with what transformers computes with them and which
//! tokens its tokenizers make of texts (`reference/checkpoints.py` made them).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use engine::format::gguf::Gguf;
use engine::model::Model;
use engine::platform::OneCore;
use engine::session::{KvType, Session};
use engine::testing::{Llama2cWriter, llama2c_tokenizer};
use engine::tokenizer::Tokenizer;
use serde::Deserialize;
use tempfile::TempDir;
use tools::convert::convert;
use tools::quantize::{FileType, quantize};

/// The largest difference from transformers that a logit may have; they reach 21.
const TOLERANCE: f32 = 1e-3;

#[derive(Deserialize)]
struct Reference {
    tokens: Vec<u32>,
    positions: Vec<usize>,
    logits: Vec<String>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    ids: Vec<u32>,
}

fn checkpoint(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)
}

fn reference(name: &str) -> Reference {
    serde_json::from_str(&fs::read_to_string(checkpoint(name).join("reference.json")).unwrap()).unwrap()
}

/// Return a folder with a copy of the checkpoint `name`.
fn copy(name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(checkpoint(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

/// Return the file that the checkpoint in `source` becomes.
fn converted(source: &Path, file_type: FileType) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("model.gguf");
    convert(source, &output, file_type).unwrap();
    fs::read(output).unwrap()
}

/// Return why the checkpoint in `source` is not converted; nothing is left of it.
fn refusal(source: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let error = convert(source, &dir.path().join("model.gguf"), FileType::F32).unwrap_err();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    format!("{error:#}")
}

/// Return the tokens of `text` as a program would send them to the model.
fn tokens(tokenizer: &Tokenizer<'_>, text: &str) -> Vec<u32> {
    let begin = tokenizer.bos().filter(|_| tokenizer.adds_bos());
    begin.into_iter().chain(tokenizer.encode(text)).collect()
}

fn logits(file: &[u8], tokens: &[u32]) -> Vec<f32> {
    let gguf = Gguf::parse(file).unwrap();
    let model = Model::load(&gguf).unwrap();
    let kernels = engine::cpu::Kernels::detect();
    let mut session = Session::with_kernels(&model, &OneCore, 64, KvType::F32, kernels).unwrap();
    session.eval(tokens, &mut || true).unwrap().unwrap().to_vec()
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let difference = |(a, b): (&f32, &f32)| if a.is_finite() { (a - b).abs() } else { f32::INFINITY };
    found.iter().zip(expected).map(difference).fold(0.0, f32::max)
}

fn check_tokens(file: &[u8], reference: &Reference) {
    let gguf = Gguf::parse(file).unwrap();
    let tokenizer = Tokenizer::load(&gguf).unwrap();
    for Text { text, ids } in &reference.texts {
        assert_eq!(tokens(&tokenizer, text), *ids, "{text:?}");
    }
}

/// Compare the tokens of texts, and the logits, with those of transformers; return the file.
fn check(name: &str) -> Vec<u8> {
    let file = converted(&checkpoint(name), FileType::F32);
    let reference = reference(name);
    check_tokens(&file, &reference);
    for (&position, expected) in reference.positions.iter().zip(&reference.logits) {
        let expected = floats(expected);
        let found = logits(&file, &reference.tokens[..=position]);
        let difference = largest_difference(&found, &expected);
        println!("{name}, position {position}: off by {difference:.1e}");
        assert!(difference < TOLERANCE, "{name}: position {position} is off by {difference}");
    }
    file
}

/// Return the floats that are hex of little-endian bytes.
fn floats(hex: &str) -> Vec<f32> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[test]
fn gpt2_from_an_old_pickle_with_its_tokenizer_in_two_files() {
    let file = check("gpt2");
    let gguf = Gguf::parse(&file).unwrap();
    assert_eq!(gguf.str("tokenizer.ggml.pre").unwrap(), Some("gpt-2"));
    assert!(!gguf.has_tensor("output.weight"), "the output is the embedding");
}

#[test]
fn llama_from_shards_with_the_rotations_and_words_of_llama_3() {
    let file = check("llama");
    let gguf = Gguf::parse(&file).unwrap();
    let str = |key: &str| gguf.str(key).unwrap().unwrap();
    assert_eq!((str("general.architecture"), str("general.name")), ("llama", "llama"));
    assert_eq!(str("tokenizer.ggml.pre"), "llama-bpe");
    assert!(str("tokenizer.chat_template").starts_with("{% for m in messages %}<|im_start|>"));
    let id = |name: &str| gguf.count(&format!("tokenizer.ggml.{name}_token_id")).unwrap();
    // config.json names 2 as the end too, tokenizer_config.json the token of that number.
    assert_eq!((id("bos"), id("eos"), id("eot")), (Some(0), Some(2), None));
    assert!(gguf.has_tensor("output.weight") && gguf.has_tensor("rope_freqs.weight"));
}

#[test]
fn llama_with_sentencepiece_and_linear_rope_scaling() {
    let file = check("llama_spm");
    let gguf = Gguf::parse(&file).unwrap();
    assert_eq!(gguf.str("tokenizer.ggml.model").unwrap(), Some("llama"));
    assert!(
        gguf.str("tokenizer.chat_template").unwrap().unwrap().starts_with("{% for"),
        "the default one of two"
    );
}

#[test]
fn sentencepiece_in_hugging_face_s_form_makes_the_same_tokens() {
    let dir = copy("llama_spm");
    fs::remove_file(dir.path().join("tokenizer.model")).unwrap();
    fs::rename(dir.path().join("tokenizer_hf.json"), dir.path().join("tokenizer.json")).unwrap();
    check_tokens(&converted(dir.path(), FileType::F32), &reference("llama_spm"));
}

#[test]
fn qwen2_from_one_file_with_more_rows_than_tokens() {
    let file = check("qwen2");
    let gguf = Gguf::parse(&file).unwrap();
    assert_eq!(gguf.str("tokenizer.ggml.pre").unwrap(), Some("qwen2"));
    let id = |name: &str| gguf.count(&format!("tokenizer.ggml.{name}_token_id")).unwrap();
    assert_eq!((id("bos"), id("eos"), id("eot"), id("padding")), (None, Some(2), Some(0), Some(0)));
    assert_eq!(gguf.strings("tokenizer.ggml.tokens").unwrap().iter().last(), Some(b"[PAD271]".as_slice()));
}

#[test]
fn qwen3_from_a_pickle_in_an_archive() {
    check("qwen3");
}

#[test]
fn llama_cpp_computes_the_same() {
    let python = std::env::var("PYTHON").unwrap_or("python3".into());
    let has_it =
        Command::new(&python).args(["-c", "import llama_cpp"]).output().is_ok_and(|o| o.status.success());
    if !has_it {
        println!(
            "SKIPPED: {python} (named by PYTHON) has no llama_cpp, which `pip install llama-cpp-python` brings"
        );
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/llama_cpp_logits.py");
    let dir = tempfile::tempdir().unwrap();
    for name in ["gpt2", "llama", "llama_spm", "qwen2", "qwen3"] {
        let path = dir.path().join(format!("{name}.gguf"));
        convert(&checkpoint(name), &path, FileType::F32).unwrap();
        let reference = reference(name);
        let mut command = Command::new(&python);
        let tokens = reference.tokens.iter().map(u32::to_string);
        let output = command.arg(&script).arg(&path).args(tokens).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let found: Vec<f32> = serde_json::from_slice(&output.stdout).unwrap();
        let difference = largest_difference(&found, &floats(reference.logits.last().unwrap()));
        println!("{name}: llama.cpp is off by {difference:.1e}");
        // Its keys and values are binary16.
        assert!(difference < 0.05, "{name}: {difference}");
    }
}

#[test]
fn converting_to_a_type_and_quantizing_to_it_give_the_same_weights() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, small, direct] = ["f32.gguf", "small.gguf", "direct.gguf"].map(|name| dir.path().join(name));
    // Rows of 40 become binary16, since they are no whole blocks.
    convert(&checkpoint("qwen2"), &whole, FileType::F32).unwrap();
    quantize(&whole, &small, FileType::Q8_0).unwrap();
    convert(&checkpoint("qwen2"), &direct, FileType::Q8_0).unwrap();
    assert_eq!(fs::read(small).unwrap(), fs::read(direct).unwrap());
}

#[test]
fn llama2c_files_keep_their_tokens_and_logits() {
    let header = [32, 64, 2, 4, 2, 264, 16];
    let weight = |name: &str, layer: usize, i: usize| {
        let noise = ((i * 2_654_435_761 + layer * 97 + name.len() * 31) % 1000) as f32 / 1000.0 - 0.5;
        if name.ends_with("norm") { 1.0 + 0.2 * noise } else { 0.5 * noise }
    };
    let mut pieces: Vec<Vec<u8>> = [&b"<unk>"[..], b"\n<s>\n", b"\n</s>\n"].map(<[u8]>::to_vec).into();
    pieces.extend((0..=255).map(|byte: u8| format!("<0x{byte:02X}>").into_bytes()));
    pieces.extend([&b" "[..], b"a", b"b", b" a", b"ab"].map(<[u8]>::to_vec));
    let scored: Vec<_> =
        pieces.iter().enumerate().map(|(i, piece)| (piece.as_slice(), -(i as f32))).collect();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokenizer.bin"), llama2c_tokenizer(scored)).unwrap();
    for (version, is_shared) in [(0, true), (1, false), (2, false)] {
        let source = dir.path().join(format!("v{version}.bin"));
        let bytes = Llama2cWriter { header, is_shared }.file(version, weight);
        fs::write(&source, &bytes).unwrap();
        let file = converted(&source, FileType::F32);

        let tokenizer_bytes = fs::read(dir.path().join("tokenizer.bin")).unwrap();
        let files = [
            engine::format::File { name: "model.bin", bytes: &bytes },
            engine::format::File { name: "tokenizer.bin", bytes: &tokenizer_bytes },
        ];
        let original = engine::format::models(&files).remove(0).model.unwrap();
        let (before, gguf) = (Tokenizer::load(&original).unwrap(), Gguf::parse(&file).unwrap());
        let after = Tokenizer::load(&gguf).unwrap();
        for text in ["a ab  ba", " a", "", "ä\n"] {
            let ids = tokens(&before, text);
            assert_eq!(tokens(&after, text), ids, "{text:?}");
            assert_eq!(
                ids.iter().flat_map(|&id| after.piece(id)).collect::<Vec<_>>(),
                ids.iter().flat_map(|&id| before.piece(id)).collect::<Vec<_>>()
            );
        }
        assert_eq!((after.bos(), after.eos(), after.is_end(1)), (Some(1), Some(2), true));
        let model = Model::load(&original).unwrap();
        let mut session =
            Session::with_kernels(&model, &OneCore, 16, KvType::F32, engine::cpu::Kernels::detect()).unwrap();
        let prompt = [1, 262, 260, 263];
        let expected = session.eval(&prompt, &mut || true).unwrap().unwrap().to_vec();
        // Version 2 meets its weights with activations in 8 bits.
        let tolerance = if version == 2 { 0.1 } else { 1e-6 };
        let difference = largest_difference(&logits(&file, &prompt), &expected);
        assert!(difference < tolerance, "version {version}: {difference}");
    }
}

#[test]
fn what_is_no_whole_checkpoint_is_refused_with_the_reason() {
    let edit = |dir: &TempDir, file: &str, from: &str, to: &str| {
        let path = dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replace(from, to)).unwrap();
    };
    let cut = |dir: &TempDir, file: &str| {
        let path = dir.path().join(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 100]).unwrap();
    };
    let remove = |dir: &TempDir, file: &str| fs::remove_file(dir.path().join(file)).unwrap();
    let cases: [(&str, &dyn Fn(&TempDir), &[&str]); 14] = [
        ("qwen2", &|dir| remove(dir, "config.json"), &["config.json", "cannot open"]),
        ("qwen2", &|dir| remove(dir, "model.safetensors"), &["no weights", "pytorch_model.bin"]),
        ("qwen2", &|dir| remove(dir, "tokenizer.json"), &["tokenizer.json"]),
        ("qwen2", &|dir| cut(dir, "model.safetensors"), &["model.safetensors", "fetch it again"]),
        ("gpt2", &|dir| cut(dir, "model.pt"), &["model.pt", "fetch it again"]),
        ("qwen3", &|dir| cut(dir, "pytorch_model.bin"), &["pytorch_model.bin", "fetch it again"]),
        (
            "llama",
            &|dir| remove(dir, "model-00002-of-00003.safetensors"),
            &["00002-of-00003.safetensors is missing"],
        ),
        (
            "qwen2",
            &|dir| edit(dir, "config.json", "Qwen2ForCausalLM", "MambaForCausalLM"),
            &["MambaForCausalLM", "LlamaForCausalLM"],
        ),
        ("qwen2", &|dir| edit(dir, "config.json", "\"silu\"", "\"relu\""), &["relu", "silu"]),
        (
            "qwen2",
            &|dir| edit(dir, "config.json", "\"num_hidden_layers\":2", "\"num_hidden_layers\":3"),
            &["blk.2.attn_norm.weight"],
        ),
        (
            "qwen2",
            &|dir| edit(dir, "config.json", "\"vocab_size\":272", "\"vocab_size\":200"),
            &["200", "272"],
        ),
        (
            "qwen2",
            &|dir| edit(dir, "config.json", "\"vocab_size\":272", "\"vocab_size\":900000000000"),
            &["900000000000", "1 to 16777216"],
        ),
        (
            "qwen2",
            &|dir| edit(dir, "tokenizer.json", "\"id\":2,", "\"id\":4000000000,"),
            &["4000000000", "272 rows"],
        ),
        (
            "qwen2",
            &|dir| edit(dir, "tokenizer.json", "\\\\p{N}|", "\\\\p{N}+|"),
            &["cutting a text into words", "qwen2"],
        ),
    ];
    for (name, spoil, reasons) in cases {
        let dir = copy(name);
        spoil(&dir);
        let said = refusal(dir.path());
        for reason in reasons {
            assert!(said.contains(reason), "{reason:?} is not in: {said}");
        }
    }
}

#[test]
fn what_does_not_fit_together_is_not_kept() {
    // A narrower feed-forward network than the weights have: nobody sees it before the engine does.
    let dir = copy("qwen2");
    let path = dir.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace("\"intermediate_size\":40", "\"intermediate_size\":36")).unwrap();
    let said = refusal(dir.path());
    assert!(said.contains("ffn_") && said.contains("not kept"), "{said}");
}

#[test]
fn the_command_names_files_after_their_source_and_overwrites_none() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("tiny");
    fs::rename(copy("qwen2").keep(), &source).unwrap();
    let bootlm = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_bootlm")).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let [folder, tiny] = [dir.path(), &source].map(|path| path.to_str().unwrap());
    let made = dir.path().join("tiny.F16.gguf");
    assert!(bootlm(&["convert", tiny, "--type", "f16"]).0 && made.is_file());

    let (is_done, said) = bootlm(&["convert", tiny, "--type", "f16"]);
    assert!(!is_done && said.contains("there already"), "{said}");
    let (is_done, said) = bootlm(&["quantize", made.to_str().unwrap(), made.to_str().unwrap(), "q8_0"]);
    assert!(!is_done && said.contains("there already"), "{said}");
    let (is_done, said) = bootlm(&["convert", "--all", "--models-dir", folder, "--type", "f16"]);
    assert!(is_done && said.contains("tiny.F16.gguf: there already"), "{said}");
    let (is_done, said) = bootlm(&["convert", "--all", "--models-dir", folder, "--type", "Q4_K_M"]);
    assert!(is_done && dir.path().join("tiny.Q4_K_M.gguf").is_file(), "{said}");
    let (is_done, said) = bootlm(&["convert", tiny, "--type", "q9"]);
    assert!(!is_done && said.contains("q4_k_m"), "{said}");
}
