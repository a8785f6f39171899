//! Which tensor of a model gets which type.
//!
//! A file of a quantized type is a mixture: what errors spread from gets more bits, and matrices whose rows are not whole blocks
//! another type. Which ones follows `llama_tensor_get_type` of llama.cpp (src/llama-quant.cpp), without importance matrices, for
//! the architectures that the engine has.

use std::fmt;

use anyhow::{Context, Result};
use clap::ValueEnum;
use engine::format::gguf::Gguf;
use engine::quant::TensorType;

use crate::gguf::Header;

/// What most weights of a file are, numbered as `enum llama_ftype` of llama.cpp does. Where there are `s`, `m` and `l`, they tell
/// how many tensors get more bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
#[allow(non_camel_case_types, reason = "the types are called as llama.cpp calls them")]
#[allow(missing_docs, reason = "the names are all that there is to say")]
pub enum FileType {
    #[value(name = "f32")]
    F32 = 0,
    #[value(name = "f16")]
    F16 = 1,
    #[value(name = "bf16")]
    BF16 = 32,
    #[value(name = "q8_0")]
    Q8_0 = 7,
    #[value(name = "q6_k")]
    Q6_K = 18,
    #[value(name = "q5_k_m")]
    Q5_K_M = 17,
    #[value(name = "q5_k_s")]
    Q5_K_S = 16,
    #[value(name = "q5_1")]
    Q5_1 = 9,
    #[value(name = "q5_0")]
    Q5_0 = 8,
    #[value(name = "q4_k_m")]
    Q4_K_M = 15,
    #[value(name = "q4_k_s")]
    Q4_K_S = 14,
    #[value(name = "q4_1")]
    Q4_1 = 3,
    #[value(name = "q4_0")]
    Q4_0 = 2,
    #[value(name = "iq4_nl")]
    IQ4_NL = 25,
    #[value(name = "q3_k_l")]
    Q3_K_L = 13,
    #[value(name = "q3_k_m")]
    Q3_K_M = 12,
    #[value(name = "q3_k_s")]
    Q3_K_S = 11,
    #[value(name = "q2_k")]
    Q2_K = 10,
}

/// What the choice depends on beside a tensor's name.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Number of layers.
    pub n_layer: usize,
    /// How many query heads share a head of keys and values.
    pub n_gqa: usize,
    /// Whether the output has weights of its own, and is not the embedding.
    pub has_output: bool,
}

impl Shape {
    /// Return that of the model in `gguf`.
    pub fn of(gguf: &Gguf<'_>) -> Result<Self> {
        let architecture = gguf.str("general.architecture")?.context("general.architecture is missing")?;
        let count = |key: &str| gguf.count(&format!("{architecture}.{key}"));
        let n_head = count("attention.head_count")?.unwrap_or(1);
        let n_head_kv = count("attention.head_count_kv")?.unwrap_or(n_head).max(1);
        let n_layer =
            count("block_count")?.with_context(|| format!("{architecture}.block_count is missing"))?;
        Ok(Self { n_layer, n_gqa: n_head / n_head_kv, has_output: gguf.has_tensor("output.weight") })
    }
}

impl FileType {
    /// Write what the file is made of into its `header`.
    pub fn describe(self, header: &mut Header) {
        header.set("general.file_type", self as u32);
        // GGML_QNT_VERSION: the layout of the blocks.
        header.set("general.quantization_version", 2_u32);
    }

    /// Return the type of most matrices.
    fn base(self) -> TensorType {
        match self {
            Self::F32 => TensorType::F32,
            Self::F16 => TensorType::F16,
            Self::BF16 => TensorType::BF16,
            Self::Q8_0 => TensorType::Q8_0,
            Self::Q4_0 => TensorType::Q4_0,
            Self::Q4_1 => TensorType::Q4_1,
            Self::Q5_0 => TensorType::Q5_0,
            Self::Q5_1 => TensorType::Q5_1,
            Self::IQ4_NL => TensorType::IQ4_NL,
            Self::Q2_K => TensorType::Q2_K,
            Self::Q3_K_S | Self::Q3_K_M | Self::Q3_K_L => TensorType::Q3_K,
            Self::Q4_K_S | Self::Q4_K_M => TensorType::Q4_K,
            Self::Q5_K_S | Self::Q5_K_M => TensorType::Q5_K,
            Self::Q6_K => TensorType::Q6_K,
        }
    }

    /// Return the type for the tensor `name` with the dimensions `dims`, the fastest first, of a model of `shape`.
    pub fn tensor_type(self, name: &str, dims: &[u64], shape: Shape) -> TensorType {
        // Vectors, and positions, which are added to what is otherwise exact, stay as they are.
        if dims.len() < 2 || !name.ends_with(".weight") || name == "position_embd.weight" {
            return TensorType::F32;
        }
        if !self.base().is_quantized() {
            return self.base();
        }
        let is_whole = |kind: TensorType| dims[0].is_multiple_of(kind.block_len() as u64);
        let is_output = name == if shape.has_output { "output.weight" } else { "token_embd.weight" };
        let wanted = match is_output {
            true if !is_whole(self.base()) => TensorType::Q8_0,
            true if self == Self::Q8_0 => TensorType::Q8_0,
            true => TensorType::Q6_K,
            false => self.of_layers(name, shape),
        };
        let other = match wanted {
            _ if is_whole(wanted) => wanted,
            TensorType::Q2_K | TensorType::Q3_K => TensorType::Q4_0,
            TensorType::Q4_K => TensorType::Q5_0,
            TensorType::Q5_K => TensorType::Q5_1,
            _ => TensorType::Q8_0,
        };
        if is_whole(other) { other } else { TensorType::F16 }
    }

    /// Return the type for the matrix `name` of a layer, if its rows are whole blocks.
    fn of_layers(self, name: &str, Shape { n_layer, n_gqa, .. }: Shape) -> TensorType {
        use TensorType::{Q3_K, Q4_K, Q5_K, Q6_K};
        let mut parts = name.split('.').skip(1);
        let layer = parts.next().and_then(|layer| layer.parse().ok()).unwrap_or(0);
        let matrix = parts.next().unwrap_or("");
        // The first and the last eighth of the layers, and each third of those between.
        let is_among_most_sensitive =
            layer < n_layer / 8 || layer >= 7 * n_layer / 8 || (layer - n_layer / 8) % 3 == 2;
        match (self, matrix) {
            (Self::Q2_K, "attn_v" | "attn_qkv") if n_gqa >= 4 => Q4_K,
            (Self::Q2_K, "attn_v" | "attn_qkv" | "ffn_down" | "attn_output") => Q3_K,
            (Self::Q3_K_M, "attn_v" | "attn_qkv") if layer < 2 => Q5_K,
            (Self::Q3_K_M, "ffn_down") if layer < n_layer / 16 => Q5_K,
            (Self::Q3_K_M, "attn_v" | "attn_qkv" | "ffn_down" | "attn_output") => Q4_K,
            (Self::Q3_K_L, "attn_v" | "attn_qkv" | "ffn_down" | "attn_output") => Q5_K,
            (Self::Q4_K_M | Self::Q5_K_M, "attn_v" | "attn_qkv" | "ffn_down") if is_among_most_sensitive => {
                Q6_K
            }
            (Self::Q4_K_S, "attn_v" | "attn_qkv") if layer < 4 => Q5_K,
            (Self::Q4_K_S, "ffn_down") if layer < n_layer / 8 => Q5_K,
            (Self::IQ4_NL, "attn_v" | "attn_qkv") if n_gqa >= 4 => Q5_K,
            (Self::IQ4_NL, "ffn_down") if layer < n_layer / 8 => Q5_K,
            _ => self.base(),
        }
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
