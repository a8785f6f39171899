//! What the tensors of each architecture are called, there and here, and how they lie there.

use std::fmt;

use super::config::Config;
use crate::weights::Order;

/// The architectures that can be converted, which are those that the engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    Gpt2,
}

/// A part of a model: what transformers calls it, what GGUF calls it, and what is to be done with its weight.
type Part = (&'static str, &'static str, Kind);

/// How the weight of a part lies in a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As in GGUF.
    Plain,
    /// Rotations turn the halves of its heads, of which it has as many as there are queries.
    Queries,
    /// The same, of which it has as many as there are keys.
    Keys,
    /// torch's `Conv1D`: columns for rows.
    Conv1d,
}
use Kind::{Conv1d, Keys, Plain, Queries};

/// Before the layers, in one of them, and behind them.
const LLAMA: [&[Part]; 3] = [
    &[("model.embed_tokens", "token_embd", Plain)],
    &[
        ("input_layernorm", "attn_norm", Plain),
        ("self_attn.q_proj", "attn_q", Queries),
        ("self_attn.k_proj", "attn_k", Keys),
        ("self_attn.v_proj", "attn_v", Plain),
        ("self_attn.o_proj", "attn_output", Plain),
        ("post_attention_layernorm", "ffn_norm", Plain),
        ("mlp.gate_proj", "ffn_gate", Plain),
        ("mlp.up_proj", "ffn_up", Plain),
        ("mlp.down_proj", "ffn_down", Plain),
    ],
    &[("model.norm", "output_norm", Plain), ("lm_head", "output", Plain)],
];
const QWEN: [&[Part]; 3] = [
    LLAMA[0],
    &[
        ("input_layernorm", "attn_norm", Plain),
        ("self_attn.q_proj", "attn_q", Plain),
        ("self_attn.k_proj", "attn_k", Plain),
        ("self_attn.v_proj", "attn_v", Plain),
        ("self_attn.q_norm", "attn_q_norm", Plain),
        ("self_attn.k_norm", "attn_k_norm", Plain),
        ("self_attn.o_proj", "attn_output", Plain),
        ("post_attention_layernorm", "ffn_norm", Plain),
        ("mlp.gate_proj", "ffn_gate", Plain),
        ("mlp.up_proj", "ffn_up", Plain),
        ("mlp.down_proj", "ffn_down", Plain),
    ],
    LLAMA[2],
];
const GPT2: [&[Part]; 3] = [
    &[("wte", "token_embd", Plain), ("wpe", "position_embd", Plain)],
    &[
        ("ln_1", "attn_norm", Plain),
        ("attn.c_attn", "attn_qkv", Conv1d),
        ("attn.c_proj", "attn_output", Conv1d),
        ("ln_2", "ffn_norm", Plain),
        ("mlp.c_fc", "ffn_up", Conv1d),
        ("mlp.c_proj", "ffn_down", Conv1d),
    ],
    &[("ln_f", "output_norm", Plain), ("lm_head", "output", Plain)],
];

/// Where in a model a tensor belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// 0 before the layers, 1 in them, 2 behind them.
    section: usize,
    layer: usize,
    /// Which part of those in the section.
    index: usize,
    part: Part,
    /// `weight` or `bias`.
    is_bias: bool,
}

impl Place {
    /// The position of what comes before all others.
    pub(super) const FIRST: (usize, usize, usize, bool) = (0, 0, usize::MAX, false);

    /// Return what tensors are sorted by.
    pub(super) fn position(&self) -> (usize, usize, usize, bool) {
        (self.section, self.layer, self.index, self.is_bias)
    }

    /// Return the tensor's name in GGUF.
    pub(super) fn name(&self) -> String {
        let suffix = if self.is_bias { "bias" } else { "weight" };
        match self.section {
            1 => format!("blk.{}.{}.{suffix}", self.layer, self.part.1),
            _ => format!("{}.{suffix}", self.part.1),
        }
    }

    /// Return how the tensor's numbers lie in the checkpoint.
    pub(super) fn order(&self, config: &Config) -> Order {
        match self.part.2 {
            Plain => Order::Rows,
            Queries => Order::HalvesOfHeads(config.n_head),
            Keys => Order::HalvesOfHeads(config.n_head_kv),
            Conv1d if self.is_bias => Order::Rows,
            Conv1d => Order::Columns,
        }
    }
}

impl Architecture {
    /// The architectures by the names of their classes in transformers, which config.json has.
    pub(super) const CLASSES: [(&'static str, Self); 4] = [
        ("LlamaForCausalLM", Self::Llama),
        ("Qwen2ForCausalLM", Self::Qwen2),
        ("Qwen3ForCausalLM", Self::Qwen3),
        ("GPT2LMHeadModel", Self::Gpt2),
    ];

    fn sections(self) -> &'static [&'static [Part]; 3] {
        match self {
            Self::Llama => &LLAMA,
            Self::Qwen2 | Self::Qwen3 => &QWEN,
            Self::Gpt2 => &GPT2,
        }
    }

    /// Return where the tensor `name` of a checkpoint belongs.
    pub(super) fn place(self, name: &str) -> Option<Place> {
        let (name, is_bias) = match name.rsplit_once('.')? {
            (name, "weight") => (name, false),
            (name, "bias") => (name, true),
            _ => return None,
        };
        // GPT-2's own checkpoint has only what is inside of its "transformer".
        let name = name.strip_prefix("transformer.").unwrap_or(name);
        let in_layer = name.strip_prefix("model.layers.").or_else(|| name.strip_prefix("h."));
        let (sections, layer, name): (&[usize], _, _) = match in_layer.and_then(|rest| rest.split_once('.')) {
            Some((layer, name)) => (&[1], layer.parse().ok()?, name),
            None => (&[0, 2], 0, name),
        };
        sections.iter().find_map(|&section| {
            let parts = self.sections()[section];
            let index = parts.iter().position(|(theirs, ..)| *theirs == name)?;
            Some(Place { section, layer, index, part: parts[index], is_bias })
        })
    }

    /// Return the names in GGUF of the weights that a model of `n_layer` layers must have.
    pub(super) fn needed(self, n_layer: usize) -> impl Iterator<Item = String> {
        let sections = self.sections();
        // Only qwen3 has norms on heads, and where the output has no weights of its own, the embedding has.
        let is_needed = move |name: &str| {
            name != "output" && (self == Self::Qwen3 || !matches!(name, "attn_q_norm" | "attn_k_norm"))
        };
        let parts = move |section: usize| {
            sections[section].iter().map(|(_, ours, _)| *ours).filter(move |ours| is_needed(ours))
        };
        let layers =
            (0..n_layer).flat_map(move |i| parts(1).map(move |ours| format!("blk.{i}.{ours}.weight")));
        parts(0).chain(parts(2)).map(|ours| format!("{ours}.weight")).chain(layers)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gpt2 => "gpt2",
        })
    }
}
