//! Model files: byte slices in, a description of what lies where out. Nothing here trusts a byte.
//!
//! [`models`] finds the models among all files that there are; [`gguf`] and [`llama2c`] read one format each.

mod files;
pub mod gguf;
pub mod llama2c;
mod reader;
mod split;

pub use files::{File, Found, models};
