//! GGUF files made in memory, for tests (the feature `testing`).

use alloc::string::String;
use alloc::vec::Vec;

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
