//! Products of interleaved rows with many tokens: a group of rows and some tokens at a time, whose sums are in registers.
//!
//! What is loaded for one vector meets all others of its tile: a vector of weights every token, four activations either half of the group. Weights are
//! unpacked once for [`BATCH`] tokens, into a panel that stays in the first cache; those with a sign into 16 bits, since bytes would have to
//! hand it over to each activation that they meet. Sums are whole numbers until a block is complete, so that a token has the same
//! products, to the bit, among many as alone.

use core::arch::asm;
use core::arch::x86_64::*;
use core::array;

use zerocopy::FromBytes;

use super::super::woven::{Destination, Woven};
use super::interleaved::four;
use super::unpack::{Unpacked, even_and_odd};
use super::vectors::{LANES, load_i8, store_i32, to_array};
use crate::quant::{BlockQ8_1, QK, ROWS};

/// Tokens of a tile: with both halves of a group these are eight sums.
pub(super) const TOKENS: usize = 4;

/// Halves of a group, a vector each.
const PARTS: usize = ROWS / LANES;

/// Tokens that share unpacked weights: of what they are multiplied by at a time, the second cache keeps all.
const BATCH: usize = 256;

/// Blocks of unpacked weights in a panel, which takes half of the first cache.
const PANEL: usize = 16;

/// The sums of a tile.
type Sums<V> = [[V; PARTS]; TOKENS];

/// Write the products of the interleaved rows `w` with `x (n_tokens, n_in / QK)`. A block of weights meets `N` of activations:
/// `unpack(block, i, part)` returns what meets block `i`, and `dot` multiplies it.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn mul_mat<B: Woven, const V: usize, const N: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    mut to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize, usize) -> Unpacked<V>,
    dot: impl Fn([&[__m256i; V]; PARTS], [&BlockQ8_1; TOKENS]) -> Sums<__m256i>,
) {
    let w = <[B]>::ref_from_bytes(w).expect("whole groups");
    let (n_quants, n_blocks) = (to.n_in / QK, to.n_in / (N * QK));
    let Some(block) = w.first() else { return };
    let mut panel = [[unpack(block, 0, 0); PARTS]; PANEL];
    for (batch, x) in x.chunks(BATCH * n_quants).enumerate() {
        let n_tokens = x.len() / n_quants;
        for group in to.groups() {
            let w = &w[group * n_blocks..][..n_blocks];
            let mut sums = [[_mm256_setzero_ps(); PARTS]; BATCH];
            for first in (0..n_quants).step_by(PANEL) {
                let panel = &mut panel[..PANEL.min(n_quants - first)];
                for (quant, unpacked) in (first..).zip(&mut *panel) {
                    *unpacked = array::from_fn(|part| unpack(&w[quant / N], quant % N, part));
                }
                for (i, sums) in
                    sums[..n_tokens.next_multiple_of(TOKENS)].as_chunks_mut().0.iter_mut().enumerate()
                {
                    // Where tokens are lacking the last one stands in; nobody reads those sums.
                    let x = array::from_fn(|token| {
                        &x[(i * TOKENS + token).min(n_tokens - 1) * n_quants + first..][..panel.len()]
                    });
                    *sums = tile(panel, x, *sums, &dot);
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

/// Return `sums` plus the products of `w (n)` with `x (TOKENS)(n)`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn tile<const V: usize>(
    w: &[[Unpacked<V>; PARTS]],
    x: [&[BlockQ8_1]; TOKENS],
    mut sums: Sums<__m256>,
    dot: &impl Fn([&[__m256i; V]; PARTS], [&BlockQ8_1; TOKENS]) -> Sums<__m256i>,
) -> Sums<__m256> {
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
fn pairs(w: [&[__m256i; 8]; PARTS], x: [&BlockQ8_1; TOKENS], start: usize, end: usize) -> Sums<__m256i> {
    let mut sums = [[_mm256_setzero_si256(); PARTS]; TOKENS];
    for i in start..end {
        for token in 0..TOKENS {
            let x = four(x[token], i);
            for part in 0..PARTS {
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
fn in_order(mut sum: __m256i) -> __m256i {
    // SAFETY: no instruction stands there.
    unsafe { asm!("/* {} */", inout(ymm_reg) sum, options(pure, nomem, nostack, preserves_flags)) };
    sum
}

/// Return the products with weights of 16 bits, two of them in a lane, in the order of [`even_and_odd`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn dot_16_bits(w: [&[__m256i; 16]; PARTS], x: [&BlockQ8_1; TOKENS]) -> Sums<__m256i> {
    let mut twos = [[0; 16]; TOKENS];
    for token in 0..TOKENS {
        let (halves, _) = twos[token].as_chunks_mut();
        for (half, x) in halves.iter_mut().zip(even_and_odd(load_i8(&x[token].qs))) {
            store_i32(half, x);
        }
    }
    let mut sums = [[_mm256_setzero_si256(); PARTS]; TOKENS];
    for i in 0..16 {
        for token in 0..TOKENS {
            let x = _mm256_set1_epi32(twos[token][i]);
            for part in 0..PARTS {
                let products = _mm256_madd_epi16(w[part][i], x);
                sums[token][part] = in_order(_mm256_add_epi32(sums[token][part], products));
            }
        }
    }
    sums
}
