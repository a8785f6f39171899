//! A model file whose answers a test decides: each byte is followed by another one, always.
//!
//! It is a valid llama GGUF with a byte-level vocabulary and ChatML. The embedding is the identity, attention and
//! feed-forward network add nothing, and the output matrix leads from each token to the one that follows it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use super::GgufWriter;

/// The tokens: the 256 bytes, then these.
const IM_START: usize = 256;
const IM_END: usize = 257;

/// Width of the embedding and size of the vocabulary; a multiple of every vector width.
const N: usize = 288;
const WIDE: u64 = N as u64;
const N_HEAD_WIDTH: usize = 32;
const N_FF: usize = 32;

/// A model that says what a test wants.
#[derive(Clone, Debug)]
pub struct ChainModel {
    /// Which token follows which.
    follows: Vec<(usize, usize)>,
    n_ctx_train: u32,
    end_text: String,
    end_key: Option<&'static str>,
}

impl ChainModel {
    /// Return a model that answers `answer`, in which no byte occurs twice and no newline at all.
    pub fn answers(answer: impl AsRef<[u8]>) -> Self {
        let model = Self {
            follows: Vec::new(),
            n_ctx_train: 4096,
            end_text: "<|im_end|>".to_string(),
            end_key: Some("eos"),
        };
        model.or_answers(answer)
    }

    /// Return a model that says `answer` over and over.
    pub fn repeats(answer: impl AsRef<[u8]>) -> Self {
        let mut model = Self::answers(&answer);
        if let Some((_, end)) = model.follows.last_mut() {
            *end = answer.as_ref()[0].into();
        }
        model
    }

    /// Let `answer` be as likely as the first one.
    pub fn or_answers(mut self, answer: impl AsRef<[u8]>) -> Self {
        // The newline of "assistant\n" comes before every answer.
        let mut before = usize::from(b'\n');
        for &byte in answer.as_ref() {
            self.follows.push((before, byte.into()));
            before = byte.into();
        }
        self.follows.push((before, IM_END));
        self
    }

    /// Set the length of context that the model claims to be trained with.
    pub fn n_ctx_train(mut self, n_ctx_train: u32) -> Self {
        self.n_ctx_train = n_ctx_train;
        self
    }

    /// Set the text of the token that ends an answer, and by what name the file calls it, if by any.
    pub fn ends_with(mut self, text: &str, key: Option<&'static str>) -> Self {
        (self.end_text, self.end_key) = (text.to_string(), key);
        self
    }

    /// Return the model as a GGUF file.
    pub fn file(&self) -> Vec<u8> {
        let mut gguf = GgufWriter::default();
        gguf.string("general.architecture", "llama");
        gguf.string("general.name", "chain");
        gguf.u32("llama.context_length", self.n_ctx_train);
        gguf.u32("llama.embedding_length", N as u32);
        gguf.u32("llama.block_count", 1);
        gguf.u32("llama.attention.head_count", 1);
        gguf.u32("llama.attention.key_length", N_HEAD_WIDTH as u32);
        gguf.u32("llama.attention.value_length", N_HEAD_WIDTH as u32);
        gguf.u32("llama.rope.dimension_count", N_HEAD_WIDTH as u32);
        gguf.u32("llama.feed_forward_length", N_FF as u32);
        gguf.f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
        gguf.string("tokenizer.ggml.model", "gpt2");
        gguf.string("tokenizer.ggml.pre", "smollm");
        gguf.strings("tokenizer.ggml.tokens", &self.tokens());
        gguf.strings("tokenizer.ggml.merges", &[]);
        let control = |token| if token == IM_START || token == IM_END { 3 } else { 1 };
        gguf.i32s("tokenizer.ggml.token_type", &(0..N).map(control).collect::<Vec<_>>());
        if let Some(key) = self.end_key {
            gguf.u32(&format!("tokenizer.ggml.{key}_token_id"), IM_END as u32);
        }
        gguf.string("tokenizer.chat_template", "{{ '<|im_start|>' + message['role'] + '<|im_end|>' }}");

        gguf.tensor_f32("token_embd.weight", &[WIDE, WIDE], matrix(|row, column| row == column));
        gguf.tensor_f32(
            "output.weight",
            &[WIDE, WIDE],
            matrix(|to, from| self.follows.contains(&(from, to))),
        );
        gguf.tensor_f32("output_norm.weight", &[WIDE], [1.0; N]);
        gguf.tensor_f32("blk.0.attn_norm.weight", &[WIDE], [1.0; N]);
        gguf.tensor_f32("blk.0.ffn_norm.weight", &[WIDE], [1.0; N]);
        for (name, n_in, n_out) in [
            ("attn_q", N, N_HEAD_WIDTH),
            ("attn_k", N, N_HEAD_WIDTH),
            ("attn_v", N, N_HEAD_WIDTH),
            ("attn_output", N_HEAD_WIDTH, N),
            ("ffn_gate", N, N_FF),
            ("ffn_up", N, N_FF),
            ("ffn_down", N_FF, N),
        ] {
            gguf.tensor_f32(
                &format!("blk.0.{name}.weight"),
                &[n_in as u64, n_out as u64],
                vec![0.0; n_in * n_out],
            );
        }
        gguf.file()
    }

    /// Return the vocabulary: each byte in the way of GPT-2 (printable Latin-1 stands for itself, the rest is moved to
    /// U+0100 on), the control tokens, and fillers.
    fn tokens(&self) -> Vec<String> {
        let mut moved = 0x100..;
        let mut byte_as_text = |byte: u8| match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => char::from_u32(moved.next().unwrap()).unwrap(),
        };
        let bytes = (0..=u8::MAX).map(|byte| byte_as_text(byte).to_string());
        let control = ["<|im_start|>", &self.end_text].map(String::from);
        bytes.chain(control).chain((IM_END + 1..N).map(|token| format!("<filler {token}>"))).collect()
    }
}

/// Return the weights `(N, N)` that are 1 where `is_one(row, column)`, else 0.
fn matrix(is_one: impl Fn(usize, usize) -> bool) -> Vec<f32> {
    (0..N * N).map(|i| if is_one(i / N, i % N) { 1.0 } else { 0.0 }).collect()
}
