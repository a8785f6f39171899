//! What stands before the weights, and where each tensor's will lie.

use anyhow::{Context, Result, bail, ensure};
use engine::format::gguf::{self, Tensor};
use engine::quant::TensorType;

use super::value::{Element, Value};

/// What every tensor's data begin at a multiple of, in bytes, where a file names nothing else.
const ALIGNMENT: u64 = 32;

/// The most dimensions that a tensor may have (`GGML_MAX_DIMS`).
const MAX_DIMS: usize = 4;

/// The key under which a file names something else. This writer does not, so that a copy leaves it out.
const ALIGNMENT_KEY: &str = "general.alignment";

/// The metadata of a file, and the descriptions of its tensors, in their order.
#[derive(Clone, Debug, Default)]
pub struct Header {
    metadata: Vec<(String, Value)>,
    tensors: Vec<TensorInfo>,
}

/// What a header says of a tensor, and how many bytes its weights take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name.
    pub name: String,
    /// The dimensions, the fastest first: a matrix is `[n_in, n_out]`.
    pub shape: Vec<u64>,
    /// ggml's number of the type.
    pub ggml_type: u32,
    /// How many bytes the weights take.
    pub n_bytes: u64,
}

impl TensorInfo {
    /// Return the description of a tensor whose weights will be of the type `kind`.
    ///
    /// # Errors
    /// When its rows are not whole blocks of this type.
    pub fn new(name: &str, shape: &[u64], kind: TensorType) -> Result<Self> {
        let block_len = kind.block_len() as u64;
        let Some(&row) = shape.first().filter(|_| shape.len() <= MAX_DIMS) else {
            bail!("tensor {name}: {} dimensions, and GGUF has 1 to {MAX_DIMS}", shape.len())
        };
        ensure!(
            row.is_multiple_of(block_len),
            "tensor {name}: {kind} needs rows of a multiple of {block_len} weights, and these have {row}"
        );
        let n_bytes = shape
            .iter()
            .try_fold(1_u64, |product, &dim| product.checked_mul(dim))
            .and_then(|n_weights| (n_weights / block_len).checked_mul(kind.block_bytes() as u64))
            .filter(|&n_bytes| n_bytes > 0)
            .with_context(|| {
                format!("tensor {name}: {shape:?} are no weights, or more than any file holds")
            })?;
        Ok(Self { name: name.to_string(), shape: shape.to_vec(), ggml_type: kind as u32, n_bytes })
    }

    /// Return the description of `tensor`, which stays as it is.
    ///
    /// # Errors
    /// When it is of a type that the engine does not have, so that nobody knows how many bytes it takes.
    pub fn of(tensor: &Tensor<'_>) -> Result<Self> {
        Self::new(&tensor.name, &tensor.shape, tensor.kind()?)
    }
}

impl Header {
    /// Return a header with the metadata of `file`, a GGUF file, as they stand there, and without tensors.
    ///
    /// # Errors
    /// When the file is none.
    pub fn with_metadata_of(file: &[u8]) -> Result<Self> {
        let entries = gguf::entries(file)?;
        let kept = entries.iter().filter(|entry| entry.key != ALIGNMENT_KEY);
        let metadata = kept.map(|entry| (entry.key.to_string(), Value(entry.bytes.to_vec()))).collect();
        Ok(Self { metadata, tensors: Vec::new() })
    }

    /// Write `value` under `key`, in place of the one that is there, if there is one.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.metadata.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value,
            None => self.metadata.push((key.to_string(), value)),
        }
    }

    /// Take away what stands under `key`, if something does.
    pub fn remove(&mut self, key: &str) {
        self.metadata.retain(|(known, _)| known != key);
    }

    /// Add a tensor behind the others.
    pub fn add_tensor(&mut self, tensor: TensorInfo) {
        self.tensors.push(tensor);
    }

    /// Return the tensors in order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Return how many bytes the file will have.
    pub fn file_bytes(&self) -> u64 {
        let data: u64 = self.tensors.iter().map(|tensor| tensor.n_bytes.next_multiple_of(ALIGNMENT)).sum();
        self.encode().len() as u64 + data
    }

    /// Return the file's bytes before the first weight.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        3_u32.encode(&mut bytes);
        (self.tensors.len() as u64).encode(&mut bytes);
        (self.metadata.len() as u64).encode(&mut bytes);
        for (key, value) in &self.metadata {
            key.encode(&mut bytes);
            bytes.extend(&value.0);
        }
        let mut offset = 0_u64;
        for tensor in &self.tensors {
            tensor.name.encode(&mut bytes);
            (tensor.shape.len() as u32).encode(&mut bytes);
            tensor.shape.iter().for_each(|dim| dim.encode(&mut bytes));
            tensor.ggml_type.encode(&mut bytes);
            offset.encode(&mut bytes);
            offset += tensor.n_bytes.next_multiple_of(ALIGNMENT);
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
        bytes
    }
}

/// Return how many bytes lie between the end of `n_bytes` of weights and the next tensor.
pub(super) fn padding(n_bytes: u64) -> u64 {
    n_bytes.next_multiple_of(ALIGNMENT) - n_bytes
}
