//! The values of GGUF metadata.

use alloc::borrow::Cow;
use core::fmt;

use super::readable;

/// A metadata value.
#[derive(Clone, PartialEq)]
pub enum Value<'a> {
    /// An unsigned integer of 8 to 64 bits.
    Unsigned(u64),
    /// A signed integer of 8 to 64 bits.
    Signed(i64),
    /// A float of 32 or 64 bits.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text, which should be UTF-8.
    String(&'a [u8]),
    /// A list of numbers or truth values.
    Array(Array<'a>),
    /// A list of texts.
    Strings(Strings<'a>),
}

/// As a message names it: short, however long the value is.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::String(bytes) => write!(f, "\"{}\"", readable(bytes)),
            Self::Array(array) => write!(f, "an array of {} numbers", array.iter().len()),
            Self::Strings(strings) => write!(f, "an array of {} texts", strings.len()),
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The numbers of a metadata array, not decoded yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<'a> {
    pub(super) element: ValueType,
    pub(super) bytes: Cow<'a, [u8]>,
}

impl Array<'_> {
    /// Return an array of floats that no file has in one piece.
    pub(crate) fn of_floats(values: impl Iterator<Item = f32>) -> Self {
        Self { element: ValueType::Float(4), bytes: values.flat_map(f32::to_le_bytes).collect() }
    }

    /// Return an array of small integers that no file has in one piece.
    pub(crate) fn of_bytes(values: impl Iterator<Item = u8>) -> Self {
        Self { element: ValueType::Unsigned(1), bytes: values.collect() }
    }

    /// Return the values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'static>> {
        let element = self.element;
        self.bytes.chunks_exact(element.size()).map(move |bytes| element.decode(bytes))
    }
}

/// The texts of a metadata array; having one tells that every text lies inside the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strings<'a> {
    pub(crate) len: usize,
    pub(crate) bytes: &'a [u8],
    pub(crate) layout: Layout,
}

/// What stands before each text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layout {
    /// Its length in 64 bits.
    Gguf,
    /// A float, and the text's length in 32 bits: tokens with their scores, as llama2.c writes them.
    Llama2c,
}

impl<'a> Strings<'a> {
    /// Return how many texts there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Return whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Return the texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (mut rest, layout) = (self.bytes, self.layout);
        (0..self.len).map_while(move |_| {
            let (head, after) = rest.split_first_chunk::<8>()?;
            let head = u64::from_le_bytes(*head);
            let len = match layout {
                Layout::Gguf => head,
                Layout::Llama2c => head >> 32,
            };
            let (text, after) = after.split_at_checked(usize::try_from(len).ok()?)?;
            rest = after;
            Some(text)
        })
    }
}

/// The type of a scalar metadata value (`enum gguf_metadata_value_type`, without string and array).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ValueType {
    Unsigned(usize),
    Signed(usize),
    Float(usize),
    Bool,
}

impl ValueType {
    pub(super) const STRING: u32 = 8;
    pub(super) const ARRAY: u32 = 9;

    pub(super) fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::Unsigned(1),
            1 => Self::Signed(1),
            2 => Self::Unsigned(2),
            3 => Self::Signed(2),
            4 => Self::Unsigned(4),
            5 => Self::Signed(4),
            6 => Self::Float(4),
            7 => Self::Bool,
            10 => Self::Unsigned(8),
            11 => Self::Signed(8),
            12 => Self::Float(8),
            _ => return None,
        })
    }

    pub(super) fn size(self) -> usize {
        match self {
            Self::Unsigned(size) | Self::Signed(size) | Self::Float(size) => size,
            Self::Bool => 1,
        }
    }

    /// Return the value in `bytes`, of which there are `self.size()`.
    pub(super) fn decode<'a>(self, bytes: &[u8]) -> Value<'a> {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let unsigned = u64::from_le_bytes(wide);
        match self {
            Self::Unsigned(_) => Value::Unsigned(unsigned),
            Self::Signed(size) => {
                let shift = 64 - 8 * size;
                Value::Signed(((unsigned << shift) as i64) >> shift)
            }
            Self::Float(4) => Value::Float(f64::from(f32::from_bits(unsigned as u32))),
            Self::Float(_) => Value::Float(f64::from_bits(unsigned)),
            Self::Bool => Value::Bool(unsigned != 0),
        }
    }
}
