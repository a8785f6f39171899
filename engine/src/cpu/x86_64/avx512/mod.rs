//! The inner loops for AVX-512 with VNNI: the products of [`interleaved`] rows, and those in [`attention`]. The others are AVX2's.

mod attention;
mod interleaved;
mod unpack;

pub(super) use attention::attend;
pub(super) use interleaved::mul_mat_interleaved;
