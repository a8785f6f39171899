//! The inner loops for SSE4.1: the products of [`interleaved`] rows. The others are the portable ones.

mod interleaved;
mod unpack;

pub(super) use interleaved::{interleaves, mul_mat_interleaved};
