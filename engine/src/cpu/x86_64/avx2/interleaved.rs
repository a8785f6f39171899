//! Products of interleaved rows, half a group at a time: four activations, in all lanes at once, meet four weights of eight rows.

use core::arch::x86_64::*;
use core::array;
use core::ops::Range;

use super::super::fetch;
use super::super::woven::{self, Destination, Woven};
use super::interleaved_floats;
use super::interleaved_super_blocks::{mul_mat_q4_k, mul_mat_q5_k, mul_mat_q6_k};
use super::tiles::{self, PARTS, TOKENS};
use super::unpack::{
    Signed, Unpacked, unpack_iq4_nl, unpack_q4_0, unpack_q4_1, unpack_q5_0, unpack_q5_1, unpack_q8_0,
    with_sizes,
};
use super::vectors::to_array;
use crate::cpu::generic;
use crate::quant::{Activations, BlockQ8_1, TensorType};

/// Return whether there are products for interleaved rows of `kind`.
pub(in crate::cpu::x86_64) fn interleaves(kind: TensorType) -> bool {
    use TensorType::*;
    matches!(kind, F32 | F16 | BF16 | Q8_0 | Q4_0 | Q4_1 | Q5_0 | Q5_1 | IQ4_NL | Q4_K | Q5_K | Q6_K)
}

/// As [`crate::cpu::Kernels::mul_mat_interleaved`], for whole groups.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn mul_mat_interleaved(
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
        F32 | F16 | BF16 => interleaved_floats::mul_mat(kind, w, activations, to),
        Q8_0 => signed(w, x, to, |w, part| unpack_q8_0(w, part)),
        IQ4_NL => signed(w, x, to, |w, part| unpack_iq4_nl(w, part)),
        Q4_0 => of_4_bits(w, x, to, |w, part| unpack_q4_0(w, part)),
        Q4_1 => of_4_bits(w, x, to, |w, part| unpack_q4_1(w, part)),
        Q5_0 => of_5_bits(w, x, to, |w, part| unpack_q5_0(w, part)),
        Q5_1 => of_5_bits(w, x, to, |w, part| unpack_q5_1(w, part)),
        Q4_K => mul_mat_q4_k(w, x, to),
        Q5_K => mul_mat_q5_k(w, x, to),
        Q6_K => mul_mat_q6_k(w, x, to),
        _ => generic::mul_mat_interleaved(kind, w, activations, n_in, to.rows, to.out),
    }
}

/// Multiply weights `d * q` with a sign.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn signed<B: Woven>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize) -> Unpacked,
) {
    if to.out.len() < TOKENS {
        return multiply_few(w, x, to, unpack, |w, x, acc| add_signed(w, x, acc));
    }
    let unpack = |w: &B, part| with_sizes(unpack(w, part));
    let dot = |w: [&Signed; PARTS], x: [&_; TOKENS]| tiles::dot_signed(w, x);
    tiles::mul_mat_blocks(w, x, to, unpack, dot, |w, products, x, acc| add_times(w.d, products, x.d, acc));
}

/// Multiply weights `d * q + m` of up to four bits.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn of_4_bits<B: Woven>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize) -> Unpacked,
) {
    match to.out.len() < TOKENS {
        true => multiply_few(w, x, to, unpack, |w, x, acc| add_4_bits(w, x, acc)),
        false => tiles::mul_mat_unpacked(w, x, to, unpack, |w, x| tiles::dot_4_bits(w, x)),
    }
}

/// Multiply weights `d * q + m` of up to five bits.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn of_5_bits<B: Woven>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize) -> Unpacked,
) {
    match to.out.len() < TOKENS {
        true => multiply_few(w, x, to, unpack, |w, x, acc| add_5_bits(w, x, acc)),
        false => tiles::mul_mat_unpacked(w, x, to, unpack, |w, x| tiles::dot_5_bits(w, x)),
    }
}

/// As [`woven::multiply_blocks`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn multiply_few<B: Woven>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize) -> Unpacked,
    add: impl Fn(&Unpacked, &BlockQ8_1, __m256) -> __m256,
) {
    let add = |w: &B, [x]: &[BlockQ8_1; 1], [first, second]: [__m256; 2]| {
        fetch::ahead(w, 0, 1);
        [add(&unpack(w, 0), x, first), add(&unpack(w, 1), x, second)]
    };
    woven::multiply_blocks(w, x, to, _mm256_setzero_ps(), add, |sums| to_array(sums));
}

/// Add the products with weights of up to 4 bits: all eight of a lane's pairs are at most 8 * 2 * 15 * 127 = 30,480.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_4_bits(w: &Unpacked, x: &BlockQ8_1, acc: __m256) -> __m256 {
    let [a, b, c, d, e, f, g, h] = array::from_fn(|i| _mm256_maddubs_epi16(w.q[i], four(x, i)));
    let pairs = _mm256_add_epi16(sum_4(a, b, c, d), sum_4(e, f, g, h));
    add_scaled(w, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)), x, acc)
}

/// Add the products with weights of up to 5 bits: four of a lane's pairs are at most 4 * 2 * 31 * 127 = 31,496.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_5_bits(w: &Unpacked, x: &BlockQ8_1, acc: __m256) -> __m256 {
    let ones = _mm256_set1_epi16(1);
    let [a, b, c, d, e, f, g, h] = array::from_fn(|i| _mm256_maddubs_epi16(w.q[i], four(x, i)));
    let (first, second) = (sum_4(a, b, c, d), sum_4(e, f, g, h));
    let products = _mm256_add_epi32(_mm256_madd_epi16(first, ones), _mm256_madd_epi16(second, ones));
    add_scaled(w, products, x, acc)
}

/// Add the products with signed weights, which have no minimum.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_signed(w: &Unpacked, x: &BlockQ8_1, acc: __m256) -> __m256 {
    let ones = _mm256_set1_epi16(1);
    let [a, b, c, d, e, f, g, h] =
        array::from_fn(|i| _mm256_madd_epi16(signed_pairs(w.q[i], four(x, i)), ones));
    let first = _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
    let second = _mm256_add_epi32(_mm256_add_epi32(e, f), _mm256_add_epi32(g, h));
    add_times(w.d, _mm256_add_epi32(first, second), x.d, acc)
}

/// Return `acc + products * d * x.d + m * x.s`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn add_scaled(
    w: &Unpacked,
    products: __m256i,
    x: &BlockQ8_1,
    acc: __m256,
) -> __m256 {
    _mm256_fmadd_ps(w.m, _mm256_set1_ps(x.s), add_times(w.d, products, x.d, acc))
}

/// Return `acc + products * d * x_d`, with the scales of the weights and of the activations.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn add_times(d: __m256, products: __m256i, x_d: f32, acc: __m256) -> __m256 {
    _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_mul_ps(d, _mm256_set1_ps(x_d)), acc)
}

/// Return the sums of pairs of products of signed bytes; none of `x` is -128.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn signed_pairs(w: __m256i, x: __m256i) -> __m256i {
    // maddubs takes one unsigned factor: the weight's sign goes over to the activation.
    _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sum_4(a: __m256i, b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    _mm256_add_epi16(_mm256_add_epi16(a, b), _mm256_add_epi16(c, d))
}

/// Return four activations, from `4 * i` on, in all lanes.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn four(x: &BlockQ8_1, i: usize) -> __m256i {
    let (fours, _) = x.qs.as_chunks::<4>();
    _mm256_set1_epi32(i32::from_le_bytes(fours[i].map(|q| q as u8)))
}

/// Return the sums of either half of `x`, in all lanes.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn sums_of_halves(x: &BlockQ8_1) -> __m256i {
    _mm256_set1_epi32(x.lane_of_sums())
}
