//! Model files made in memory, a model of known answers, and cores without threads, for tests (the feature `testing`).

mod chain_model;

use alloc::string::String;
use alloc::vec::Vec;

pub use chain_model::ChainModel;

use crate::platform::Workers;
use crate::quant::TensorType;

/// Cores that take their turns on one.
#[derive(Clone, Copy, Debug)]
pub struct InTurn(
    /// How many there are.
    pub usize,
);

impl Workers for InTurn {
    fn count(&self) -> usize {
        self.0
    }

    fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        (0..self.0).for_each(task);
    }
}

/// The types of metadata values that tests write (`enum gguf_metadata_value_type`).
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Where tensor data may begin.
const ALIGNMENT: usize = 32;

/// A GGUF file in the making.
#[derive(Clone, Debug, Default)]
pub struct GgufWriter {
    n_metadata: u64,
    metadata: Vec<u8>,
    n_tensors: u64,
    tensors: Vec<u8>,
    data: Vec<u8>,
}

impl GgufWriter {
    /// Add the metadata `key` with a value of the type number `kind`.
    pub fn value(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.n_metadata += 1;
        self.metadata.extend(text(key.as_bytes()));
        self.metadata.extend(kind.to_le_bytes());
        self.metadata.extend(value);
    }

    /// Add an unsigned integer.
    pub fn u32(&mut self, key: &str, value: u32) {
        self.value(key, U32, &value.to_le_bytes());
    }

    /// Add a signed integer.
    pub fn i32(&mut self, key: &str, value: i32) {
        self.value(key, I32, &value.to_le_bytes());
    }

    /// Add a float.
    pub fn f32(&mut self, key: &str, value: f32) {
        self.value(key, F32, &value.to_le_bytes());
    }

    /// Add a truth value.
    pub fn bool(&mut self, key: &str, value: bool) {
        self.value(key, BOOL, &[u8::from(value)]);
    }

    /// Add a text.
    pub fn string(&mut self, key: &str, value: &str) {
        self.value(key, STRING, &text(value.as_bytes()));
    }

    /// Add a list of texts.
    pub fn strings(&mut self, key: &str, values: &[String]) {
        let values: Vec<Vec<u8>> = values.iter().map(|value| text(value.as_bytes())).collect();
        self.array(key, STRING, values.len(), &values.concat());
    }

    /// Add a list of signed integers.
    pub fn i32s(&mut self, key: &str, values: &[i32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.array(key, I32, values.len(), &bytes);
    }

    /// Add a list of floats.
    pub fn f32s(&mut self, key: &str, values: &[f32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.array(key, F32, values.len(), &bytes);
    }

    fn array(&mut self, key: &str, kind: u32, len: usize, values: &[u8]) {
        self.value(key, ARRAY, &[&kind.to_le_bytes(), &(len as u64).to_le_bytes()[..], values].concat());
    }

    /// Add a tensor of ggml's type number `ggml_type`, its dimensions the fastest first.
    pub fn tensor(&mut self, name: &str, shape: &[u64], ggml_type: u32, data: &[u8]) {
        self.n_tensors += 1;
        self.tensors.extend(text(name.as_bytes()));
        self.tensors.extend((shape.len() as u32).to_le_bytes());
        self.tensors.extend(shape.iter().flat_map(|dim| dim.to_le_bytes()));
        self.tensors.extend(ggml_type.to_le_bytes());
        self.tensors.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(data);
        self.data.resize(self.data.len().next_multiple_of(ALIGNMENT), 0);
    }

    /// Add a tensor of floats.
    pub fn tensor_f32(&mut self, name: &str, shape: &[u64], values: impl IntoIterator<Item = f32>) {
        let data: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.tensor(name, shape, 0, &data);
    }

    /// Return the file, of version 3.
    pub fn file(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend(self.n_tensors.to_le_bytes());
        file.extend(self.n_metadata.to_le_bytes());
        file.extend(&self.metadata);
        file.extend(&self.tensors);
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend(&self.data);
        file
    }
}

/// Return `bytes` as a GGUF string: the length comes first.
fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
}

/// A model file of llama2.c in the making: the fields of its header, and whether the embedding also makes the logits.
#[derive(Clone, Copy, Debug)]
pub struct Llama2cWriter {
    /// `dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len`.
    pub header: [i32; 7],
    /// Whether there are no weights for the output alone.
    pub is_shared: bool,
}

impl Llama2cWriter {
    /// Return the file of version 0, 1 or 2 whose weights are `weight(tensor, layer, index)`.
    pub fn file(&self, version: u32, weight: impl Fn(&str, usize, usize) -> f32) -> Vec<u8> {
        let [dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len] =
            self.header.map(|field| field as usize);
        let kv_dim = dim / n_heads * n_kv_heads;
        let mut header = self.header;
        if version == 0 && !self.is_shared {
            header[5] = -header[5];
        }
        // As version2_export in export.py does it.
        let mut group_len = 64;
        while !dim.is_multiple_of(group_len) {
            group_len /= 2;
        }
        let mut file = Vec::new();
        if version > 0 {
            file.extend(0x616b_3432_u32.to_le_bytes());
            file.extend(version.to_le_bytes());
        }
        file.extend(header.iter().flat_map(|field| field.to_le_bytes()));
        if version > 0 {
            file.push(self.is_shared.into());
            if version == 2 {
                file.extend((group_len as u32).to_le_bytes());
            }
            file.resize(256, 0);
        }
        let embedding = ("tok_embeddings", 1, vocab_size * dim);
        let norms = [("attention_norm", n_layers, dim), ("ffn_norm", n_layers, dim), ("norm", 1, dim)];
        let attention = [
            ("wq", n_layers, dim * dim),
            ("wk", n_layers, dim * kv_dim),
            ("wv", n_layers, dim * kv_dim),
            ("wo", n_layers, dim * dim),
        ];
        let feed_forward = ["w1", "w2", "w3"].map(|name| (name, n_layers, dim * hidden_dim));
        let rotations = ("freqs_cis", 1, dim / n_heads * seq_len);
        // The order of legacy_export, and of version1_export and version2_export.
        let mut order = Vec::new();
        if version == 0 {
            order.extend([embedding, norms[0]]);
            order.extend(attention);
            order.push(norms[1]);
            order.extend(feed_forward);
            order.extend([norms[2], rotations]);
        } else {
            order.extend(norms);
            order.push(embedding);
            order.extend(attention);
            order.extend(feed_forward);
        }
        if !self.is_shared {
            order.push(("output", 1, vocab_size * dim));
        }
        for (name, n_layers, len) in order {
            for layer in 0..n_layers {
                let weights = (0..len).map(|i| weight(name, layer, i));
                match version == 2 && !name.ends_with("norm") {
                    true => file.extend(quantize_q80(&weights.collect::<Vec<f32>>(), group_len)),
                    false => file.extend(weights.flat_map(f32::to_le_bytes)),
                }
            }
        }
        file
    }
}

/// Return `weights` in groups of 8-bit numbers, and their scales behind them, as quantize_q80 in export.py does it.
fn quantize_q80(weights: &[f32], group_len: usize) -> Vec<u8> {
    let (mut quants, mut scales) = (Vec::new(), Vec::new());
    for group in weights.chunks(group_len) {
        let scale = group.iter().fold(0_f32, |max, weight| max.max(weight.abs())) / 127.0;
        quants.extend(group.iter().map(|weight| libm::rintf(weight / scale) as i8 as u8));
        scales.extend(scale.to_le_bytes());
    }
    quants.extend(scales);
    quants
}

/// Return a tokenizer file of llama2.c with `pieces` and their scores.
pub fn llama2c_tokenizer<'p>(pieces: impl IntoIterator<Item = (&'p [u8], f32)> + Clone) -> Vec<u8> {
    let longest = pieces.clone().into_iter().map(|(piece, _)| piece.len()).max().unwrap_or(0);
    let mut file = (longest as u32).to_le_bytes().to_vec();
    for (piece, score) in pieces {
        file.extend(score.to_le_bytes());
        file.extend((piece.len() as u32).to_le_bytes());
        file.extend(piece);
    }
    file
}

/// Return where the binary16 scales are in a block.
pub fn scales_at(kind: TensorType) -> &'static [usize] {
    match kind {
        TensorType::F32 | TensorType::F16 | TensorType::BF16 => &[],
        TensorType::Q8_0 | TensorType::Q4_0 | TensorType::Q5_0 | TensorType::IQ4_NL => &[0],
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => &[0, 2],
        TensorType::Q2_K => &[80, 82],
        TensorType::Q3_K => &[108],
        TensorType::Q6_K => &[208],
    }
}
