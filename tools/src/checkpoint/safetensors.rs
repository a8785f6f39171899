//! Hugging Face's SafeTensors, which the crate of that name reads.

use std::sync::Arc;

use anyhow::{Context, Result};
use engine::quant::TensorType;
use safetensors::{Dtype, SafeTensors};

use super::{Stored, Tensors};
use crate::mapped::MappedFile;

/// Return the tensors of `file`.
pub(super) fn read(file: &Arc<MappedFile>) -> Result<Tensors> {
    let described =
        SafeTensors::deserialize(file).context("this is not a whole SafeTensors file; fetch it again")?;
    let stored = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
        let kind = match view.dtype() {
            Dtype::F32 => Some(TensorType::F32),
            Dtype::F16 => Some(TensorType::F16),
            Dtype::BF16 => Some(TensorType::BF16),
            _ => None,
        };
        let offset = file.offset_of(view.data());
        (name.to_string(), Stored { shape: view.shape().to_vec(), file: Arc::clone(file), offset, kind })
    };
    Ok(described.iter().map(stored).collect())
}
