//! Products of interleaved rows as [`super::avx2`] has them, with VPDPBUSD: four products of a lane are added at once, in 32 bits (Intel SDM
//! volume 2, VPDPBUSD). All else is AVX2's.

use core::arch::x86_64::*;
use core::ops::Range;

use super::avx2::interleaved::{add_scaled, four, multiply_few, sums_of_halves};
use super::avx2::tiles::{self, PARTS, Sums, TOKENS};
use super::avx2::unpack::{
    Unpacked, UnpackedK, unpack_iq4_nl, unpack_q4_0, unpack_q4_1, unpack_q4_k, unpack_q5_0, unpack_q5_1,
    unpack_q5_k, unpack_q6_k, unpack_q8_0,
};
use super::avx2::{self, interleaved_super_blocks as super_blocks};
use super::woven::{Destination, SuperBlock, SuperBlockQ6, Woven};
use crate::quant::{Activations, BlockQ8_1, TensorType};

/// As [`crate::cpu::Kernels::mul_mat_interleaved`], for whole groups.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) fn mul_mat_interleaved(
    kind: TensorType,
    w: &[u8],
    activations: Activations<'_>,
    n_in: usize,
    rows: Range<usize>,
    out: &mut [&mut [f32]],
) {
    use TensorType::*;
    let to = Destination { n_in, rows, out };
    let x = activations.quants;
    match kind {
        Q8_0 => signed(w, x, to, |w, part| unpack_q8_0(w, part)),
        IQ4_NL => signed(w, x, to, |w, part| unpack_iq4_nl(w, part)),
        Q4_0 => unsigned(w, x, to, |w, part| unpack_q4_0(w, part)),
        Q4_1 => unsigned(w, x, to, |w, part| unpack_q4_1(w, part)),
        Q5_0 => unsigned(w, x, to, |w, part| unpack_q5_0(w, part)),
        Q5_1 => unsigned(w, x, to, |w, part| unpack_q5_1(w, part)),
        Q4_K => with_offset(w, x, to, |w: &SuperBlock<32>, i, part| unpack_q4_k(w, i, part)),
        Q5_K => with_offset(w, x, to, |w: &SuperBlock<40>, i, part| unpack_q5_k(w, i, part)),
        Q6_K => in_halves(w, x, to),
        _ => avx2::mul_mat_interleaved(kind, w, activations, n_in, to.rows, to.out),
    }
}

/// Multiply weights without a sign, `d * q + m`.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn unsigned<B: Woven>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize) -> Unpacked,
) {
    if to.out.len() < TOKENS {
        return multiply_few(w, x, to, unpack, |w, x, acc| {
            let [[products]] = dot([&w.q], [x], 0..8, zeros());
            add_scaled(w, products, x, acc)
        });
    }
    tiles::mul_mat_unpacked(w, x, to, unpack, |w, x| dot::<PARTS, TOKENS>(w, x, 0..8, zeros()));
}

/// Multiply weights with a sign, `d * q`. They become unsigned by an offset, which the sums begin without.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn signed<B: Woven>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize) -> Unpacked,
) {
    let unpack = |w: &B, part| {
        let w = unpack(w, part);
        Unpacked { q: w.q.map(|q| _mm256_xor_si256(q, _mm256_set1_epi8(i8::MIN))), ..w }
    };
    if to.out.len() < TOKENS {
        return multiply_few(w, x, to, unpack, |w, x, acc| {
            let [[products]] = dot([&w.q], [x], 0..8, without_offset([x]));
            add_scaled(w, products, x, acc)
        });
    }
    tiles::mul_mat_unpacked(w, x, to, unpack, |w, x| dot::<PARTS, TOKENS>(w, x, 0..8, without_offset(x)));
}

/// Multiply super-blocks with a scale and an offset for 32 weights.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn with_offset<B: Woven>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize, usize) -> UnpackedK<1>,
) {
    match to.out.len() < TOKENS {
        true => super_blocks::multiply_few(w, x, to, unpack, |w, x, sums| add_block(w, x, sums)),
        false => super_blocks::multiply_many(w, x, to, unpack, |w, x, sums| add_block(w, x, sums)),
    }
}

/// Multiply Q6_K.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn in_halves(w: &[u8], x: &[BlockQ8_1], to: Destination<'_, '_>) {
    let unpack = |w: &SuperBlockQ6, i, part| unpack_q6_k(w, i, part);
    match to.out.len() < TOKENS {
        true => super_blocks::multiply_few(w, x, to, unpack, |w, x, sums| add_halves(w, x, sums)),
        false => super_blocks::multiply_many(w, x, to, unpack, |w, x, sums| add_halves(w, x, sums)),
    }
}

/// Add the products with 32 weights, and of their scale.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn add_block<const P: usize, const T: usize>(
    w: [&UnpackedK<1>; P],
    x: [&BlockQ8_1; T],
    sums: Sums<__m256i, P, T>,
) -> Sums<__m256i, P, T> {
    add_times(dot(w.map(|w| &w.q), x, 0..8, zeros()), w.map(|w| w.scales[0]), sums)
}

/// Add the products with twice 16 weights, and of their scales, and what their offset takes off.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn add_halves<const P: usize, const T: usize>(
    w: [&UnpackedK<3>; P],
    x: [&BlockQ8_1; T],
    mut sums: Sums<__m256i, P, T>,
) -> Sums<__m256i, P, T> {
    for half in 0..2 {
        let products = dot(w.map(|w| &w.q), x, 4 * half..4 * half + 4, zeros());
        sums = add_times(products, w.map(|w| w.scales[half]), sums);
    }
    for token in 0..T {
        let x = sums_of_halves(x[token]);
        for part in 0..P {
            let offsets = _mm256_madd_epi16(x, w[part].scales[2]);
            sums[token][part] = _mm256_add_epi32(sums[token][part], offsets);
        }
    }
    sums
}

/// Add the products times the scales of their part, which are twice in their lanes.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn add_times<const P: usize, const T: usize>(
    products: Sums<__m256i, P, T>,
    scales: [__m256i; P],
    mut sums: Sums<__m256i, P, T>,
) -> Sums<__m256i, P, T> {
    for token in 0..T {
        for part in 0..P {
            // The upper one comes down with its sign.
            let scale = _mm256_srai_epi32::<16>(scales[part]);
            let products = _mm256_mullo_epi32(products[token][part], scale);
            sums[token][part] = _mm256_add_epi32(sums[token][part], products);
        }
    }
    sums
}

/// Return `sums` and the products with some vectors of unsigned weights.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn dot<const P: usize, const T: usize>(
    w: [&[__m256i; 8]; P],
    x: [&BlockQ8_1; T],
    vectors: Range<usize>,
    mut sums: Sums<__m256i, P, T>,
) -> Sums<__m256i, P, T> {
    for i in vectors {
        for token in 0..T {
            let x = four(x[token], i);
            for part in 0..P {
                sums[token][part] = _mm256_dpbusd_avx_epi32(sums[token][part], w[part][i], x);
            }
        }
    }
    sums
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn zeros<const P: usize, const T: usize>() -> Sums<__m256i, P, T> {
    [[_mm256_setzero_si256(); P]; T]
}

/// Return what the sums begin with where 128 was added to each weight.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn without_offset<const P: usize, const T: usize>(x: [&BlockQ8_1; T]) -> Sums<__m256i, P, T> {
    x.map(|x| [_mm256_madd_epi16(sums_of_halves(x), _mm256_set1_epi16(-128)); P])
}
