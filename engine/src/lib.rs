//! The mathematics of bootlm: a model file in, tokens out.
//!
//! 1. **It runs anywhere.** `no_std` and `alloc`; what it needs of a host (a clock, cores, a seed) comes through the
//!    traits of [`platform`]. The kernel and the host tools run the very same code.
//! 2. **It trusts no byte of a file.** Whatever is wrong with one is an [`Error`] that carries the facts.
//! 3. **It copies no weights.** A [`model::Model`] borrows the file.
//! 4. **It allocates before it computes.** A forward pass writes on scratch that its [`session::Session`] allocated.
//! 5. **It is fast in integers.** Quantized weights meet activations quantized to 8 bits; which inner loops do it is
//!    chosen once, in [`cpu`].
//!
//! It prints nothing, reads no clock by itself, and holds no state outside its values.
//!
//! From file to token: [`format`] → [`model`] and [`tokenizer`] → [`chat`] → [`session`] → [`sampler`]; [`generation`]
//! makes an answer of the last two, one that a [`grammar`] matches if that is wanted.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod attention;
pub mod chat;
#[allow(unsafe_code, reason = "the vector loops of cpu/x86_64")]
pub mod cpu;
mod error;
pub mod format;
pub mod generation;
pub mod grammar;
mod kv_cache;
mod memory;
pub mod model;
mod ops;
mod parallel;
pub mod platform;
pub mod quant;
pub mod sampler;
pub mod session;
pub mod speculative;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tokenizer;

pub use error::Error;

/// A token: its number in the vocabulary.
pub type Token = u32;
