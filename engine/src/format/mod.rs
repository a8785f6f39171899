//! Model files: a byte slice in, a description of what lies where out. Nothing here trusts a byte.

pub mod gguf;
