//! Products of interleaved rows with many tokens: a group of rows and some tokens at a time, whose sums are in registers.
//!
//! What is loaded for one vector meets all others of its tile: a vector of weights every token, four activations either half of the group. Weights are
//! unpacked once for [`BATCH`] tokens, into a panel that stays in the second cache. Sums are whole numbers until a block is complete, so that
//! a token has the same products, to the bit, among many as alone.

use core::arch::asm;
use core::arch::x86_64::*;
use core::array;
use core::mem::MaybeUninit;

use zerocopy::FromBytes;

use super::super::buffer::Buffer;
use super::super::fetch;
use super::super::woven::{Destination, Woven};
use super::interleaved::{add_scaled, four};
use super::unpack::{Signed, Unpacked};
use super::vectors::{LANES, to_array};
use crate::quant::{BlockQ8_1, QK, ROWS};

/// Tokens of a tile: with both halves of a group these are eight sums.
pub(in crate::cpu::x86_64) const TOKENS: usize = 4;

/// Halves of a group, a vector each.
pub(in crate::cpu::x86_64) const PARTS: usize = ROWS / LANES;

/// Tokens that share unpacked weights.
pub(super) const BATCH: usize = 128;

/// Blocks of unpacked weights in a panel, more than the rows of most models have. A tile reads weights and activations in order, and the longer
/// it goes on, the better they are foreseen. (Zen 3, TinyLlama Q4_0, two cores, a fourth of the second cache in place of
/// half of the first: 126 -> 153 tokens/s.)
pub(super) const PANEL: usize = 192;

/// A number for each token, or a vector of them for either half of a group.
pub(in crate::cpu::x86_64) type Sums<V, const P: usize = PARTS, const T: usize = TOKENS> = [[V; P]; T];

/// Write the products of the interleaved rows `w` with `x (n_tokens, n_in / K)`. A block of weights meets `N` of activations, of `K` each:
/// `unpack(block, i, place)` writes what meets block `i`, and `tile(w (n), x (TOKENS)(n), sums)` returns the sums and the products. `PANEL` blocks
/// of weights are unpacked at a time, for `BATCH` tokens.
///
/// It is not inlined, so that products with few tokens need not have room for a panel.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
pub(super) fn mul_mat<
    B: Woven,
    W: Copy,
    X,
    const K: usize,
    const N: usize,
    const PANEL: usize,
    const BATCH: usize,
>(
    w: &[u8],
    x: &[X],
    mut to: Destination<'_, '_>,
    unpack: impl for<'w, 'p> Fn(&'w B, usize, &'p mut MaybeUninit<[W; PARTS]>) -> &'p mut [W; PARTS],
    tile: impl Fn(&[[W; PARTS]], [&[X]; TOKENS], Sums<__m256>) -> Sums<__m256>,
) {
    let blocks = <[B]>::ref_from_bytes(w).expect("whole groups");
    let (n_quants, n_blocks) = (to.n_in / K, to.n_in / (N * K));
    let mut panel = Buffer::<[W; PARTS], PANEL>::new();
    let mut sums = [[_mm256_setzero_ps(); PARTS]; BATCH];
    for (batch, x) in x.chunks(BATCH * n_quants).enumerate() {
        let n_tokens = x.len() / n_quants;
        let (tiles, _) = sums[..n_tokens.next_multiple_of(TOKENS)].as_chunks_mut::<TOKENS>();
        for group in to.groups() {
            let first_block = group * n_blocks;
            tiles.as_flattened_mut().fill([_mm256_setzero_ps(); PARTS]);
            for first in (0..n_quants).step_by(PANEL) {
                let panel = panel.fill_in_place(PANEL.min(n_quants - first), |i, place| {
                    unpack(&blocks[first_block + (first + i) / N], (first + i) % N, place)
                });
                let next = &w[(first_block + (first + panel.len()) / N) * size_of::<B>()..];
                let next = &next[..next.len().min(panel.len() / N * size_of::<B>())];
                let n_tiles = tiles.len();
                for (i, sums) in tiles.iter_mut().enumerate() {
                    // What is unpacked next comes meanwhile, some of it with each tile.
                    fetch::part(next, i, n_tiles);
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
            for (token, sums) in tiles.as_flattened()[..n_tokens].iter().enumerate() {
                for (part, sums) in sums.iter().enumerate() {
                    to.store(batch * BATCH + token, group * ROWS + part * LANES, &to_array(*sums));
                }
            }
        }
    }
}

/// As [`mul_mat`], of blocks that meet one of activations; `dot` returns the products of a block in whole numbers, and `add(w, products, x, sums)` the
/// sums and what these are worth.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn mul_mat_blocks<B: Woven, W: Copy>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize) -> W,
    dot: impl Fn([&W; PARTS], [&BlockQ8_1; TOKENS]) -> Sums<__m256i>,
    add: impl Fn(&W, __m256i, &BlockQ8_1, __m256) -> __m256,
) {
    let tile = |w: &[[W; PARTS]], x: [&[BlockQ8_1]; TOKENS], mut sums: Sums<__m256>| {
        for (i, w) in w.iter().enumerate() {
            let x = x.map(|x| &x[i]);
            let products = dot(w.each_ref(), x);
            for token in 0..TOKENS {
                for part in 0..PARTS {
                    sums[token][part] = add(&w[part], products[token][part], x[token], sums[token][part]);
                }
            }
        }
        sums
    };
    mul_mat::<_, _, _, QK, 1, PANEL, BATCH>(
        w,
        x,
        to,
        |w: &B, _, place| place.write(array::from_fn(|part| unpack(w, part))),
        tile,
    );
}

/// As [`mul_mat_blocks`], of weights `d * q + m`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn mul_mat_unpacked<B: Woven>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize) -> Unpacked,
    dot: impl Fn([&[__m256i; 8]; PARTS], [&BlockQ8_1; TOKENS]) -> Sums<__m256i>,
) {
    let dot = |w: [&Unpacked; PARTS], x: [&_; TOKENS]| dot(w.map(|w| &w.q), x);
    mul_mat_blocks(w, x, to, unpack, dot, |w, products, x, acc| add_scaled(w, products, x, acc));
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
    let add = |sums: &mut Sums<__m256i, P, T>, i: usize| {
        for token in 0..T {
            let x = four(x[token], i);
            for part in 0..P {
                let products = _mm256_maddubs_epi16(w[part][i], x);
                sums[token][part] = in_order(_mm256_add_epi16(sums[token][part], products));
            }
        }
    };
    add(&mut sums, start + 1);
    // Two at a time, which the compiler turns into all of them where it would leave a loop of one. (Zen 3 beside a busy neighbour, Q4_0: 130 -> 150 GOP/s.)
    for i in (start + 2..end).step_by(2) {
        add(&mut sums, i);
        add(&mut sums, i + 1);
    }
    sums
}

/// Return `sum`, and see to it that it is complete here, after those that were before. Whole numbers can be added in any order, and the compiler likes
/// one that takes more registers than there are.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn in_order(mut sum: __m256i) -> __m256i {
    // SAFETY: no instruction stands there.
    unsafe { asm!("/* {} */", inout(ymm_reg) sum, options(nomem, nostack, preserves_flags)) };
    sum
}

/// Return the products with signed weights of 8 bits; no activation is -128.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn dot_signed(w: [&Signed; PARTS], x: [&BlockQ8_1; TOKENS]) -> Sums<__m256i> {
    let ones = _mm256_set1_epi16(1);
    // One factor of VPMADDUBSW has no sign: the weight's goes over to the activation.
    let product = |w: &Signed, i: usize, x| {
        let pairs = _mm256_maddubs_epi16(w.sizes[i], _mm256_sign_epi8(x, w.q[i]));
        _mm256_madd_epi16(pairs, ones)
    };
    let mut sums = x.map(|x| w.map(|w| product(w, 0, four(x, 0))));
    for i in 1..8 {
        for token in 0..TOKENS {
            let x = four(x[token], i);
            for part in 0..PARTS {
                let product = product(w[part], i, x);
                sums[token][part] = in_order(_mm256_add_epi32(sums[token][part], product));
            }
        }
    }
    sums
}
