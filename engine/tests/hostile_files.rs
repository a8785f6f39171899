//! What is read from a model file is untrusted: every damage ends in an error that names it, never in a panic.

use std::env;

use engine::Error;
use engine::chat::ChatTemplate;
use engine::format::gguf::Gguf;
use engine::format::{File, models};
use engine::model::Model;
use engine::platform::OneCore;
use engine::session::{KvType, Session, memory_required};
use engine::testing::{GgufWriter, Llama2cWriter, llama2c_tokenizer};
use engine::tokenizer::Tokenizer;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

const N_EMBD: u64 = 32;
const N_VOCAB: u64 = 260;
/// `token_embd.weight` in Q8_0: a block of 34 bytes per token.
const EMBEDDING_BYTES: usize = 34 * N_VOCAB as usize;

/// The parts of a tiny valid model that a test may replace.
struct Tiny {
    architecture: &'static str,
    n_head: u32,
    n_head_kv: u32,
    n_rot: u32,
    eps: f32,
    eos: u32,
    tokenizer: &'static str,
    tokens: Vec<String>,
    merges: Vec<String>,
    embedding_shape: [u64; 2],
    embedding_type: u32,
    embedding_bytes: usize,
    with_norm: bool,
}

impl Default for Tiny {
    fn default() -> Self {
        // The printable bytes stand for themselves; fillers make up the rest.
        let mut tokens: Vec<String> = (b'!'..=b'~').map(|byte| char::from(byte).to_string()).collect();
        tokens.extend(["Ġ", "Ċ", "ab", "abc", "<|im_start|>", "<|im_end|>"].map(String::from));
        tokens.extend((tokens.len()..N_VOCAB as usize).map(|token| format!("<filler {token}>")));
        Self {
            architecture: "llama",
            n_head: 4,
            n_head_kv: 2,
            n_rot: 8,
            eps: 1e-5,
            eos: 99,
            tokenizer: "gpt2",
            tokens,
            merges: vec!["a b".into(), "ab c".into()],
            embedding_shape: [N_EMBD, N_VOCAB],
            embedding_type: 8,
            embedding_bytes: EMBEDDING_BYTES,
            with_norm: true,
        }
    }
}

impl Tiny {
    fn file(&self) -> Vec<u8> {
        let mut rng = Pcg32::seed_from_u64(1);
        let mut weights =
            |n: u64| -> Vec<f32> { (0..n).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect() };
        let mut gguf = GgufWriter::default();
        gguf.string("general.architecture", self.architecture);
        gguf.u32("llama.context_length", 64);
        gguf.u32("llama.embedding_length", N_EMBD as u32);
        gguf.u32("llama.block_count", 1);
        gguf.u32("llama.feed_forward_length", 32);
        gguf.u32("llama.attention.head_count", self.n_head);
        gguf.u32("llama.attention.head_count_kv", self.n_head_kv);
        gguf.u32("llama.rope.dimension_count", self.n_rot);
        gguf.f32("llama.attention.layer_norm_rms_epsilon", self.eps);
        gguf.string("tokenizer.ggml.model", self.tokenizer);
        gguf.string("tokenizer.ggml.pre", "smollm");
        let scores: Vec<f32> = (0..self.tokens.len()).map(|token| -(token as f32)).collect();
        gguf.f32s("tokenizer.ggml.scores", &scores);
        gguf.strings("tokenizer.ggml.tokens", &self.tokens);
        gguf.strings("tokenizer.ggml.merges", &self.merges);
        let types: Vec<i32> =
            (0..self.tokens.len()).map(|token| if (98..100).contains(&token) { 3 } else { 1 }).collect();
        gguf.i32s("tokenizer.ggml.token_type", &types);
        gguf.u32("tokenizer.ggml.eos_token_id", self.eos);
        gguf.string("tokenizer.chat_template", "<|im_start|>");
        gguf.tensor(
            "token_embd.weight",
            &self.embedding_shape,
            self.embedding_type,
            &vec![1; self.embedding_bytes],
        );
        gguf.tensor_f32("output_norm.weight", &[N_EMBD], weights(N_EMBD));
        gguf.tensor_f32("blk.0.attn_norm.weight", &[N_EMBD], weights(N_EMBD));
        if self.with_norm {
            gguf.tensor_f32("blk.0.ffn_norm.weight", &[N_EMBD], weights(N_EMBD));
        }
        for (name, n_in, n_out) in [
            ("attn_q", 32, 32),
            ("attn_k", 32, 16),
            ("attn_v", 32, 16),
            ("attn_output", 32, 32),
            ("ffn_gate", 32, 32),
            ("ffn_up", 32, 32),
            ("ffn_down", 32, 32),
        ] {
            gguf.tensor_f32(&format!("blk.0.{name}.weight"), &[n_in, n_out], weights(n_in * n_out));
        }
        gguf.file()
    }
}

/// Read `file` as the shell does, and evaluate two tokens.
fn run(file: &[u8]) -> Result<(), Error> {
    run_model(&Gguf::parse(file)?)
}

/// Read all of `files` as the shell does, and run each model that there is among them.
fn run_files(files: &[(&str, &[u8])]) -> Result<(), Error> {
    let files: Vec<File<'_>> = files.iter().map(|&(name, bytes)| File { name, bytes }).collect();
    models(&files).into_iter().try_for_each(|found| run_model(&found.model?))
}

fn run_model(gguf: &Gguf<'_>) -> Result<(), Error> {
    let model = Model::load(gguf)?;
    let tokenizer = Tokenizer::load(gguf)?;
    let template = ChatTemplate::of(gguf, &tokenizer)?;
    let tokens = template.first_turn(&tokenizer, template.default_system(), "abc a");
    let n_ctx = tokens.len() + 1;
    // A file cannot make the engine allocate more than it says beforehand.
    if memory_required(model.hparams(), n_ctx, KvType::F16, 1) > 1 << 24 {
        return Ok(());
    }
    let mut session = Session::new(&model, &OneCore, n_ctx)?;
    session.eval(&tokens, &mut || true)?;
    session.eval(&[5], &mut || true)?;
    Ok(())
}

#[track_caller]
fn assert_refused(file: &[u8], words: &[&str]) {
    let message = run(file).expect_err("the file must be refused").to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}

#[test]
fn accepts_the_file_that_the_others_damage() {
    assert_eq!(run(&Tiny::default().file()), Ok(()));
}

#[test]
fn accepts_an_embedding_with_rows_for_more_tokens_than_there_are() {
    let mut padded = Tiny::default();
    padded.tokens.truncate(200);
    assert_eq!(run(&padded.file()), Ok(()));
}

#[test]
fn rejects_what_is_no_gguf() {
    assert_refused(b"", &["not a model file", "0 bytes"]);
    assert_refused(b"PK\x03\x04 a zip file", &["not a model file", "\"PK\u{fffd}\u{fffd}\"", "GGUF"]);
    assert_refused(b"GGUF\x01\0\0\0", &["version 1"]);
}

#[test]
fn rejects_counts_that_no_model_has() {
    let file = |n_tensors: u64, n_metadata: u64| {
        [&b"GGUF\x03\0\0\0"[..], &n_tensors.to_le_bytes(), &n_metadata.to_le_bytes(), &[0; 64]].concat()
    };
    assert_refused(&file(u64::MAX, 1), &["the tensor count is 18446744073709551615", "at most 65536"]);
    assert_refused(&file(1, 1 << 40), &["the metadata count", "at most 65536"]);
}

#[test]
fn messages_stay_short_and_harmless_whatever_the_file_says() {
    let long = "\u{1b}[2J".repeat(100_000);
    let mut gguf = GgufWriter::default();
    gguf.string("general.architecture", &long);
    let message = run(&gguf.file()).unwrap_err().to_string();
    assert!(message.len() < 400 && !message.contains('\u{1b}'), "{message:?}");
    let mut gguf = GgufWriter::default();
    gguf.strings("general.architecture", &vec![String::new(); 70_000]);
    assert_refused(&gguf.file(), &["general.architecture is an array of 70000 texts, expected text"]);
    let mut gguf = GgufWriter::default();
    gguf.tensor_f32(&long, &[1], [0.0]);
    assert_refused(&gguf.file(), &["a tensor's name", "at most 64 bytes"]);
}

#[test]
fn rejects_every_truncation() {
    let file = Tiny::default().file();
    // All of the header, and samples of the data behind it.
    for len in (4..file.len()).filter(|len| *len < 12_000 || len % 97 == 0) {
        assert!(
            matches!(run(&file[..len]), Err(Error::Truncated { .. })),
            "{len} of {} bytes were accepted",
            file.len()
        );
    }
    assert_refused(
        &file[..file.len() - 1],
        &["cut short", "blk.0.ffn_down.weight", &(file.len() - 1).to_string()],
    );
}

#[test]
fn rejects_an_unknown_architecture() {
    assert_refused(&Tiny { architecture: "mamba", ..Tiny::default() }.file(), &["\"mamba\"", "known: llama"]);
}

#[test]
fn rejects_hyperparameters_that_contradict_each_other() {
    assert_refused(&Tiny { n_head: 0, ..Tiny::default() }.file(), &["head_count is 0"]);
    assert_refused(&Tiny { n_head: 5, ..Tiny::default() }.file(), &["head_count"]);
    assert_refused(
        &Tiny { n_head_kv: 3, ..Tiny::default() }.file(),
        &["head_count_kv is 3", "a divisor of the 4 heads"],
    );
    assert_refused(&Tiny { n_head_kv: 8, ..Tiny::default() }.file(), &["head_count_kv is 8"]);
    assert_refused(&Tiny { n_rot: 7, ..Tiny::default() }.file(), &["dimension_count is 7", "even"]);
    assert_refused(&Tiny { n_rot: 0, ..Tiny::default() }.file(), &["dimension_count is 0", "expected 1 to"]);
    assert_refused(
        &Tiny { n_rot: 10, ..Tiny::default() }.file(),
        &["dimension_count is 10", "at most the head size 8"],
    );
    assert_refused(
        &Tiny { eps: f32::NAN, ..Tiny::default() }.file(),
        &["layer_norm_rms_epsilon", "NaN", "finite"],
    );
    assert_refused(&Tiny { eps: -1.0, ..Tiny::default() }.file(), &["layer_norm_rms_epsilon is -1"]);
}

#[test]
fn rejects_tensors_that_do_not_fit() {
    assert_refused(
        &Tiny { with_norm: false, ..Tiny::default() }.file(),
        &["blk.0.ffn_norm.weight is missing"],
    );
    assert_refused(
        &Tiny { embedding_shape: [N_EMBD * 2, N_VOCAB / 2], ..Tiny::default() }.file(),
        &["tokenizer.ggml.tokens is 260 texts", "at most the 130 rows of token_embd.weight"],
    );
    assert_refused(
        &Tiny { embedding_shape: [N_EMBD / 2 * 3, N_VOCAB], ..Tiny::default() }.file(),
        &["token_embd.weight", "48", "multiple of 32"],
    );
    assert_refused(
        &Tiny { embedding_shape: [33, 4], ..Tiny::default() }.file(),
        &["token_embd.weight", "33", "multiple of 32"],
    );
    assert_refused(
        &Tiny { embedding_shape: [0, 4], ..Tiny::default() }.file(),
        &["token_embd.weight", "at least 1"],
    );
    assert_refused(&Tiny { embedding_shape: [u64::MAX, 32], ..Tiny::default() }.file(), &["below 2^64"]);
    assert_refused(
        &Tiny { embedding_shape: [1 << 60, 1], ..Tiny::default() }.file(),
        &["cut short", "token_embd.weight"],
    );
    assert_refused(
        &Tiny { embedding_type: 14, ..Tiny::default() }.file(),
        &["token_embd.weight", "32 wide", "multiple of 256", "Q6_K"],
    );
    assert_refused(
        &Tiny { embedding_type: 16, ..Tiny::default() }.file(),
        &["token_embd.weight", "IQ2_XXS", "Q4_1"],
    );
}

#[test]
fn rejects_a_tokenizer_that_contradicts_itself() {
    assert_refused(&Tiny { eos: 260, ..Tiny::default() }.file(), &["eos_token_id is 260", "below 260"]);
    assert_refused(&Tiny { merges: vec!["a".into()], ..Tiny::default() }.file(), &["merge 0", "two tokens"]);
    assert_refused(
        &Tiny { merges: vec!["a b".into(), "x y".into()], ..Tiny::default() }.file(),
        &["merge 1", "x y"],
    );
}

/// A part of a split model: its tensors, and for the first one the metadata.
fn split(no: u16) -> Vec<u8> {
    let mut gguf = GgufWriter::default();
    gguf.value("split.no", 2, &no.to_le_bytes());
    gguf.value("split.count", 2, &2_u16.to_le_bytes());
    gguf.i32("split.tensors.count", 2);
    gguf.tensor_f32(["a", "b"][usize::from(no)], &[4, 2], [0.5; 8]);
    gguf.file()
}

/// Damage `file`, most of it in the first `structure` bytes.
fn damage(file: &mut Vec<u8>, structure: usize, rng: &mut Pcg32) {
    for _ in 0..1 + rng.next_u32() % 4 {
        let end = if rng.next_u32().is_multiple_of(8) { file.len() } else { structure.min(file.len()) };
        let at = rng.next_u32() as usize % end;
        match rng.next_u32() % 4 {
            0 => file[at] ^= 1 << (rng.next_u32() % 8),
            1 => file[at] = [0, 1, 0x7f, 0x80, 0xff][rng.next_u32() as usize % 5],
            2 => file[at..(at + 8).min(end)].fill(if rng.next_u32().is_multiple_of(2) { 0xff } else { 0 }),
            _ => file[at] = rng.next_u32() as u8,
        }
    }
    if rng.next_u32().is_multiple_of(100) {
        file.truncate(rng.next_u32() as usize % file.len());
    }
}

/// Damage one of `files` in each of `rounds`, and run what is left. Both outcomes occur: the damage is neither harmless nor
/// all in the first bytes.
#[track_caller]
fn assert_survives(files: &[(&str, Vec<u8>)], structure: usize, rounds: u32, seed: u64) {
    let mut rng = Pcg32::seed_from_u64(seed);
    let mut accepted = 0;
    for _ in 0..rounds {
        let mut damaged = files.to_vec();
        let hit = rng.next_u32() as usize % files.len();
        damage(&mut damaged[hit].1, structure, &mut rng);
        let damaged: Vec<(&str, &[u8])> = damaged.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
        accepted += u32::from(run_files(&damaged).is_ok());
    }
    assert_both_occur("accepted", accepted, rounds);
}

#[track_caller]
fn assert_both_occur(what: &str, n: u32, rounds: u32) {
    let line = format!("{n} of {rounds} were {what}");
    println!("{line}");
    assert!(n > rounds / 20 && n < rounds - rounds / 20, "{line}");
}

/// Return `percent` of the damaged files that there are in all: 100,000, or as many as the variable `MUTATIONS` says, where
/// something slow looks on.
fn mutations(percent: u32) -> u32 {
    let all = match env::var("MUTATIONS") {
        Ok(number) => number.parse().expect("MUTATIONS is a number"),
        Err(_) => 100_000,
    };
    all / 100 * percent
}

#[test]
fn survives_damaged_gguf_files() {
    assert_survives(&[("m.gguf", Tiny::default().file())], 9_000, mutations(40), 2);
}

#[test]
fn survives_damaged_gguf_files_with_scores() {
    let file = Tiny { tokenizer: "llama", ..Tiny::default() }.file();
    assert_eq!(run_files(&[("m.gguf", &file)]), Ok(()));
    assert_survives(&[("m.gguf", file)], 9_000, mutations(20), 3);
}

#[test]
fn survives_damaged_llama2c_files() {
    let pieces: Vec<String> = ["<unk>", "\n<s>\n", "\n</s>\n", " ", "a", "b", "c", "ab", " a"]
        .into_iter()
        .map(String::from)
        .chain((0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")))
        .collect();
    let tokenizer = llama2c_tokenizer(pieces.iter().map(|piece| (piece.as_bytes(), -(piece.len() as f32))));
    for (version, is_shared, seed) in [(0, true, 4), (0, false, 5), (1, true, 6), (2, false, 8)] {
        // 8-bit weights come in blocks of 32; here groups of 64.
        let (dim, hidden_dim) = if version == 2 { (64, 32) } else { (8, 12) };
        let header = [dim, hidden_dim, 2, 4, 2, pieces.len() as i32, 32];
        let model = Llama2cWriter { header, is_shared }.file(version, |_, _, i| (i % 7) as f32 - 3.0);
        assert_eq!(run_files(&[("m.bin", &model), ("t.bin", &tokenizer)]), Ok(()));
        assert_survives(&[("m.bin", model), ("t.bin", tokenizer.clone())], 3_000, mutations(30) / 4, seed);
    }
}

/// The parts only, without a model in them: joined or refused, never a panic.
#[test]
fn survives_damaged_parts() {
    let mut rng = Pcg32::seed_from_u64(7);
    let names = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
    let rounds = mutations(10);
    let mut joined = 0;
    for _ in 0..rounds {
        let mut parts = [split(0), split(1)];
        damage(&mut parts[rng.next_u32() as usize % 2], 400, &mut rng);
        let files = [0, 1].map(|i| File { name: names[i], bytes: &parts[i] });
        let found = models(&files);
        assert!((1..=2).contains(&found.len()));
        joined += u32::from(found.iter().all(|found| found.model.is_ok()));
    }
    assert_both_occur("joined", joined, rounds);
}
