//! Models of known shapes with random weights: how fast they run does not depend on what they would say.
//!
//! So every type of a model can be measured where only its shape is known, and no network is needed.

use std::path::Path;

use anyhow::Result;
use engine::quant::TensorType;

use crate::gguf::Header;
use crate::quantize::{self, FileType};
use crate::weights::{Order, Plan, Source, Weights};

/// Which architecture a shape is one of, under GGUF's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Architecture {
    Llama,
    Gpt2,
}
use Architecture::{Gpt2, Llama};

/// The hyperparameters of a known model.
#[derive(Debug)]
pub(super) struct Shape {
    name: &'static str,
    architecture: Architecture,
    pub(super) n_layer: usize,
    pub(super) n_embd: usize,
    pub(super) n_head: usize,
    pub(super) n_head_kv: usize,
    pub(super) n_ff: usize,
    pub(super) n_vocab: usize,
    /// Enough for what is measured; of llama, no weight depends on it.
    pub(super) n_ctx_train: usize,
    /// Whether the output has weights of its own, and is not the embedding.
    has_output: bool,
}

/// The shapes that there are.
const SHAPES: [Shape; 3] = [
    Shape {
        name: "TinyLlama-1.1B",
        architecture: Llama,
        n_layer: 22,
        n_embd: 2048,
        n_head: 32,
        n_head_kv: 4,
        n_ff: 5632,
        n_vocab: 32_000,
        n_ctx_train: 4096,
        has_output: true,
    },
    Shape {
        name: "GPT-2-124M",
        architecture: Gpt2,
        n_layer: 12,
        n_embd: 768,
        n_head: 12,
        n_head_kv: 12,
        n_ff: 3072,
        n_vocab: 50_257,
        n_ctx_train: 1024,
        has_output: false,
    },
    Shape {
        name: "stories15M",
        architecture: Llama,
        n_layer: 6,
        n_embd: 288,
        n_head: 6,
        n_head_kv: 6,
        n_ff: 768,
        n_vocab: 32_000,
        n_ctx_train: 1024,
        has_output: false,
    },
];

impl Shape {
    /// Return the shape of the model `name`.
    ///
    /// # Panics
    /// When it is none of these.
    pub(super) fn named(name: &str) -> &'static Self {
        SHAPES.iter().find(|shape| shape.name == name).unwrap_or_else(|| panic!("{name} has no shape"))
    }

    /// Write a model of this shape to `path`, as `file_type` and with the types that its tensors then have.
    pub(super) fn write(&self, path: &Path, file_type: FileType) -> Result<()> {
        let mut header = Header::default();
        self.describe(&mut header);
        file_type.describe(&mut header);
        describe_tokenizer(self.n_vocab, &mut header);
        let of_types = quantize::Shape {
            n_layer: self.n_layer,
            n_gqa: self.n_head / self.n_head_kv,
            has_output: self.has_output,
        };
        let mut plan = Plan::new(header);
        for (name, weights) in self.weights() {
            let kind: TensorType = file_type.tensor_type(&name, &weights.shape, of_types);
            plan.add(&name, weights, kind)?;
        }
        plan.write(path)
    }

    /// Return the tensors by name, with the same random weights whenever they are asked for.
    pub(super) fn weights(&self) -> Vec<(String, Weights<'static>)> {
        let mut tensors = Vec::new();
        for (seed, (name, dims)) in self.tensors().into_iter().enumerate() {
            let source = match (&dims[..], name.ends_with(".bias")) {
                (&[len], true) => Source::Values(vec![0.0; len]),
                (&[len], false) => Source::Values(vec![1.0; len]), // a norm
                _ => Source::Random(seed as u64),
            };
            let shape = dims.iter().map(|&dim| dim as u64).collect();
            tensors.push((name, Weights { shape, source, order: Order::Rows }));
        }
        tensors
    }

    fn describe(&self, header: &mut Header) {
        let (architecture, epsilon) = match self.architecture {
            Llama => ("llama", "layer_norm_rms_epsilon"),
            Gpt2 => ("gpt2", "layer_norm_epsilon"),
        };
        header.set("general.architecture", architecture);
        header.set("general.name", self.name);
        for (key, count) in [
            ("context_length", self.n_ctx_train),
            ("embedding_length", self.n_embd),
            ("block_count", self.n_layer),
            ("feed_forward_length", self.n_ff),
            ("attention.head_count", self.n_head),
            ("attention.head_count_kv", self.n_head_kv),
        ] {
            header.set(&format!("{architecture}.{key}"), count as u32);
        }
        header.set(&format!("{architecture}.attention.{epsilon}"), 1e-5_f32);
        if self.architecture == Llama {
            header.set("llama.rope.dimension_count", (self.n_embd / self.n_head) as u32);
        }
    }

    /// Return the names of the tensors and their dimensions, the fastest first.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let &Self { n_embd, n_ff, n_vocab, .. } = self;
        let n_embd_kv = n_embd / self.n_head * self.n_head_kv;
        let mut tensors = vec![("token_embd.weight".to_string(), vec![n_embd, n_vocab])];
        let mut add = |name: &str, dims: &[usize]| {
            tensors.push((format!("{name}.weight"), dims.to_vec()));
            if self.architecture == Gpt2 && !name.ends_with("_embd") {
                tensors.push((format!("{name}.bias"), dims[dims.len() - 1..].to_vec()));
            }
        };
        if self.architecture == Gpt2 {
            add("position_embd", &[n_embd, self.n_ctx_train]);
        }
        for layer in 0..self.n_layer {
            let mut add = |name: &str, dims: &[usize]| add(&format!("blk.{layer}.{name}"), dims);
            add("attn_norm", &[n_embd]);
            match self.architecture {
                Llama => {
                    add("attn_q", &[n_embd, n_embd]);
                    add("attn_k", &[n_embd, n_embd_kv]);
                    add("attn_v", &[n_embd, n_embd_kv]);
                }
                Gpt2 => add("attn_qkv", &[n_embd, n_embd + 2 * n_embd_kv]),
            }
            add("attn_output", &[n_embd, n_embd]);
            add("ffn_norm", &[n_embd]);
            if self.architecture == Llama {
                add("ffn_gate", &[n_embd, n_ff]);
            }
            add("ffn_up", &[n_embd, n_ff]);
            add("ffn_down", &[n_ff, n_embd]);
        }
        add("output_norm", &[n_embd]);
        if self.has_output {
            add("output", &[n_embd, n_vocab]);
        }
        tensors
    }
}

/// Return a SentencePiece vocabulary of `n_vocab` tokens, each with its kind: the special ones, every byte, and texts that nobody
/// writes.
pub(super) fn tokens(n_vocab: usize) -> impl Iterator<Item = (String, i32)> {
    // Numbered as llama.cpp numbers them: normal, unknown, control, byte.
    let special = [("<unk>", 2), ("<s>", 3), ("</s>", 3)].map(|(text, kind)| (text.to_string(), kind));
    let bytes = (0..=255_u8).map(|byte| (format!("<0x{byte:02X}>"), 6));
    let others = (0..).map(|i| (format!("\u{2581}{i}"), 1));
    special.into_iter().chain(bytes).chain(others).take(n_vocab)
}

/// Write a vocabulary of `n_vocab` [`tokens`].
fn describe_tokenizer(n_vocab: usize, header: &mut Header) {
    let (texts, kinds): (Vec<String>, Vec<i32>) = tokens(n_vocab).unzip();
    header.set("tokenizer.ggml.model", "llama");
    header.set("tokenizer.ggml.tokens", texts.as_slice());
    header.set("tokenizer.ggml.scores", vec![0.0_f32; n_vocab].as_slice());
    header.set("tokenizer.ggml.token_type", kinds.as_slice());
    header.set("tokenizer.ggml.bos_token_id", 1_u32);
    header.set("tokenizer.ggml.eos_token_id", 2_u32);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counts are those of the published models; positions of GPT-2 and biases included.
    #[test]
    fn a_shape_has_as_many_weights_as_its_model() {
        let n_weights = |name| -> usize {
            Shape::named(name).tensors().iter().map(|(_, dims)| dims.iter().product::<usize>()).sum()
        };
        assert_eq!(n_weights("TinyLlama-1.1B"), 1_100_048_384);
        assert_eq!(n_weights("GPT-2-124M"), 124_439_808);
        assert_eq!(n_weights("stories15M"), 15_191_712);
    }

    #[test]
    fn the_engine_loads_a_shape_and_its_logits_are_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        Shape::named("stories15M").write(&path, FileType::Q8_0).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let gguf = engine::format::gguf::Gguf::parse(&bytes).unwrap();
        let model = engine::model::Model::load(&gguf).unwrap();
        let mut session = engine::session::Session::new(&model, &engine::platform::OneCore, 8).unwrap();
        session.eval(&[1, 300, 31_999], &mut || true).unwrap();
        let most = session.logits().iter().fold(0.0_f32, |most, logit| most.max(logit.abs()));
        assert!((0.1..100.0).contains(&most), "{most}");
    }
}
