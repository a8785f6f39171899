//! Reading GGUF from its first byte to its last.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::value::{Array, Layout, Strings, Value, ValueType};
use super::{Tensor, bad_value, readable};
use crate::Error;
use crate::format::reader::Reader;
use crate::quant::{RowLayout, TensorType, can_interleave};

/// A dimension count that no tensor exceeds (`GGML_MAX_DIMS`).
const MAX_DIMS: u32 = 4;

/// The longest name of a tensor (`GGML_MAX_NAME`), and the longest key (docs/gguf.md), in bytes.
const MAX_TENSOR_NAME: usize = 64;
const MAX_KEY: usize = (1 << 16) - 1;

/// A tensor, and where what concerns it lies.
pub(super) struct Placed<'a> {
    pub(super) tensor: Tensor<'a>,
    /// Where its type number lies in the file.
    pub(super) type_at: usize,
    /// Where its bytes begin in the data section.
    offset: u64,
    /// Where its bytes begin in the file, if its type is supported.
    pub(super) start: usize,
}

/// A metadata value as a file encodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The key.
    pub key: &'a str,
    /// The number of its type (`enum gguf_metadata_value_type`), and what that has behind it.
    pub bytes: &'a [u8],
}

/// What GGUF is made of.
impl<'a> Reader<'a> {
    fn bytes(&mut self, what: &str) -> Result<&'a [u8], Error> {
        let len = self.u64(what)?;
        self.take(len, what)
    }

    fn name(&mut self, what: &str, longest: usize) -> Result<&'a str, Error> {
        let bytes = self.bytes(what)?;
        match core::str::from_utf8(bytes) {
            Ok(name) if name.len() <= longest => Ok(name),
            _ => Err(bad_value(what, &format!("UTF-8 text of at most {longest} bytes"), readable(bytes))),
        }
    }

    pub(super) fn metadata(&mut self, count: u64) -> Result<HashMap<&'a str, Value<'a>>, Error> {
        let mut metadata = HashMap::new();
        for _ in 0..count {
            let key = self.name("a metadata key", MAX_KEY)?;
            let value = self.value(key)?;
            if metadata.insert(key, value).is_some() {
                return Err(bad_value(key, "to occur once", "there twice"));
            }
        }
        Ok(metadata)
    }

    /// Return the next metadata value, not decoded.
    pub(super) fn entry(&mut self) -> Result<Entry<'a>, Error> {
        let key = self.name("a metadata key", MAX_KEY)?;
        let start = self.at;
        self.value(key)?;
        Ok(Entry { key, bytes: &self.file[start..self.at] })
    }

    fn value(&mut self, key: &str) -> Result<Value<'a>, Error> {
        let id = self.u32(key)?;
        match id {
            ValueType::STRING => Ok(Value::String(self.bytes(key)?)),
            ValueType::ARRAY => self.array(key),
            _ => {
                let kind = scalar(key, id)?;
                Ok(kind.decode(self.take(kind.size() as u64, key)?))
            }
        }
    }

    fn array(&mut self, key: &str) -> Result<Value<'a>, Error> {
        let id = self.u32(key)?;
        let len = self.u64(key)?;
        if id == ValueType::STRING {
            let start = self.at;
            for _ in 0..len {
                self.bytes(key)?;
            }
            // Each text took eight bytes at least, so that their count fits.
            let bytes = &self.file[start..self.at];
            return Ok(Value::Strings(Strings { len: len as usize, bytes, layout: Layout::Gguf }));
        }
        let element = scalar(key, id)?;
        let bytes = self.take(len.saturating_mul(element.size() as u64), key)?;
        Ok(Value::Array(Array { element, bytes: Cow::Borrowed(bytes) }))
    }

    /// Return the tensors, and where they lie.
    pub(super) fn tensors(&mut self, count: u64, alignment: u64) -> Result<Vec<Placed<'a>>, Error> {
        let mut tensors = Vec::new();
        for _ in 0..count {
            tensors.push(self.tensor_info()?);
        }
        let data_start = (self.at as u64).next_multiple_of(alignment);
        for Placed { tensor, offset, start, .. } in &mut tensors {
            if !offset.is_multiple_of(alignment) {
                let what = format!("the offset of tensor {}", tensor.name);
                return Err(bad_value(&what, &format!("a multiple of {alignment}"), offset.to_string()));
            }
            if let Some(kind) = TensorType::from_ggml(tensor.ggml_type) {
                let n_bytes = tensor_bytes(tensor, kind)?;
                let first = data_start.saturating_add(*offset);
                self.at = usize::try_from(first).unwrap_or(usize::MAX).min(self.file.len());
                *start = self.at;
                tensor.bytes = self.take(n_bytes, &format!("tensor {}", tensor.name))?;
            }
        }
        Ok(tensors)
    }

    /// Return a tensor without its bytes.
    fn tensor_info(&mut self) -> Result<Placed<'a>, Error> {
        let name = self.name("a tensor's name", MAX_TENSOR_NAME)?;
        let n_dims = self.u32(name)?;
        if !(1..=MAX_DIMS).contains(&n_dims) {
            let what = format!("the dimension count of tensor {name}");
            return Err(bad_value(&what, &format!("1 to {MAX_DIMS}"), n_dims.to_string()));
        }
        let mut shape = Vec::with_capacity(n_dims as usize);
        for _ in 0..n_dims {
            shape.push(self.u64(name)?);
        }
        let n_elements = shape.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim));
        if matches!(n_elements, None | Some(0)) {
            let what = format!("the shape of tensor {name}");
            return Err(bad_value(&what, "at least 1 and below 2^64 elements", format!("{shape:?}")));
        }
        let type_at = self.at;
        let (ggml_type, layout) = RowLayout::split(self.u32(name)?);
        let offset = self.u64(name)?;
        let tensor = Tensor { name: Cow::Borrowed(name), shape, ggml_type, layout, bytes: &[], groups: None };
        Ok(Placed { tensor, type_at, offset, start: 0 })
    }
}

fn scalar(key: &str, id: u32) -> Result<ValueType, Error> {
    ValueType::from_id(id).ok_or_else(|| {
        bad_value(&format!("the type of {key}"), "a GGUF value type (no nested arrays)", id.to_string())
    })
}

/// Return how many bytes the tensor takes in the type `kind`.
fn tensor_bytes(tensor: &Tensor<'_>, kind: TensorType) -> Result<u64, Error> {
    let block_len = kind.block_len() as u64;
    let row = tensor.shape[0];
    if !row.is_multiple_of(block_len) {
        return Err(Error::BadTensor {
            name: tensor.name.to_string(),
            expected: format!("rows of a multiple of {block_len} weights, as {kind} has them"),
            found: format!("{row} wide"),
        });
    }
    if tensor.layout == RowLayout::Interleaved && !can_interleave(kind, row as usize) {
        return Err(Error::BadTensor {
            name: tensor.name.to_string(),
            expected: format!("rows of an even number of weights, as interleaved {kind} has them"),
            found: format!("{row} wide"),
        });
    }
    // The product was checked when the shape was read; the bytes of one weight are at most four.
    let n_blocks = tensor.shape.iter().product::<u64>() / block_len;
    Ok(n_blocks.saturating_mul(kind.block_bytes() as u64))
}
