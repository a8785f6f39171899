//! Products of interleaved rows of 16 bits with many tokens where the processor multiplies BF16 (VDPBF16PS, Intel SDM volume 2), two
//! products in the time that [`super::floats`] takes for one. Activations, and weights that are F16, are rounded to the 8 bits that BF16
//! keeps of a number; sums are floats.

use core::arch::x86_64::*;

use arrayvec::ArrayVec;

use super::super::woven::{Destination, Lanes};
use super::super::woven_floats::{self, PAIR, Steps};
use super::floats::{self, BATCH, PANEL, add_to, load_all};
use super::unpack::load;
use super::vectors::{LANES, load_f16_le, load_f32, store_u32};
use crate::cpu::{FEW_TOKENS, Numbers};
use crate::quant::{Activations, ROWS, TensorType};

/// Groups, and tokens, of a tile: 4 * 6 sums, the weights and an activation are 29 of 32 registers.
const GROUPS: usize = 4;
pub(in crate::cpu::x86_64) const TOKENS: usize = 6;

/// As [`floats::mul_mat`]; few tokens, for which memory is what counts, meet the weights as floats, and so do tiles of floats.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) fn mul_mat(kind: TensorType, w: &[u8], x: Activations<'_>, to: Destination<'_, '_>) {
    match kind {
        _ if to.out.len() <= FEW_TOKENS || x.tiles.numbers == Numbers::Floats => {
            floats::mul_mat(kind, w, x, to)
        }
        TensorType::F16 => multiply_many(w, x.tiles.words, to, |w| {
            let [first, second] = load_all(w, |w| load_f16_le(w));
            round(first, second)
        }),
        TensorType::BF16 => multiply_many(w, x.tiles.words, to, |w| load(w)),
        _ => floats::mul_mat(kind, w, x, to),
    }
}

/// Write the products with many tokens; `unpack` returns two columns of a group, side by side.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512bf16")]
#[inline]
fn multiply_many(w: &[u8], x: &[u32], to: Destination<'_, '_>, unpack: impl Fn(&Lanes) -> __m512i) {
    let steps = Steps {
        zero: _mm512_setzero_ps(),
        unpack: |w: &Lanes| [[unpack(w)]],
        add: |w, x: u32, sum| dot(sum, w, _mm512_set1_epi32(x as i32)),
        add_to: |[sums]: [__m512; 1], out: &mut [f32; ROWS]| add_to(sums, out),
    };
    woven_floats::multiply_many::<_, _, PAIR, 1, 1, GROUPS, TOKENS, PANEL, BATCH>(w, x, to, &steps);
}

/// As [`crate::cpu::Kernels::tile`], in words of two BF16.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512bf16")]
pub(in crate::cpu::x86_64) fn tile(x: &[f32], n_in: usize, out: &mut [u32]) {
    let mut rounded = [[0; PANEL]; TOKENS];
    for (x, out) in x.chunks(TOKENS * n_in).zip(out.chunks_mut(TOKENS * (n_in / PAIR))) {
        for (i, out) in out.chunks_mut(TOKENS * PANEL).enumerate() {
            let n = out.len() / TOKENS;
            let mut rows = ArrayVec::<&[u32], TOKENS>::new();
            for (x, rounded) in x.chunks_exact(n_in).zip(&mut rounded) {
                round_all(&x[i * PANEL * PAIR..][..n * PAIR], &mut rounded[..n]);
                rows.push(&rounded[..n]);
            }
            woven_floats::transpose::<TOKENS>(&rows, out);
        }
    }
}

/// Round `x` to pairs of BF16.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512bf16")]
#[inline]
fn round_all(x: &[f32], out: &mut [u32]) {
    let ((x, x_rest), (out, out_rest)) = (x.as_chunks::<{ PAIR * LANES }>(), out.as_chunks_mut());
    let round = |x: &[f32; PAIR * LANES]| {
        let (halves, _) = x.as_chunks();
        round(load_f32(&halves[0]), load_f32(&halves[1]))
    };
    for (x, out) in x.iter().zip(out) {
        store_u32(out, round(x));
    }
    if !x_rest.is_empty() {
        let (mut padded, mut rounded) = ([0.0; PAIR * LANES], [0; LANES]);
        padded[..x_rest.len()].copy_from_slice(x_rest);
        store_u32(&mut rounded, round(&padded));
        out_rest.copy_from_slice(&rounded[..out_rest.len()]);
    }
}

/// Return the floats of `first` and `second` as BF16, ties to even.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn round(first: __m512, second: __m512) -> __m512i {
    // SAFETY: both are 64 bytes, any of which are whole numbers.
    unsafe { core::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first)) }
}

/// Return `sum` and the products of the two pairs of each lane.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn dot(sum: __m512, w: __m512i, x: __m512i) -> __m512 {
    // SAFETY: each is 64 bytes, any of which are BF16.
    let [w, x] = [w, x].map(|v| unsafe { core::mem::transmute::<__m512i, __m512bh>(v) });
    _mm512_dpbf16_ps(sum, w, x)
}
