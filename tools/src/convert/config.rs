//! config.json: the hyperparameters, in transformers' words and in GGUF's.
//!
//! What would change the computation and is not among what the engine computes is refused.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::architecture::Architecture;
use crate::checkpoint::read_json;
use crate::gguf::Header;
use crate::weights::{Order, Source, Weights};

/// The hyperparameters of a checkpoint.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) architecture: Architecture,
    pub(super) n_layer: usize,
    pub(super) n_head: usize,
    pub(super) n_head_kv: usize,
    n_embd: usize,
    /// The width of a head, and whether the file says it.
    n_embd_head: usize,
    names_head_width: bool,
    n_ff: usize,
    n_ctx: usize,
    norm_eps: f32,
    /// Whether the embedding also makes the logits.
    is_tied: bool,
    rope: Rope,
    /// Rows of the embedding, of which the tokenizer may know fewer.
    pub(super) n_vocab: usize,
    /// What the file says of special tokens.
    pub(super) bos: Option<u32>,
    pub(super) eos: Vec<u32>,
    pub(super) pad: Option<u32>,
}

/// Above any model there is, and low enough that nothing overflows.
const MAX_DIMENSION: usize = 1 << 24;

/// How positions turn queries and keys.
#[derive(Clone, Debug, Default, Deserialize)]
struct Rope {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// The file, as far as it matters here. GPT-2's words are others; where both are there, they say the same.
#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(alias = "n_layer")]
    num_hidden_layers: usize,
    #[serde(alias = "n_head")]
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    #[serde(alias = "n_embd")]
    hidden_size: usize,
    head_dim: Option<usize>,
    #[serde(alias = "n_inner")]
    intermediate_size: Option<usize>,
    #[serde(alias = "n_positions")]
    max_position_embeddings: usize,
    #[serde(alias = "layer_norm_epsilon")]
    rms_norm_eps: Option<f32>,
    #[serde(alias = "activation_function")]
    hidden_act: Option<String>,
    tie_word_embeddings: Option<bool>,
    vocab_size: usize,
    rope_theta: Option<f64>,
    rope_scaling: Option<Rope>,
    rope_parameters: Option<Rope>,
    #[serde(default)]
    use_sliding_window: bool,
    scale_attn_weights: Option<bool>,
    #[serde(default)]
    scale_attn_by_inverse_layer_idx: bool,
    bos_token_id: Option<u32>,
    eos_token_id: Option<Ids>,
    pad_token_id: Option<u32>,
}

/// One token or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Several(Vec<u32>),
}

impl Config {
    /// Return what the file `path` says.
    ///
    /// # Errors
    /// When the architecture is not known, or the file asks for what the engine does not compute.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let json: Json = read_json(path)?;
        let class = json.architectures.first().map_or("none", String::as_str);
        let known = Architecture::CLASSES.iter().find(|(name, _)| *name == class);
        let Some(&(_, architecture)) = known else {
            let names: Vec<_> = Architecture::CLASSES.iter().map(|(name, _)| *name).collect();
            bail!("{}: the architecture is {class}; {} can be converted", path.display(), names.join(", "));
        };
        Self::of(architecture, json).with_context(|| path.display().to_string())
    }

    fn of(architecture: Architecture, json: Json) -> Result<Self> {
        let is_gpt2 = architecture == Architecture::Gpt2;
        let activations: &[&str] =
            if is_gpt2 { &["gelu_new", "gelu_pytorch_tanh"] } else { &["silu", "swish"] };
        let activation = json.hidden_act.as_deref().unwrap_or(activations[0]);
        ensure!(
            activations.contains(&activation),
            "the activation is {activation}, and the engine's {architecture} has {}",
            activations[0]
        );
        ensure!(
            !json.use_sliding_window
                && !json.scale_attn_by_inverse_layer_idx
                && json.scale_attn_weights != Some(false),
            "use_sliding_window, scale_attn_by_inverse_layer_idx and scale_attn_weights ask for an attention that the \
             engine does not have"
        );
        let (n_embd, n_head) = (json.hidden_size, json.num_attention_heads);
        let n_head_kv = json.num_key_value_heads.unwrap_or(n_head);
        // Qwen3's configuration has this where the file does not say.
        let head_dim = json.head_dim.or((architecture == Architecture::Qwen3).then_some(128));
        let n_ff = json.intermediate_size.or(is_gpt2.then(|| n_embd.saturating_mul(4)));
        let n_ff = n_ff.context("intermediate_size is missing")?;
        let (n_ctx, n_layer) = (json.max_position_embeddings, json.num_hidden_layers);
        for (name, count) in [
            ("hidden_size", n_embd),
            ("num_attention_heads", n_head),
            ("num_key_value_heads", n_head_kv),
            ("head_dim", head_dim.unwrap_or(1)),
            ("intermediate_size", n_ff),
            ("max_position_embeddings", n_ctx),
            ("num_hidden_layers", n_layer),
            ("vocab_size", json.vocab_size),
        ] {
            ensure!((1..=MAX_DIMENSION).contains(&count), "{name} is {count}, expected 1 to {MAX_DIMENSION}");
        }
        ensure!(
            n_head.is_multiple_of(n_head_kv),
            "{n_head} heads of queries cannot share {n_head_kv} of keys and values"
        );
        let mut rope = json.rope_parameters.or(json.rope_scaling).unwrap_or_default();
        rope.rope_theta = rope.rope_theta.or(json.rope_theta);
        let kind = rope.rope_type.as_deref().unwrap_or("default");
        let is_known = match kind {
            "default" | "linear" => true,
            "llama3" => architecture == Architecture::Llama,
            _ => false,
        };
        ensure!(is_known, "rope scaling of the type {kind}; the engine has linear, and llama3 for llama");
        Ok(Self {
            architecture,
            n_layer,
            n_head,
            n_head_kv,
            n_embd,
            n_embd_head: head_dim.unwrap_or(n_embd / n_head),
            names_head_width: head_dim.is_some(),
            n_ff,
            n_ctx,
            // What transformers takes where the file does not say.
            norm_eps: json.rms_norm_eps.unwrap_or(if is_gpt2 { 1e-5 } else { 1e-6 }),
            is_tied: json.tie_word_embeddings.unwrap_or(is_gpt2),
            rope,
            n_vocab: json.vocab_size,
            bos: json.bos_token_id,
            eos: match json.eos_token_id {
                Some(Ids::One(id)) => vec![id],
                Some(Ids::Several(ids)) => ids,
                None => Vec::new(),
            },
            pad: json.pad_token_id,
        })
    }

    /// Return whether the tensor `name` of a checkpoint holds what can be computed, or what another holds too.
    pub(super) fn ignores(&self, name: &str) -> bool {
        match self.architecture {
            // Masks, which older versions saved.
            Architecture::Gpt2 if name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") => true,
            _ => name.ends_with("rotary_emb.inv_freq") || self.is_tied && name == "lm_head.weight",
        }
    }

    /// Write the model called `name` into `header`.
    pub(super) fn describe(&self, header: &mut Header, name: &str) {
        let architecture = self.architecture.to_string();
        header.set("general.architecture", architecture.as_str());
        header.set("general.type", "model");
        header.set("general.name", name);
        let mut set = |key: &str, count: usize| header.set(&format!("{architecture}.{key}"), count as u32);
        set("block_count", self.n_layer);
        set("context_length", self.n_ctx);
        set("embedding_length", self.n_embd);
        set("feed_forward_length", self.n_ff);
        set("attention.head_count", self.n_head);
        if self.architecture == Architecture::Gpt2 {
            header.set("gpt2.attention.layer_norm_epsilon", self.norm_eps);
            return;
        }
        set("attention.head_count_kv", self.n_head_kv);
        if self.names_head_width {
            set("attention.key_length", self.n_embd_head);
            set("attention.value_length", self.n_embd_head);
        }
        if self.architecture == Architecture::Llama {
            set("vocab_size", self.n_vocab);
            set("rope.dimension_count", self.n_embd_head);
        }
        header.set(&format!("{architecture}.attention.layer_norm_rms_epsilon"), self.norm_eps);
        if let Some(theta) = self.rope.rope_theta {
            header.set(&format!("{architecture}.rope.freq_base"), theta as f32);
        }
        if let (Some("linear"), Some(factor)) = (self.rope.rope_type.as_deref(), self.rope.factor) {
            header.set(&format!("{architecture}.rope.scaling.type"), "linear");
            header.set(&format!("{architecture}.rope.scaling.factor"), factor as f32);
        }
    }

    /// Return the tensor of what each frequency of the rotations is divided by, if that is not 1.
    ///
    /// Llama 3.1 slows those that turn less than `low_freq_factor` times over the context that it was trained with first, leaves
    /// those that turn more than `high_freq_factor` times, and goes from one to the other in between
    /// (`_compute_llama3_parameters` of transformers' modeling_rope_utils.py).
    pub(super) fn rope_frequencies(&self) -> Option<(String, Weights<'static>)> {
        let Rope { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings, .. } =
            self.rope;
        if self.rope.rope_type.as_deref() != Some("llama3") {
            return None;
        }
        // What Llama 3.1 has.
        let (factor, low, high) =
            (factor.unwrap_or(8.0), low_freq_factor.unwrap_or(1.0), high_freq_factor.unwrap_or(4.0));
        let n_ctx = original_max_position_embeddings.unwrap_or(8192.0);
        let theta = self.rope.rope_theta.unwrap_or(10_000.0);
        let divisor = |i: usize| {
            let wavelength =
                2.0 * std::f64::consts::PI * theta.powf(2.0 * i as f64 / self.n_embd_head as f64);
            let turns = n_ctx / wavelength;
            let smooth = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            1.0 / ((1.0 - smooth) / factor + smooth)
        };
        let values: Vec<f32> = (0..self.n_embd_head / 2).map(|i| divisor(i) as f32).collect();
        let shape = vec![values.len() as u64];
        let weights = Weights { shape, source: Source::Values(values), order: Order::Rows };
        Some(("rope_freqs.weight".to_string(), weights))
    }
}
