//! What is read from a model file is untrusted: every damage ends in an error that names it, never in a panic.

use engine::Error;
use engine::chat::ChatTemplate;
use engine::format::gguf::Gguf;
use engine::model::Model;
use engine::platform::OneCore;
use engine::session::{KvType, Session, memory_required};
use engine::testing::GgufWriter;
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
        gguf.string("tokenizer.ggml.model", "gpt2");
        gguf.string("tokenizer.ggml.pre", "smollm");
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
    let gguf = Gguf::parse(file)?;
    let model = Model::load(&gguf)?;
    let tokenizer = Tokenizer::load(&gguf)?;
    let template = ChatTemplate::of(&gguf, &tokenizer)?;
    let tokens = template.user_turn(&tokenizer, true, "abc a");
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

#[test]
fn survives_100_000_mutations() {
    let whole = Tiny::default().file();
    let mut rng = Pcg32::seed_from_u64(2);
    let mut accepted = 0;
    for round in 0..100_000 {
        let mut file = whole.clone();
        // Most of the damage goes where the structure is.
        for _ in 0..1 + rng.next_u32() % 4 {
            let end = if rng.next_u32().is_multiple_of(8) { file.len() } else { 9_000 };
            let at = rng.next_u32() as usize % end;
            match rng.next_u32() % 4 {
                0 => file[at] ^= 1 << (rng.next_u32() % 8),
                1 => file[at] = [0, 1, 0x7f, 0x80, 0xff][rng.next_u32() as usize % 5],
                2 => {
                    file[at..(at + 8).min(end)].fill(if rng.next_u32().is_multiple_of(2) { 0xff } else { 0 })
                }
                _ => file[at] = rng.next_u32() as u8,
            }
        }
        if round % 100 == 0 {
            file.truncate(rng.next_u32() as usize % file.len());
        }
        accepted += usize::from(run(&file).is_ok());
    }
    // Both outcomes occur: the damage is neither harmless nor all in the first bytes.
    assert!((10_000..90_000).contains(&accepted), "{accepted} of 100,000 were accepted");
}
