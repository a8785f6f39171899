//! Products of interleaved rows, a group at a time: four activations, in all lanes at once, meet four weights of sixteen rows.
//!
//! VPDPBUSD adds four products of an unsigned and a signed byte to a lane (Intel SDM volume 2, VPDPBUSD). Weights are the
//! unsigned factor; where they were made so by an offset, its products are taken off again by [`BlockQ8_1::sums`], in whole numbers. Many
//! tokens share the weights of a panel, which are unpacked once for [`BATCH`] of them and stay in the cache. A token has the same
//! products, to the bit, among many as alone.

use core::arch::x86_64::*;
use core::array;
use core::ops::Range;

use zerocopy::FromBytes;

use super::super::woven::{self, Destination, Steps, SuperBlockQ6, Woven};
use super::floats::to_array;
use super::unpack::{
    HalfScales, Scale, ScaleAndMinimum, Unpacked, unpack_iq4_nl, unpack_q4_0, unpack_q4_1, unpack_q4_k,
    unpack_q5_0, unpack_q5_1, unpack_q5_k, unpack_q6_k, unpack_q8_0,
};
use super::{bf16, floats};
use crate::cpu::generic;
use crate::quant::{Activations, BlockQ8_1, QK, ROWS, TensorType};

/// Groups, and tokens, whose sums are in registers: what is loaded for one meets all of the others.
const TILE_GROUPS: usize = 2;
const TILE_TOKENS: usize = 4;

/// Tokens that share unpacked weights: of what they are multiplied by at a time, the second cache keeps all.
const BATCH: usize = 256;

/// Blocks of unpacked weights in a panel, which takes half of the first cache.
const PANEL: usize = 16;

/// As [`crate::cpu::Kernels::mul_mat_interleaved`], for whole groups.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
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
    // Offsets are 128 >> 0, 4 or 3.
    match kind {
        F32 | F16 | BF16 => floats::mul_mat(kind, w, activations, to),
        Q8_0 => signed::<_, 0>(w, x, to, |w| unpack_q8_0(w)),
        IQ4_NL => signed::<_, 0>(w, x, to, |w| unpack_iq4_nl(w)),
        Q4_0 => signed::<_, 4>(w, x, to, |w| unpack_q4_0(w)),
        Q5_0 => signed::<_, 3>(w, x, to, |w| unpack_q5_0(w)),
        Q4_1 => from_minimum::<_, 1>(w, x, to, |w, _| unpack_q4_1(w)),
        Q5_1 => from_minimum::<_, 1>(w, x, to, |w, _| unpack_q5_1(w)),
        Q4_K => from_minimum::<_, 8>(w, x, to, |w, i| unpack_q4_k(w, i)),
        Q5_K => from_minimum::<_, 8>(w, x, to, |w, i| unpack_q5_k(w, i)),
        Q6_K => in_halves(w, x, to),
        _ => generic::mul_mat_interleaved(kind, w, activations, n_in, to.rows, to.out),
    }
}

/// As [`mul_mat_interleaved`], but weights of 16 bits meet many tokens as BF16.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni,avx512bf16")]
pub(in crate::cpu::x86_64) fn mul_mat_interleaved_in_bf16(
    kind: TensorType,
    w: &[u8],
    x: Activations<'_>,
    n_in: usize,
    rows: Range<usize>,
    out: &mut [&mut [f32]],
) {
    match kind.is_quantized() {
        true => mul_mat_interleaved(kind, w, x, n_in, rows, out),
        false => bf16::mul_mat(kind, w, x, Destination { n_in, rows, out }),
    }
}

/// What the types do differently with the weights `S` belongs to.
struct Kind<Unpack, Bias, Add> {
    /// `unpack(block, i)`: the weights that meet block `i` of activations.
    unpack: Unpack,
    /// `bias(x)`: what the products with either half of `x` begin with.
    bias: Bias,
    /// `add(scales, x, products, sums)`: the rows' sums and the products, scaled. The second of the products are those with the second half of
    /// `x` where the halves have scales of their own, else those with all of it.
    add: Add,
}

/// Multiply weights `d * (q - offset)`, with an offset of `128 >> SHIFT`.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn signed<B: Woven, const SHIFT: u32>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B) -> Unpacked<Scale>,
) {
    let kind = Kind {
        unpack: |w: &B, _| unpack(w),
        bias: |x: &BlockQ8_1| {
            [_mm512_madd_epi16(sums(x), _mm512_set1_epi16(-128 >> SHIFT)), _mm512_setzero_si512()]
        },
        add: |w: &Scale, x: &BlockQ8_1, [_, products]: [__m512i; 2], acc| add_scaled(products, w.0, x, acc),
    };
    mul_mat::<_, _, 1, false>(w, x, to, &kind);
}

/// Multiply weights `d * q + m`, in blocks of `N * QK`.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn from_minimum<B: Woven, const N: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize) -> Unpacked<ScaleAndMinimum>,
) {
    let kind = Kind {
        unpack,
        bias: |_: &BlockQ8_1| [_mm512_setzero_si512(); 2],
        add: |w: &ScaleAndMinimum, x: &BlockQ8_1, [_, products]: [__m512i; 2], acc| {
            let acc = _mm512_fmadd_ps(w.m, _mm512_set1_ps(x.s), acc);
            add_scaled(products, w.d, x, acc)
        },
    };
    mul_mat::<_, _, N, false>(w, x, to, &kind);
}

/// Multiply Q6_K, `d * scale * (q - 32)` with a scale for 16 weights.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
fn in_halves(w: &[u8], x: &[BlockQ8_1], to: Destination<'_, '_>) {
    let kind = Kind {
        unpack: |w: &SuperBlockQ6, i| unpack_q6_k(w, i),
        bias: |x: &BlockQ8_1| {
            let (sums, offset) = (sums(x), -32);
            let (first, second) = (_mm512_set1_epi32(offset & 0xffff), _mm512_set1_epi32(offset << 16));
            [_mm512_madd_epi16(sums, first), _mm512_madd_epi16(sums, second)]
        },
        add: |w: &HalfScales, x: &BlockQ8_1, products: [__m512i; 2], acc| {
            let second = _mm512_mul_ps(_mm512_cvtepi32_ps(products[1]), w.0[1]);
            let both = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[0]), w.0[0], second);
            _mm512_fmadd_ps(both, _mm512_set1_ps(x.d), acc)
        },
    };
    mul_mat::<_, _, 8, true>(w, x, to, &kind);
}

/// Write the products of the interleaved rows `w` with `x (n_tokens, n_in / QK)`. A block of weights meets `N` of activations.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn mul_mat<B: Woven, S: Copy, const N: usize, const HALVES: bool>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    kind: &Kind<
        impl Fn(&B, usize) -> Unpacked<S>,
        impl Fn(&BlockQ8_1) -> [__m512i; 2],
        impl Fn(&S, &BlockQ8_1, [__m512i; 2], __m512) -> __m512,
    >,
) {
    let add = |w: &Unpacked<S>, x: &BlockQ8_1, acc| {
        let [[products]] = dot::<1, 1, HALVES>([&w.q], [x], [(kind.bias)(x)]);
        (kind.add)(&w.scales, x, products, acc)
    };
    if to.out.len() < TILE_TOKENS {
        let unpack = |w: &B, i, _| (kind.unpack)(w, i);
        let steps = Steps { zero: _mm512_setzero_ps(), unpack, add, to_array: |sums| to_array(sums) };
        woven::multiply_few::<_, _, _, N, ROWS, 1>(w, x, to, &steps);
    } else {
        multiply_many::<B, S, N, HALVES>(w, x, to, kind, add);
    }
}

/// As [`mul_mat`], for at least [`TILE_TOKENS`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn multiply_many<B: Woven, S: Copy, const N: usize, const HALVES: bool>(
    w: &[u8],
    x: &[BlockQ8_1],
    mut to: Destination<'_, '_>,
    kind: &Kind<
        impl Fn(&B, usize) -> Unpacked<S>,
        impl Fn(&BlockQ8_1) -> [__m512i; 2],
        impl Fn(&S, &BlockQ8_1, [__m512i; 2], __m512) -> __m512,
    >,
    add: impl Fn(&Unpacked<S>, &BlockQ8_1, __m512) -> __m512,
) {
    let w = <[B]>::ref_from_bytes(w).expect("whole groups");
    let (n_quants, n_blocks) = (to.n_in / QK, to.n_in / (N * QK));
    let groups = to.groups();
    let Some(block) = w.first() else { return };
    let mut panel = [[(kind.unpack)(block, 0); TILE_GROUPS]; PANEL];
    for (batch, x) in x.chunks(BATCH * n_quants).enumerate() {
        let n_tokens = x.len() / n_quants;
        for group in groups.clone().step_by(TILE_GROUPS) {
            // The last group stands in for one that is behind it; nobody keeps those sums.
            let w: [_; TILE_GROUPS] =
                array::from_fn(|i| &w[(group + i).min(groups.end - 1) * n_blocks..][..n_blocks]);
            let mut sums = [[_mm512_setzero_ps(); TILE_GROUPS]; BATCH];
            for first in (0..n_quants).step_by(PANEL) {
                let panel = &mut panel[..PANEL.min(n_quants - first)];
                for (quant, unpacked) in (first..).zip(&mut *panel) {
                    for (unpacked, w) in unpacked.iter_mut().zip(w) {
                        *unpacked = (kind.unpack)(&w[quant / N], quant % N);
                    }
                }
                let x = |token: usize| &x[token * n_quants + first..][..panel.len()];
                let (tiles, others) = sums[..n_tokens].as_chunks_mut::<TILE_TOKENS>();
                let n_tiled = tiles.len() * TILE_TOKENS;
                for (i, sums) in tiles.iter_mut().enumerate() {
                    let x = array::from_fn(|token| x(i * TILE_TOKENS + token));
                    *sums = tile::<_, HALVES>(panel, x, *sums, &kind.bias, &kind.add);
                }
                for (i, sums) in others.iter_mut().enumerate() {
                    for (w, x) in panel.iter().zip(x(n_tiled + i)) {
                        *sums = array::from_fn(|group| add(&w[group], x, sums[group]));
                    }
                }
            }
            for (token, sums) in sums[..n_tokens].iter().enumerate() {
                for (i, sums) in sums.iter().enumerate() {
                    to.store(batch * BATCH + token, (group + i) * ROWS, &to_array(*sums));
                }
            }
        }
    }
}

/// Return `acc` plus the products of the groups `w (n)` with `x (TILE_TOKENS)(n)`.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn tile<S, const HALVES: bool>(
    w: &[[Unpacked<S>; TILE_GROUPS]],
    x: [&[BlockQ8_1]; TILE_TOKENS],
    mut acc: [[__m512; TILE_GROUPS]; TILE_TOKENS],
    bias: &impl Fn(&BlockQ8_1) -> [__m512i; 2],
    add: &impl Fn(&S, &BlockQ8_1, [__m512i; 2], __m512) -> __m512,
) -> [[__m512; TILE_GROUPS]; TILE_TOKENS] {
    for (i, w) in w.iter().enumerate() {
        let x = x.map(|x| &x[i]);
        let products = dot::<TILE_GROUPS, TILE_TOKENS, HALVES>(w.each_ref().map(|w| &w.q), x, x.map(bias));
        for (token, acc) in acc.iter_mut().enumerate() {
            for (group, acc) in acc.iter_mut().enumerate() {
                *acc = add(&w[group].scales, x[token], products[token][group], *acc);
            }
        }
    }
    acc
}

/// Return the products of 32 weights of `G` groups with the blocks `x` of `T` tokens, which begin with `bias`: those with the first half of `x`; and
/// those with the second half (`HALVES`), or with all of it.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn dot<const G: usize, const T: usize, const HALVES: bool>(
    w: [&[__m512i; 8]; G],
    x: [&BlockQ8_1; T],
    bias: [[__m512i; 2]; T],
) -> [[[__m512i; 2]; G]; T] {
    let mut products = bias.map(|[first, _]| [[first; 2]; G]);
    for half in 0..2 {
        if half == 1 {
            for (products, bias) in products.iter_mut().zip(bias) {
                for products in products {
                    products[1] = if HALVES { bias[1] } else { products[0] };
                }
            }
        }
        for i in 4 * half..4 * half + 4 {
            for (products, x) in products.iter_mut().zip(x) {
                let x = four(x, i);
                for (products, w) in products.iter_mut().zip(w) {
                    products[half] = _mm512_dpbusd_epi32(products[half], w[i], x);
                }
            }
        }
    }
    products
}

/// Return `acc + products * d * x.d`.
#[target_feature(enable = "avx512f")]
#[inline]
fn add_scaled(products: __m512i, d: __m512, x: &BlockQ8_1, acc: __m512) -> __m512 {
    _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), _mm512_mul_ps(d, _mm512_set1_ps(x.d)), acc)
}

/// Return the sums of either half of `x`, in all lanes.
#[target_feature(enable = "avx512f")]
#[inline]
fn sums(x: &BlockQ8_1) -> __m512i {
    _mm512_set1_epi32(x.lane_of_sums())
}

/// Return four activations, from `4 * i` on, in all lanes.
#[target_feature(enable = "avx512f")]
#[inline]
fn four(x: &BlockQ8_1, i: usize) -> __m512i {
    let (fours, _) = x.qs.as_chunks::<4>();
    _mm512_set1_epi32(i32::from_le_bytes(fours[i].map(|q| q as u8)))
}
