//! The inner loops for AVX-512 with VNNI: the products of [`interleaved`] rows. The others are those of AVX2.

mod interleaved;
mod unpack;

pub(super) use interleaved::mul_mat_interleaved;
