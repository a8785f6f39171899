//! Metadata values, encoded.

/// A metadata value as a file holds it: the number of its type, and what that has behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(pub(super) Vec<u8>);

/// What a metadata value may be, alone or as the element of an array.
pub trait Element {
    /// The type's number (`enum gguf_metadata_value_type`).
    const TYPE: u32;

    /// Add the value to `bytes`.
    fn encode(&self, bytes: &mut Vec<u8>);
}

/// The number of the type of arrays.
const ARRAY: u32 = 9;

macro_rules! numbers {
    ($($number:ty = $kind:literal),*) => {
        $(impl Element for $number {
            const TYPE: u32 = $kind;

            fn encode(&self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
        })*
    };
}

numbers!(u8 = 0, i8 = 1, u16 = 2, i16 = 3, u32 = 4, i32 = 5, f32 = 6, u64 = 10, i64 = 11, f64 = 12);

impl Element for bool {
    const TYPE: u32 = 7;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(*self));
    }
}

impl Element for str {
    const TYPE: u32 = 8;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend((self.len() as u64).to_le_bytes());
        bytes.extend(self.as_bytes());
    }
}

impl Element for String {
    const TYPE: u32 = str::TYPE;

    fn encode(&self, bytes: &mut Vec<u8>) {
        self.as_str().encode(bytes);
    }
}

impl<T: Element> From<T> for Value {
    fn from(value: T) -> Self {
        let mut bytes = T::TYPE.to_le_bytes().to_vec();
        value.encode(&mut bytes);
        Self(bytes)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::from(text.to_string())
    }
}

impl<T: Element> From<&[T]> for Value {
    fn from(values: &[T]) -> Self {
        let mut bytes = ARRAY.to_le_bytes().to_vec();
        bytes.extend(T::TYPE.to_le_bytes());
        bytes.extend((values.len() as u64).to_le_bytes());
        for value in values {
            value.encode(&mut bytes);
        }
        Self(bytes)
    }
}
