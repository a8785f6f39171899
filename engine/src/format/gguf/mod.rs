//! GGUF, the file format of llama.cpp and of nearly every open model.
//!
//! Follows the specification in ggml's `docs/gguf.md`, versions 2 and 3, little-endian. A parsed [`Gguf`] only borrows:
//! strings, arrays and tensors are slices of the file, and each of them has been checked to lie inside it. What the
//! values mean (and whether they make sense) is for those who ask for them.

mod interleave;
mod reader;
mod value;

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use hashbrown::HashMap;

use crate::Error;
use crate::cpu::Kernels;
use crate::format::reader::Reader;
use crate::quant::{Groups, ROWS, RowLayout, TensorType, can_interleave};
pub use interleave::{Interleaving, Piece, interleave};
pub use reader::Entry;
use reader::Placed;
pub(crate) use value::Layout;
pub use value::{Array, Strings, Value};

/// More metadata and more tensors than any model has (a few thousand), and few enough that their descriptions fit
/// into a small machine.
const MAX_METADATA: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 16;

/// The alignment of tensor data where the file names none.
const DEFAULT_ALIGNMENT: u64 = 32;

/// A tensor of the file: its name, shape, type and bytes.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// The name.
    pub name: Cow<'a, str>,
    /// The dimensions, the fastest first: a matrix is `[n_in, n_out]`. Their product fits in 64 bits.
    pub shape: Vec<u64>,
    /// ggml's number of the type.
    pub ggml_type: u32,
    /// How the rows lie in `bytes`.
    pub layout: RowLayout,
    /// The weights, exactly as many bytes as the shape takes in a supported type; empty where the type is not supported.
    pub bytes: &'a [u8],
    /// The weights in place of `bytes`, where their scales lie apart; no GGUF file has such.
    pub groups: Option<Groups<'a>>,
}

impl Tensor<'_> {
    /// Return how many rows there are.
    fn n_rows(&self) -> usize {
        self.shape.iter().skip(1).product::<u64>() as usize
    }

    /// Return how many groups of rows are to be interleaved, so that `kernels` multiply them faster.
    fn n_groups_to_interleave(&self, kernels: &Kernels) -> usize {
        let n_in = self.shape.first().map_or(0, |&n_in| n_in as usize);
        let is_worth = |kind| kernels.interleaves(kind) && can_interleave(kind, n_in);
        match self.layout == RowLayout::Plain && self.kind().is_ok_and(is_worth) {
            true => self.n_rows() / ROWS,
            false => 0,
        }
    }

    /// Return the type of the weights in `bytes`.
    ///
    /// # Errors
    /// When it is not one that the engine computes with.
    pub fn kind(&self) -> Result<TensorType, Error> {
        TensorType::from_ggml(self.ggml_type).ok_or_else(|| Error::BadTensor {
            name: self.name.to_string(),
            expected: format!("one of {}", TensorType::SUPPORTED),
            found: format!("{} (ggml type {})", TensorType::ggml_name(self.ggml_type), self.ggml_type),
        })
    }

    /// Return how many bytes the weights take, their scales among them; none where the type is not supported.
    pub fn size_bytes(&self) -> u64 {
        self.groups.map_or(self.bytes.len() as u64, |groups| groups.size_bytes())
    }
}

/// A parsed file. Having one tells that metadata and tensors lie inside the file and that no name occurs twice.
///
/// What other formats hold is described in the same terms, so that the rest of the engine need not know of them.
#[derive(Debug)]
pub struct Gguf<'a> {
    pub(super) metadata: HashMap<&'a str, Value<'a>>,
    pub(super) tensors: HashMap<Cow<'a, str>, Tensor<'a>>,
    pub(super) file_bytes: u64,
}

impl<'a> Gguf<'a> {
    /// Return the description of `file`.
    ///
    /// # Errors
    /// When the file is not GGUF, of another version, cut short, or contradicts itself.
    pub fn parse(file: &'a [u8]) -> Result<Self, Error> {
        let (metadata, placed) = read(file)?;
        let mut tensors = HashMap::with_capacity(placed.len());
        for Placed { tensor, .. } in placed {
            if let Err(twice) = tensors.try_insert(tensor.name.clone(), tensor) {
                let what = format!("tensor {}", twice.value.name);
                return Err(bad_value(&what, "to occur once", "there twice"));
            }
        }
        Ok(Self { metadata, tensors, file_bytes: file.len() as u64 })
    }

    /// Return the length of the file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Return the tensor called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn tensor(&self, name: &str) -> Result<&Tensor<'a>, Error> {
        self.tensors.get(name).ok_or_else(|| Error::MissingTensor { name: name.to_string() })
    }

    /// Return whether there is a tensor called `name`.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Return whether `kernels` would multiply a matrix faster that is not interleaved yet.
    pub fn is_worth_interleaving(&self, kernels: &Kernels) -> bool {
        self.tensors().any(|tensor| tensor.n_groups_to_interleave(kernels) > 0)
    }

    /// Return all tensors, in no order.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor<'a>> {
        self.tensors.values()
    }

    /// Return the value of `key`, if it is there.
    pub fn value(&self, key: &str) -> Option<Value<'a>> {
        self.metadata.get(key).cloned()
    }

    /// Return the text under `key`, if it is there.
    ///
    /// # Errors
    /// When it is not text or not UTF-8.
    pub fn str(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(bytes)) => match core::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(bad_value(key, "UTF-8 text", readable(bytes))),
            },
            Some(other) => Err(bad_value(key, "text", other.to_string())),
        }
    }

    /// Return the non-negative integer under `key`, if it is there.
    ///
    /// # Errors
    /// When it is not an integer of 0 to 2^32 - 1, more than any count in a model.
    pub fn count(&self, key: &str) -> Result<Option<usize>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let count = match value {
            Value::Unsigned(value) => u32::try_from(value).ok(),
            Value::Signed(value) => u32::try_from(value).ok(),
            _ => None,
        };
        match count {
            Some(count) => Ok(Some(count as usize)),
            None => Err(bad_value(key, "an integer of 0 to 4294967295", value.to_string())),
        }
    }

    /// Return the float under `key`, if it is there.
    ///
    /// # Errors
    /// When it is not a float that is finite in 32 bits.
    pub fn float(&self, key: &str) -> Result<Option<f32>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Float(value)) if (value as f32).is_finite() => Ok(Some(value as f32)),
            Some(other) => Err(bad_value(key, "a finite float", other.to_string())),
        }
    }

    /// Return the truth value under `key`, if it is there.
    ///
    /// # Errors
    /// When it is something else.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(bad_value(key, "a truth value", other.to_string())),
        }
    }

    /// Return the texts under `key`.
    ///
    /// # Errors
    /// When they are missing or something else.
    pub fn strings(&self, key: &str) -> Result<Strings<'a>, Error> {
        match self.value(key) {
            None => Err(Error::MissingKey { key: key.to_string() }),
            Some(Value::Strings(strings)) => Ok(strings),
            Some(other) => Err(bad_value(key, "an array of texts", other.to_string())),
        }
    }
}

/// Return the metadata of `file` in their order, each value as the file encodes it, for one who copies them.
///
/// # Errors
/// When the file is not GGUF, of another version, cut short within them, or contradicts itself.
pub fn entries(file: &[u8]) -> Result<Vec<Entry<'_>>, Error> {
    let (mut reader, _, n_metadata) = open(file)?;
    (0..n_metadata).map(|_| reader.entry()).collect()
}

/// Return the metadata and the tensors of `file`.
fn read(file: &[u8]) -> Result<(HashMap<&str, Value<'_>>, Vec<Placed<'_>>), Error> {
    let (mut reader, n_tensors, n_metadata) = open(file)?;
    let metadata = reader.metadata(n_metadata)?;
    let alignment = match metadata.get("general.alignment") {
        None => DEFAULT_ALIGNMENT,
        Some(&Value::Unsigned(alignment)) if alignment.is_power_of_two() => alignment,
        Some(other) => {
            return Err(bad_value("general.alignment", "a power of two", other.to_string()));
        }
    };
    let tensors = reader.tensors(n_tensors, alignment)?;
    Ok((metadata, tensors))
}

/// Return a reader that stands before the metadata of `file`, and how many tensors and metadata there are.
fn open(file: &[u8]) -> Result<(Reader<'_>, u64, u64), Error> {
    let mut reader = Reader { file, at: 0 };
    if file.get(..4) != Some(b"GGUF") {
        let found = readable(&file[..file.len().min(4)]);
        return Err(Error::UnknownFormat { found, file_bytes: file.len() as u64 });
    }
    reader.at = 4;
    let version = reader.u32("the version")?;
    if !(2..=3).contains(&version) {
        return Err(Error::UnsupportedVersion { found: version });
    }
    let n_tensors = reader.u64("the tensor count")?;
    let n_metadata = reader.u64("the metadata count")?;
    for (what, count, most) in
        [("the tensor count", n_tensors, MAX_TENSORS), ("the metadata count", n_metadata, MAX_METADATA)]
    {
        if count > most {
            return Err(bad_value(what, &format!("at most {most}"), count.to_string()));
        }
    }
    Ok((reader, n_tensors, n_metadata))
}

/// Return `value` or the error that `key` is missing.
pub(crate) fn required<T>(key: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::MissingKey { key: key.to_string() })
}

/// Return the error for a value that may not be as it is.
pub(crate) fn bad_value(what: &str, expected: &str, found: impl AsRef<str>) -> Error {
    let [what, expected, found] = [what, expected, found.as_ref()].map(|text| readable(text.as_bytes()));
    Error::BadValue { what, expected, found }
}

/// Return `bytes` of the file as they may stand in a message: cut to a readable length, and free of control characters.
pub(crate) fn readable(bytes: &[u8]) -> String {
    const READABLE: usize = 120;
    let cut = if bytes.len() > READABLE { "..." } else { "" };
    let shown = &bytes[..bytes.len().min(READABLE)];
    let text: String = String::from_utf8_lossy(shown)
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    text + cut
}
