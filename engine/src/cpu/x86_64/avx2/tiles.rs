//! Products of interleaved rows with many tokens: a group of rows and some tokens at a time, whose sums are in registers.
//!
//! What is loaded for one vector meets all others of its tile: a vector of weights every token, four activations either half of the group. Weights are
//! unpacked once for [`BATCH`] tokens, into a panel that stays in the second cache. Sums are whole numbers until a block is complete, so that
//! a token has the same products, to the bit, among many as alone.

use core::arch::asm;
use core::arch::x86_64::*;
use core::array;

use zerocopy::FromBytes;

use super::super::buffer::Buffer;
use super::super::woven::{Destination, Woven};
use super::interleaved::four;
use super::unpack::Unpacked;
use super::vectors::{LANES, to_array};
use crate::quant::{BlockQ8_1, QK, ROWS};

/// Tokens of a tile: with both halves of a group these are eight sums.
pub(in crate::cpu::x86_64) const TOKENS: usize = 4;

/// Halves of a group, a vector each.
pub(in crate::cpu::x86_64) const PARTS: usize = ROWS / LANES;

/// Tokens that share unpacked weights.
const BATCH: usize = 128;

/// Blocks of unpacked weights in a panel, more than the rows of most models have. A tile reads weights and activations in order, and the longer
/// it goes on, the better they are foreseen. (Zen 3, TinyLlama Q4_0, two cores, a fourth of the second cache in place of
/// half of the first: 126 -> 153 tokens/s.)
const PANEL: usize = 192;

/// A number for each token, or a vector of them for either half of a group.
pub(in crate::cpu::x86_64) type Sums<V, const P: usize = PARTS, const T: usize = TOKENS> = [[V; P]; T];

/// Write the products of the interleaved rows `w` with `x (n_tokens, n_in / QK)`. A block of weights meets `N` of activations:
/// `unpack(block, i, part)` returns what meets block `i`, and `tile(w (n), x (TOKENS)(n), sums)` the sums and the products.
///
/// It is not inlined, so that products with few tokens need not have room for a panel.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
pub(super) fn mul_mat<B: Woven, W: Copy, const N: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    mut to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize, usize) -> W,
    tile: impl Fn(&[[W; PARTS]], [&[BlockQ8_1]; TOKENS], Sums<__m256>) -> Sums<__m256>,
) {
    let w = <[B]>::ref_from_bytes(w).expect("whole groups");
    let (n_quants, n_blocks) = (to.n_in / QK, to.n_in / (N * QK));
    let mut panel = Buffer::<[W; PARTS], PANEL>::new();
    let mut sums = [[_mm256_setzero_ps(); PARTS]; BATCH];
    for (batch, x) in x.chunks(BATCH * n_quants).enumerate() {
        let n_tokens = x.len() / n_quants;
        let sums = &mut sums[..n_tokens.next_multiple_of(TOKENS)];
        for group in to.groups() {
            let w = &w[group * n_blocks..][..n_blocks];
            sums.fill([_mm256_setzero_ps(); PARTS]);
            for first in (0..n_quants).step_by(PANEL) {
                let panel = panel.fill(PANEL.min(n_quants - first), |i| {
                    let quant = first + i;
                    [array::from_fn(|part| unpack(&w[quant / N], quant % N, part))]
                });
                for (i, sums) in sums.as_chunks_mut().0.iter_mut().enumerate() {
                    // Where tokens are lacking the last one stands in; nobody reads those sums.
                    let x = |token: usize| {
                        let token = (i * TOKENS + token).min(n_tokens - 1);
                        &x[token * n_quants + first..][..panel.len()]
                    };
                    // One by one: what makes an array of a function's results would be called here.
                    let x: [_; TOKENS] = [x(0), x(1), x(2), x(3)];
                    *sums = tile(panel, x, *sums);
                }
            }
            for (token, sums) in sums[..n_tokens].iter().enumerate() {
                for (part, sums) in sums.iter().enumerate() {
                    to.store(batch * BATCH + token, group * ROWS + part * LANES, &to_array(*sums));
                }
            }
        }
    }
}

/// As [`mul_mat`], of blocks that meet one of activations; `dot` returns the products of a block in whole numbers.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn mul_mat_blocks<B: Woven>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize) -> Unpacked,
    dot: impl Fn([&[__m256i; 8]; PARTS], [&BlockQ8_1; TOKENS]) -> Sums<__m256i>,
) {
    let tile = |w: &[[Unpacked; PARTS]], x: [&[BlockQ8_1]; TOKENS], mut sums: Sums<__m256>| {
        for (i, w) in w.iter().enumerate() {
            let x = x.map(|x| &x[i]);
            let products = dot(w.each_ref().map(|w| &w.q), x);
            for token in 0..TOKENS {
                let (d, s) = (_mm256_set1_ps(x[token].d), _mm256_set1_ps(x[token].s));
                for part in 0..PARTS {
                    let products = _mm256_cvtepi32_ps(products[token][part]);
                    let sum = _mm256_fmadd_ps(products, _mm256_mul_ps(w[part].d, d), sums[token][part]);
                    sums[token][part] = _mm256_fmadd_ps(w[part].m, s, sum);
                }
            }
        }
        sums
    };
    mul_mat::<_, _, 1>(w, x, to, |w, _, part| unpack(w, part), tile);
}

/// Return the products with weights of up to 4 bits: all eight of a lane's pairs are at most 8 * 2 * 15 * 127 = 30,480.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn dot_4_bits(w: [&[__m256i; 8]; PARTS], x: [&BlockQ8_1; TOKENS]) -> Sums<__m256i> {
    let ones = _mm256_set1_epi16(1);
    pairs(w, x, 0, 8).map(|sums| sums.map(|sum| _mm256_madd_epi16(sum, ones)))
}

/// Return the products with weights of up to 5 bits: four of a lane's pairs are at most 4 * 2 * 31 * 127 = 31,496.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn dot_5_bits(w: [&[__m256i; 8]; PARTS], x: [&BlockQ8_1; TOKENS]) -> Sums<__m256i> {
    let ones = _mm256_set1_epi16(1);
    let mut sums = pairs(w, x, 0, 4).map(|sums| sums.map(|sum| _mm256_madd_epi16(sum, ones)));
    let others = pairs(w, x, 4, 8);
    for token in 0..TOKENS {
        for part in 0..PARTS {
            let others = _mm256_madd_epi16(others[token][part], ones);
            sums[token][part] = _mm256_add_epi32(sums[token][part], others);
        }
    }
    sums
}

/// Return the sums, in 16 bits, of the pairs of products of the vectors from `start` to `end`.
#[allow(clippy::needless_range_loop, reason = "iterators over arrays do not stay in registers")]
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn pairs<const P: usize, const T: usize>(
    w: [&[__m256i; 8]; P],
    x: [&BlockQ8_1; T],
    start: usize,
    end: usize,
) -> Sums<__m256i, P, T> {
    // The first are sums already: one addition less of those that take turns with the products.
    let mut sums = x.map(|x| w.map(|w| _mm256_maddubs_epi16(w[start], four(x, start))));
    for i in start + 1..end {
        for token in 0..T {
            let x = four(x[token], i);
            for part in 0..P {
                let products = _mm256_maddubs_epi16(w[part][i], x);
                sums[token][part] = in_order(_mm256_add_epi16(sums[token][part], products));
            }
        }
    }
    sums
}

/// Return `sum`, and see to it that it is complete here. Whole numbers can be added in any order, and the compiler likes one that takes more
/// registers than there are.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn in_order(mut sum: __m256i) -> __m256i {
    // SAFETY: no instruction stands there.
    unsafe { asm!("/* {} */", inout(ymm_reg) sum, options(pure, nomem, nostack, preserves_flags)) };
    sum
}

/// Return the products with signed weights of 8 bits; no activation is -128.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn dot_signed(w: [&[__m256i; 8]; PARTS], x: [&BlockQ8_1; TOKENS]) -> Sums<__m256i> {
    let ones = _mm256_set1_epi16(1);
    // maddubs takes one unsigned factor: the weight's sign goes over to the activation.
    let product = |w, size, x| {
        let pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(x, w));
        _mm256_madd_epi16(pairs, ones)
    };
    let mut sums = x.map(|x| w.map(|w| product(w[0], _mm256_abs_epi8(w[0]), four(x, 0))));
    for i in 1..8 {
        let sizes = w.map(|w| _mm256_abs_epi8(w[i]));
        for token in 0..TOKENS {
            let x = four(x[token], i);
            for part in 0..PARTS {
                let product = product(w[part][i], sizes[part], x);
                sums[token][part] = in_order(_mm256_add_epi32(sums[token][part], product));
            }
        }
    }
    sums
}
