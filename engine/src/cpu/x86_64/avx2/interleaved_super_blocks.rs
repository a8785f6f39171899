//! Products of interleaved rows of super-blocks, half a group at a time, as [`super::interleaved`] has those of blocks.
//!
//! All activations that a super-block meets have one scale, and its own scales are whole numbers: so are the products until it is complete.

use core::arch::x86_64::*;
use core::array;

use super::super::fetch;
use super::super::woven::{self, Destination, SuperBlock, SuperBlockQ6, Woven};
use super::interleaved::{add_times, four, sums_of_halves};
use super::tiles::{self, PARTS, Sums, TOKENS, in_order, pairs};
use super::unpack::{UnpackedK, unpack_q4_k, unpack_q5_k, unpack_q6_k};
use super::vectors::to_array;
use crate::quant::{BlockQ8_1, QK, QK_K};

/// Do something with each number, which is a constant there, and what depends on it too: the compiler turns no loop as long as these into that.
macro_rules! unrolled {
    ($i:ident in $($n:literal)* => $body:block) => { $( { let $i = $n; $body } )* };
}

/// Blocks of activations that a super-block meets.
const N: usize = QK_K / QK;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q4_k(w: &[u8], x: &[BlockQ8_1], to: Destination<'_, '_>) {
    let unpack = |w: &SuperBlock<32>, i, part| unpack_q4_k(w, i, part);
    match to.out.len() < TOKENS {
        true => multiply_few(w, x, to, unpack, |w, x, sums| add_4_bits(w, x, sums)),
        false => multiply_many(w, x, to, unpack, |w, x, sums| add_4_bits(w, x, sums)),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q5_k(w: &[u8], x: &[BlockQ8_1], to: Destination<'_, '_>) {
    let unpack = |w: &SuperBlock<40>, i, part| unpack_q5_k(w, i, part);
    match to.out.len() < TOKENS {
        true => multiply_few(w, x, to, unpack, |w, x, sums| add_5_bits(w, x, sums)),
        false => multiply_many(w, x, to, unpack, |w, x, sums| add_5_bits(w, x, sums)),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn mul_mat_q6_k(w: &[u8], x: &[BlockQ8_1], to: Destination<'_, '_>) {
    let unpack = |w: &SuperBlockQ6, i, part| unpack_q6_k(w, i, part);
    match to.out.len() < TOKENS {
        true => multiply_few(w, x, to, unpack, |w, x, sums| add_6_bits(w, x, sums)),
        false => multiply_many(w, x, to, unpack, |w, x, sums| add_6_bits(w, x, sums)),
    }
}

/// Write the products of the interleaved rows `w` with `x (n_tokens, n_in / QK)`, each token by itself: `unpack(block, i, part)` returns what
/// meets block `i` of a super-block's activations, and `add` adds its products to whole numbers.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn multiply_few<B: Woven, const S: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize, usize) -> UnpackedK<S>,
    add: impl Fn([&UnpackedK<S>; 1], [&BlockQ8_1; 1], Sums<__m256i, 1, 1>) -> Sums<__m256i, 1, 1>,
) {
    let add = |w: &B, x: &[BlockQ8_1; N], sums: [__m256; PARTS]| {
        let mut products = [[[_mm256_setzero_si256()]]; PARTS];
        let mut offsets = [_mm256_setzero_ps(); PARTS];
        let (mut d, mut m) = (offsets, offsets);
        for pair in 0..N / 2 {
            fetch::ahead(w, pair, N / 2);
            // Of two blocks one has the low bits of what is loaded, and both halves of the group meet the same activations.
            unrolled!(half in 0 1 => {
                let i = 2 * pair + half;
                unrolled!(part in 0 1 => {
                    let w = unpack(w, i, part);
                    products[part] = add([&w], [&x[i]], products[part]);
                    offsets[part] = add_offset(&w, &x[i], offsets[part]);
                    (d[part], m[part]) = (w.d, w.m);
                });
            });
        }
        array::from_fn(|part| {
            add_scaled::<S>(products[part][0][0], d[part], offsets[part], m[part], &x[0], sums[part])
        })
    };
    woven::multiply_blocks(w, x, to, _mm256_setzero_ps(), add, |sums| to_array(sums));
}

/// As [`multiply_few`], tile by tile.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::cpu::x86_64) fn multiply_many<B: Woven, const S: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize, usize) -> UnpackedK<S>,
    add: impl Fn([&UnpackedK<S>; PARTS], [&BlockQ8_1; TOKENS], Sums<__m256i>) -> Sums<__m256i>,
) {
    let tile = |w: &[[UnpackedK<S>; PARTS]], x: [&[BlockQ8_1]; TOKENS], mut sums: Sums<__m256>| {
        for (i, w) in w.as_chunks::<N>().0.iter().enumerate() {
            let x: [&[BlockQ8_1; N]; TOKENS] = x.map(|x| &x.as_chunks().0[i]);
            let mut products = [[_mm256_setzero_si256(); PARTS]; TOKENS];
            for i in 0..N {
                products = add(w[i].each_ref(), x.map(|x| &x[i]), products);
            }
            for token in 0..TOKENS {
                for part in 0..PARTS {
                    let mut offsets = _mm256_setzero_ps();
                    for i in 0..N {
                        offsets = add_offset(&w[i][part], &x[token][i], offsets);
                    }
                    let (w, products) = (&w[0][part], products[token][part]);
                    sums[token][part] =
                        add_scaled::<S>(products, w.d, offsets, w.m, &x[token][0], sums[token][part]);
                }
            }
        }
        sums
    };
    tiles::mul_mat::<_, _, _, QK, N, { tiles::PANEL }, { tiles::BATCH }>(
        w,
        x,
        to,
        |w, i, place| place.write(array::from_fn(|part| unpack(w, i, part))),
        tile,
    );
}

/// Return `offsets` and what the offset of the weights, of which only those with one scale have one, takes off.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_offset<const S: usize>(w: &UnpackedK<S>, x: &BlockQ8_1, offsets: __m256) -> __m256 {
    if S > 1 {
        return offsets;
    }
    _mm256_fmadd_ps(w.offset, _mm256_set1_ps(x.s), offsets)
}

/// Return `sum + products * d * x.d - offsets * m`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_scaled<const S: usize>(
    products: __m256i,
    d: __m256,
    offsets: __m256,
    m: __m256,
    x: &BlockQ8_1,
    sum: __m256,
) -> __m256 {
    let sum = add_times(d, products, x.d, sum);
    if S > 1 { sum } else { _mm256_fnmadd_ps(offsets, m, sum) }
}

/// Add the products with weights of 4 bits, and of their scales: all eight of a lane's pairs are at most 8 * 2 * 15 * 127 = 30,480.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_4_bits<const P: usize, const T: usize>(
    w: [&UnpackedK<1>; P],
    x: [&BlockQ8_1; T],
    mut sums: Sums<__m256i, P, T>,
) -> Sums<__m256i, P, T> {
    let pairs = pairs(w.map(|w| &w.q), x, 0, 8);
    for token in 0..T {
        for part in 0..P {
            let products = _mm256_madd_epi16(pairs[token][part], w[part].scales[0]);
            sums[token][part] = _mm256_add_epi32(sums[token][part], products);
        }
    }
    sums
}

/// Add the products with weights of 5 bits, and of their scales: four of a lane's pairs are at most 4 * 2 * 31 * 127 = 31,496.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_5_bits<const P: usize, const T: usize>(
    w: [&UnpackedK<1>; P],
    x: [&BlockQ8_1; T],
    mut sums: Sums<__m256i, P, T>,
) -> Sums<__m256i, P, T> {
    unrolled!(half in 0 1 => {
        let pairs = pairs(w.map(|w| &w.q), x, 4 * half, 4 * half + 4);
        for token in 0..T {
            for part in 0..P {
                let products = _mm256_madd_epi16(pairs[token][part], w[part].scales[0]);
                sums[token][part] = _mm256_add_epi32(sums[token][part], products);
            }
        }
    });
    sums
}

/// Add the products with weights of 6 bits, from each of which 32 is taken, and of their scales, one for either half: two of a lane's pairs
/// are at most 2 * 2 * 63 * 127 = 32,004.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_6_bits<const P: usize, const T: usize>(
    w: [&UnpackedK<3>; P],
    x: [&BlockQ8_1; T],
    mut sums: Sums<__m256i, P, T>,
) -> Sums<__m256i, P, T> {
    unrolled!(i in 0 1 2 3 => {
        for token in 0..T {
            let (first, second) = (four(x[token], 2 * i), four(x[token], 2 * i + 1));
            for part in 0..P {
                let first = _mm256_maddubs_epi16(w[part].q[2 * i], first);
                let second = _mm256_maddubs_epi16(w[part].q[2 * i + 1], second);
                let products = _mm256_madd_epi16(_mm256_add_epi16(first, second), w[part].scales[i / 2]);
                sums[token][part] = in_order(_mm256_add_epi32(sums[token][part], products));
            }
        }
    });
    for token in 0..T {
        let x = sums_of_halves(x[token]);
        for part in 0..P {
            let products = _mm256_madd_epi16(x, w[part].scales[2]);
            sums[token][part] = _mm256_add_epi32(sums[token][part], products);
        }
    }
    sums
}
