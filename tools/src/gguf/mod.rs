//! Writing GGUF files, version 3, as ggml's `docs/gguf.md` specifies them. The engine reads them.
//!
//! A [`Header`] says everything that is known before the first weight: metadata, and each tensor's name, shape and type. A
//! [`Writer`] then takes the weights as they come, so that no model has to fit into memory, and the file appears under its
//! name when the last of them is there.

mod header;
mod value;
mod writer;

pub use header::{Header, TensorInfo};
pub use value::{Element, Value};
pub use writer::Writer;
