//! Products of interleaved rows that are floats: eight of them in a vector, or of four rows those of two columns.

use core::arch::x86_64::*;
use core::array;

use zerocopy::little_endian::F32;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::super::woven::{Destination, Lanes};
use super::super::woven_floats::{self, PAIR, Steps};
use super::fixed_point;
use super::vectors::{
    LANES, load_bf16_le, load_f16_le, load_f32, load_f32_le, load_pair, store_f32, to_array,
};
use crate::cpu::{FEW_TOKENS, Numbers};
use crate::quant::{Activations, BF16, F16, ROWS, TensorType};

/// Vectors of a column.
const VECTORS: usize = ROWS / LANES;

/// Tokens of a tile: 6 * 2 sums, two vectors of weights and one of activations are fifteen of sixteen registers.
pub(in crate::cpu::x86_64) const TOKENS: usize = 6;

/// Columns that are unpacked at a time, and tokens that share them: both are read in order, from the second cache, and the more columns, the less often
/// sums are added to what is in memory. (Zen 3, TinyLlama F16, two cores, 256 and 264 -> these: 64.0 -> 69.5 tokens/s.)
const PANEL: usize = 1024;
const BATCH: usize = 132;

/// Write the products of rows of `kind`, which is a float, with `x (n_tokens, n_in)`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat(kind: TensorType, w: &[u8], x: Activations<'_>, to: Destination<'_, '_>) {
    match kind {
        TensorType::F16 => mul_mat_halves(w, x, to, |w: &[F16; LANES]| load_f16_le(w)),
        TensorType::BF16 => mul_mat_halves(w, x, to, |w: &[BF16; LANES]| load_bf16_le(w)),
        _ => mul_mat_f32(w, x, to),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn mul_mat_f32(w: &[u8], x: Activations<'_>, to: Destination<'_, '_>) {
    let load = |w: &Lanes| load_all::<F32, VECTORS>(w, |w| load_f32_le(w));
    let to_array = |sums: [__m256; VECTORS]| floats(sums);
    if to.out.len() <= FEW_TOKENS {
        let add = |w: &Lanes, &[x]: &[f32; 1], sums| add_products(load(w), _mm256_set1_ps(x), sums);
        woven_floats::multiply_few(w, x.floats, to, _mm256_setzero_ps(), add, to_array);
    } else {
        multiply_many::<1>(w, x.tiles.words, to, |w| [load(w)]);
    }
}

/// As [`mul_mat`], with weights of 16 bits; `load` returns eight of them.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn mul_mat_halves<B: FromBytes + Immutable + KnownLayout + Unaligned>(
    w: &[u8],
    x: Activations<'_>,
    to: Destination<'_, '_>,
    load: impl Fn(&[B; LANES]) -> __m256,
) {
    if x.tiles.numbers == Numbers::Halves && to.out.len() > FEW_TOKENS {
        return fixed_point::mul_mat(w, x.tiles.words, to, load);
    }
    let load = |w: &Lanes| load_all::<B, { PAIR * VECTORS }>(w, &load);
    if to.out.len() <= FEW_TOKENS {
        let add = |w: &Lanes, x: &[f32; PAIR], sums| add_products(load(w), load_pair(x), sums);
        woven_floats::multiply_few(w, x.floats, to, _mm256_setzero_ps(), add, |sums| {
            // A lane has the sum of every other column.
            let sums: [f32; PAIR * ROWS] = floats(sums);
            array::from_fn(|row| sums[PAIR * row] + sums[PAIR * row + 1])
        });
    } else {
        multiply_many::<PAIR>(w, x.tiles.words, to, |w| split(load(w)));
    }
}

/// Write the products with many tokens; `unpack` returns the `S` columns of a block.
///
/// It is not inlined, so that products with few tokens need not have room for a panel.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
fn multiply_many<const S: usize>(
    w: &[u8],
    x: &[u32],
    to: Destination<'_, '_>,
    unpack: impl Fn(&Lanes) -> [[__m256; VECTORS]; S],
) {
    let steps = Steps {
        zero: _mm256_setzero_ps(),
        unpack,
        add: |w, x, sum| _mm256_fmadd_ps(w, _mm256_set1_ps(f32::from_bits(x)), sum),
        add_to: |sums, out: &mut [f32; ROWS]| add_to(sums, out),
    };
    woven_floats::multiply_many::<_, _, S, S, VECTORS, 1, TOKENS, PANEL, BATCH>(w, x, to, &steps);
}

/// Return the floats of a block, eight by eight.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load_all<B: FromBytes + Immutable + KnownLayout + Unaligned, const M: usize>(
    w: &Lanes,
    load: impl Fn(&[B; LANES]) -> __m256,
) -> [__m256; M] {
    <[[B; LANES]; M]>::ref_from_bytes(w).expect("as many bytes as lanes have").each_ref().map(load)
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_products<const M: usize>(w: [__m256; M], x: __m256, mut sums: [__m256; M]) -> [__m256; M] {
    for (sum, w) in sums.iter_mut().zip(w) {
        *sum = _mm256_fmadd_ps(w, x, *sum);
    }
    sums
}

/// Return the two columns that lie side by side in `pairs`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn split([a, b, c, d]: [__m256; PAIR * VECTORS]) -> [[__m256; VECTORS]; PAIR] {
    // Of either half the rows come together; then the quarters go to their places.
    let in_order = |v| _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(v)));
    let even = |a, b| in_order(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
    let odd = |a, b| in_order(_mm256_shuffle_ps::<0b11_01_11_01>(a, b));
    [[even(a, b), even(c, d)], [odd(a, b), odd(c, d)]]
}

/// Return the floats of some vectors.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn floats<const M: usize, const N: usize>(vectors: [__m256; M]) -> [f32; N] {
    let mut out = [0.0; N];
    for (out, v) in out.as_chunks_mut().0.iter_mut().zip(vectors) {
        *out = to_array(v);
    }
    out
}

/// Add the sums of a group to `out`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_to(sums: [__m256; VECTORS], out: &mut [f32; ROWS]) {
    for (out, sums) in out.as_chunks_mut().0.iter_mut().zip(sums) {
        store_f32(out, _mm256_add_ps(load_f32(out), sums));
    }
}
