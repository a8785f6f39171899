//! The inner loops, once per instruction set, and the table that picks one set at start.
//!
//! [`generic`] is portable, always callable, and the oracle that every other set is tested against. A faster set is
//! reachable only through [`Kernels::of`], which asks the processor (and whether the operating system, or our
//! kernel, keeps the registers) first.

mod generic;
mod swar;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use core::fmt;

use half::f16;
use zerocopy::little_endian::F32;

use crate::quant::{BlockQ4_0, BlockQ4_1, BlockQ8_0, BlockQ8_1, QK};

/// An instruction set that the engine has inner loops for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// What the compiler's baseline has.
    Generic,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// The baseline where QEMU emulates it: quantized products in whole numbers.
    GenericEmulated,
    /// AVX2 where QEMU emulates it: quantized products in whole numbers.
    Avx2Emulated,
}

impl Isa {
    /// Return the best set that this processor runs.
    pub fn detect() -> Self {
        Kernels::detect().isa
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generic => "generic",
            Self::Avx2 => "AVX2",
            Self::GenericEmulated => "generic, emulated",
            Self::Avx2Emulated => "AVX2, emulated",
        })
    }
}

/// `mul_mat(w (n_rows, n_blocks), x (n_tokens, n_blocks), n_blocks, out (n_tokens, n_rows))`.
type MulMat<B> = fn(&[B], &[BlockQ8_1], usize, &mut [f32]);

/// One instruction set's inner loops. Having one tells that this processor runs them.
pub struct Kernels {
    isa: Isa,
    mul_mat_f32: fn(&[F32], &[f32], usize, &mut [f32]),
    mul_mat_q4_0_q8_1: MulMat<BlockQ4_0>,
    mul_mat_q4_1_q8_1: MulMat<BlockQ4_1>,
    mul_mat_q8_0_q8_1: MulMat<BlockQ8_0>,
    quantize_q8_1: fn(&[f32], &mut [BlockQ8_1]),
    attend: fn(&[f32], &[f16], &[f16], f32, &mut [f32], &mut [f32]),
    softmax: fn(&mut [f32]),
    swiglu: fn(&mut [f32], &[f32]),
}

impl Kernels {
    /// Return the inner loops that suit this processor best.
    pub fn detect() -> &'static Self {
        #[cfg(target_arch = "x86_64")]
        let order = match x86_64::is_emulated() {
            true => [Isa::Avx2Emulated, Isa::GenericEmulated],
            false => [Isa::Avx2, Isa::Generic],
        };
        #[cfg(not(target_arch = "x86_64"))]
        let order = [Isa::Generic];
        order.into_iter().find_map(Self::of).unwrap_or(&generic::KERNELS)
    }

    /// Return the inner loops of `isa`, if this processor runs them.
    pub fn of(isa: Isa) -> Option<&'static Self> {
        match isa {
            Isa::Generic => Some(&generic::KERNELS),
            Isa::GenericEmulated => Some(const { &Self::emulated(generic::KERNELS, Isa::GenericEmulated) }),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86_64::has_avx2().then_some(&x86_64::AVX2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2Emulated => {
                x86_64::has_avx2().then_some(const { &Self::emulated(x86_64::AVX2, Isa::Avx2Emulated) })
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx2Emulated => None,
        }
    }

    /// Return `kernels` with the quantized products that suit an emulated processor.
    const fn emulated(kernels: Self, isa: Isa) -> Self {
        Self {
            isa,
            mul_mat_q4_0_q8_1: swar::mul_mat_q4_0_q8_1,
            mul_mat_q4_1_q8_1: swar::mul_mat_q4_1_q8_1,
            mul_mat_q8_0_q8_1: swar::mul_mat_q8_0_q8_1,
            ..kernels
        }
    }

    /// Return which instruction set these are for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Write the products of the rows `w (n_rows, n_in)` with `x (n_tokens, n_in)` to `out (n_tokens, n_rows)`.
    pub fn mul_mat_f32(&self, w: &[F32], x: &[f32], n_in: usize, out: &mut [f32]) {
        assert_eq!((w.len() / n_in) * (x.len() / n_in), out.len());
        (self.mul_mat_f32)(w, x, n_in, out);
    }

    /// Write the products of the rows `w (n_rows, n_blocks)` with `x (n_tokens, n_blocks)` to `out (n_tokens, n_rows)`.
    pub fn mul_mat_q4_0_q8_1(&self, w: &[BlockQ4_0], x: &[BlockQ8_1], n_blocks: usize, out: &mut [f32]) {
        assert_eq!((w.len() / n_blocks) * (x.len() / n_blocks), out.len());
        (self.mul_mat_q4_0_q8_1)(w, x, n_blocks, out);
    }

    /// As [`Self::mul_mat_q4_0_q8_1`], for Q4_1.
    pub fn mul_mat_q4_1_q8_1(&self, w: &[BlockQ4_1], x: &[BlockQ8_1], n_blocks: usize, out: &mut [f32]) {
        assert_eq!((w.len() / n_blocks) * (x.len() / n_blocks), out.len());
        (self.mul_mat_q4_1_q8_1)(w, x, n_blocks, out);
    }

    /// As [`Self::mul_mat_q4_0_q8_1`], for Q8_0.
    pub fn mul_mat_q8_0_q8_1(&self, w: &[BlockQ8_0], x: &[BlockQ8_1], n_blocks: usize, out: &mut [f32]) {
        assert_eq!((w.len() / n_blocks) * (x.len() / n_blocks), out.len());
        (self.mul_mat_q8_0_q8_1)(w, x, n_blocks, out);
    }

    /// Quantize `x (n)` to `out (n / QK)`, rounding halves to even.
    pub fn quantize_q8_1(&self, x: &[f32], out: &mut [BlockQ8_1]) {
        assert_eq!(x.len(), out.len() * QK);
        (self.quantize_q8_1)(x, out);
    }

    /// Write to `out (n_embd_head)` what one query `q (n_embd_head)` finds among the keys and values of `n` positions,
    /// `k` and `v (n, n_embd_head)`: `softmax(scale * q k^T) v`. `scores (n)` is scratch.
    pub fn attend(&self, q: &[f32], k: &[f16], v: &[f16], scale: f32, scores: &mut [f32], out: &mut [f32]) {
        assert_eq!(q.len(), out.len());
        assert_eq!(k.len(), scores.len() * q.len());
        assert_eq!(v.len(), k.len());
        (self.attend)(q, k, v, scale, scores, out);
    }

    /// Turn `x` into probabilities: `exp(x_i) / sum(exp(x))`.
    pub fn softmax(&self, x: &mut [f32]) {
        (self.softmax)(x);
    }

    /// Replace `gate` by `silu(gate) * up`, with `silu(x) = x / (1 + exp(-x))` (SwiGLU, arXiv 2002.05202).
    pub fn swiglu(&self, gate: &mut [f32], up: &[f32]) {
        assert_eq!(gate.len(), up.len());
        (self.swiglu)(gate, up);
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernels({})", self.isa)
    }
}

#[cfg(test)]
mod tests;
