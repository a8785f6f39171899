//! Products of interleaved rows as [`super::avx2`] has them, with VPDPBUSD: four products of a lane are added at once, in 32 bits (Intel SDM
//! volume 2, VPDPBUSD). All else is AVX2's.

use core::arch::x86_64::*;
use core::ops::Range;

use super::avx2::unpack::{
    Unpacked, UnpackedK, unpack_iq4_nl, unpack_q4_0, unpack_q4_1, unpack_q4_k, unpack_q5_0, unpack_q5_1,
    unpack_q5_k, unpack_q6_k, unpack_q8_0,
};
use super::avx2::{self, LANES, four, sums_of_halves, to_array};
use super::woven::{self, Destination, Steps, Woven};
use crate::quant::{Activations, BlockQ8_1, ROWS, TensorType};

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
        Q8_0 => mul_mat::<_, _, 1>(w, x, to, |w, _, part| unpack_q8_0(w, part), |w, x| signed(w, x)),
        IQ4_NL => mul_mat::<_, _, 1>(w, x, to, |w, _, part| unpack_iq4_nl(w, part), |w, x| signed(w, x)),
        Q4_0 => mul_mat::<_, _, 1>(w, x, to, |w, _, part| unpack_q4_0(w, part), |w, x| unsigned(w, x)),
        Q4_1 => mul_mat::<_, _, 1>(w, x, to, |w, _, part| unpack_q4_1(w, part), |w, x| unsigned(w, x)),
        Q5_0 => mul_mat::<_, _, 1>(w, x, to, |w, _, part| unpack_q5_0(w, part), |w, x| unsigned(w, x)),
        Q5_1 => mul_mat::<_, _, 1>(w, x, to, |w, _, part| unpack_q5_1(w, part), |w, x| unsigned(w, x)),
        Q4_K => mul_mat::<_, _, 8>(w, x, to, |w, i, part| unpack_q4_k(w, i, part), |w, x| with_offset(w, x)),
        Q5_K => mul_mat::<_, _, 8>(w, x, to, |w, i, part| unpack_q5_k(w, i, part), |w, x| with_offset(w, x)),
        Q6_K => mul_mat::<_, _, 8>(w, x, to, |w, i, part| unpack_q6_k(w, i, part), |w, x| in_halves(w, x)),
        _ => avx2::mul_mat_interleaved(kind, w, activations, n_in, to.rows, to.out),
    }
}

/// As [`woven::mul_mat`]. `dot` returns the products of a block in whole numbers, the factor that they are to be multiplied by, and what
/// is added to them then.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn mul_mat<B: Woven, W: Copy, const N: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize, usize) -> W,
    dot: impl Fn(&W, &BlockQ8_1) -> Scaled,
) {
    let add = |w: &W, x: &BlockQ8_1, sums| {
        let Scaled { products, d, m } = dot(w, x);
        let sums = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_mul_ps(d, _mm256_set1_ps(x.d)), sums);
        _mm256_fmadd_ps(m, _mm256_set1_ps(x.s), sums)
    };
    let steps = Steps { zero: _mm256_setzero_ps(), unpack, add, to_array: |sums| to_array(sums) };
    woven::mul_mat::<_, _, _, N, LANES, { ROWS / LANES }>(w, x, to, &steps);
}

/// The products of a block: `products * d * x.d + m * x.s`.
struct Scaled {
    products: __m256i,
    d: __m256,
    m: __m256,
}

/// Return the products with weights that have no sign.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn unsigned(w: &Unpacked, x: &BlockQ8_1) -> Scaled {
    let [first, second] = halves(&w.q, x);
    Scaled { products: _mm256_add_epi32(first, second), d: w.d, m: w.m }
}

/// Return the products with weights of a super-block that have an offset.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn with_offset(w: &UnpackedK<1>, x: &BlockQ8_1) -> Scaled {
    let [first, second] = halves(&w.q, x);
    let d = _mm256_mul_ps(w.d, _mm256_cvtepi32_ps(lane_scale(w.scales[0])));
    let m = _mm256_sub_ps(_mm256_setzero_ps(), _mm256_mul_ps(w.m, w.offset));
    Scaled { products: _mm256_add_epi32(first, second), d, m }
}

/// Return the products with weights whose halves have a scale each.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn in_halves(w: &UnpackedK<3>, x: &BlockQ8_1) -> Scaled {
    let [first, second] = halves(&w.q, x);
    let products = _mm256_add_epi32(
        _mm256_mullo_epi32(first, lane_scale(w.scales[0])),
        _mm256_mullo_epi32(second, lane_scale(w.scales[1])),
    );
    let offsets = _mm256_madd_epi16(sums_of_halves(x), w.scales[2]);
    Scaled { products: _mm256_add_epi32(products, offsets), d: w.d, m: _mm256_setzero_ps() }
}

/// Return a scale, which is twice in its lane, with its sign.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn lane_scale(scale: __m256i) -> __m256i {
    _mm256_srai_epi32::<16>(scale)
}

/// Return the products of weights without a sign with either half of `x`.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn halves(w: &[__m256i; 8], x: &BlockQ8_1) -> [__m256i; 2] {
    let mut products = [_mm256_setzero_si256(); 2];
    for i in 0..8 {
        products[i / 4] = _mm256_dpbusd_avx_epi32(products[i / 4], w[i], four(x, i));
    }
    products
}

/// Return the products with signed weights, which have no minimum.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline]
fn signed(w: &Unpacked, x: &BlockQ8_1) -> Scaled {
    let mut products = [_mm256_setzero_si256(); 2];
    for i in 0..8 {
        // One factor has no sign: the weight's goes over to the activation, none of which is -128.
        let (size, x) = (_mm256_abs_epi8(w.q[i]), _mm256_sign_epi8(four(x, i), w.q[i]));
        products[i / 4] = _mm256_dpbusd_avx_epi32(products[i / 4], size, x);
    }
    Scaled { products: _mm256_add_epi32(products[0], products[1]), d: w.d, m: w.m }
}
