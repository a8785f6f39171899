//! Everything but products and attention: quantization, and what is applied to each value.

use core::arch::x86_64::*;
use core::array;

use super::vectors::{LANES, largest, load_f32, store_f16, store_i8, sum, sum_i32, to_array};
use crate::cpu::{GELU_CUBIC, SQRT_2_OVER_PI, generic};
use crate::kv_cache::KvType;
use crate::quant::{BlockQ8_1, QK};

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn quantize_q8_1(x: &[f32], n_sharing: usize, out: &mut [BlockQ8_1]) {
    let no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(i32::MAX));
    for (x, out) in x.chunks_exact(n_sharing).zip(out.chunks_exact_mut(n_sharing / QK)) {
        let mut max = _mm256_setzero_ps();
        for x in x.as_chunks().0 {
            max = _mm256_max_ps(_mm256_and_ps(load_f32(x), no_sign), max);
        }
        let scale = largest(max) / 127.0;
        let inverse = _mm256_set1_ps(if scale > 0.0 { 1.0 / scale } else { 0.0 });
        for (x, out) in x.as_chunks::<QK>().0.iter().zip(out) {
            let (x, _) = x.as_chunks::<LANES>();
            let [a, b, c, d] =
                array::from_fn(|i| _mm256_cvtps_epi32(_mm256_mul_ps(load_f32(&x[i]), inverse)));
            // What is not a number has any quants; their sums may wrap.
            out.sums = [_mm256_add_epi32(a, b), _mm256_add_epi32(c, d)].map(|half| sum_i32(half) as i16);
            // Packing works within 128-bit halves; the permutation puts the groups of four back in order.
            let packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
            let packed = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
            store_i8(&mut out.qs, packed);
            (out.d, out.s) = (scale, scale * f32::from(out.sums[0].wrapping_add(out.sums[1])));
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn keep(kv_type: KvType, x: &[f32], out: &mut [u8]) {
    match kv_type {
        KvType::F16 if x.len().is_multiple_of(LANES) => {
            for (x, out) in x.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
                store_f16(out, load_f32(x));
            }
        }
        KvType::Q8_0 => generic::keep_q8_0(x, out, |x, out| quantize_q8_1(x, QK, out)),
        _ => generic::keep(kv_type, x, out),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn softmax(x: &mut [f32]) {
    let (vectors, rest) = x.as_chunks_mut::<LANES>();
    // The largest is taken off first, so that no exponential overflows.
    let mut max = _mm256_set1_ps(f32::NEG_INFINITY);
    for x in &*vectors {
        max = _mm256_max_ps(max, load_f32(x));
    }
    let max = rest.iter().copied().fold(largest(max), f32::max);
    let mut total = _mm256_setzero_ps();
    for x in &mut *vectors {
        let e = exp(_mm256_sub_ps(load_f32(x), _mm256_set1_ps(max)));
        total = _mm256_add_ps(total, e);
        *x = to_array(e);
    }
    let mut total = sum(total);
    for x in &mut *rest {
        *x = libm::expf(*x - max);
        total += *x;
    }
    let inverse = 1.0 / total;
    for x in x {
        *x *= inverse;
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn swiglu(gate: &mut [f32], up: &[f32]) {
    let (gate_vectors, gate_rest) = gate.as_chunks_mut::<LANES>();
    let (up_vectors, up_rest) = up.as_chunks::<LANES>();
    let one = _mm256_set1_ps(1.0);
    for (gate, up) in gate_vectors.iter_mut().zip(up_vectors) {
        let x = load_f32(gate);
        let divisor = _mm256_add_ps(one, exp(_mm256_sub_ps(_mm256_setzero_ps(), x)));
        *gate = to_array(_mm256_mul_ps(_mm256_div_ps(x, divisor), load_f32(up)));
    }
    for (gate, up) in gate_rest.iter_mut().zip(up_rest) {
        *gate *= up / (1.0 + libm::expf(-*gate));
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn gelu(x: &mut [f32]) {
    let (vectors, rest) = x.as_chunks_mut::<LANES>();
    for x in vectors {
        *x = to_array(gelu_of(load_f32(x)));
    }
    let mut last = [0.0; LANES];
    last[..rest.len()].copy_from_slice(rest);
    rest.copy_from_slice(&to_array(gelu_of(load_f32(&last)))[..rest.len()]);
}

/// Return `x / (1 + exp(-2u))`, as in the portable loop.
#[target_feature(enable = "avx2,fma,f16c")]
fn gelu_of(x: __m256) -> __m256 {
    let cubic = _mm256_mul_ps(_mm256_set1_ps(GELU_CUBIC), _mm256_mul_ps(x, x));
    let minus_2u = _mm256_mul_ps(_mm256_set1_ps(-2.0 * SQRT_2_OVER_PI), _mm256_fmadd_ps(cubic, x, x));
    _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0), exp(minus_2u)))
}

/// Return `exp(x)` to within 2 units in the last place, for results that are normal floats; beyond, the nearest of those.
///
/// `exp(x) = 2^n * exp(r)` with `n = round(x / ln 2)` and `|r| <= ln 2 / 2`, where `exp(r)` is its Taylor polynomial of degree 7:
/// the first term left out is below `0.347^8 / 8! < 2^-27`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn exp(x: __m256) -> __m256 {
    // ln 2 in two parts: the first has so few bits that its product with n is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = _mm256_max_ps(_mm256_min_ps(x, _mm256_set1_ps(88.37)), _mm256_set1_ps(-87.33));
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
        x,
        _mm256_set1_ps(core::f32::consts::LOG2_E),
    ));
    let r = _mm256_sub_ps(x, _mm256_mul_ps(n, _mm256_set1_ps(LN_2_HIGH)));
    let r = _mm256_sub_ps(r, _mm256_mul_ps(n, _mm256_set1_ps(LN_2_LOW)));
    let mut e = _mm256_set1_ps(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        e = _mm256_add_ps(_mm256_mul_ps(e, r), _mm256_set1_ps(coefficient));
    }
    let exponent = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)));
    _mm256_mul_ps(e, _mm256_castsi256_ps(exponent))
}
