//! Products of interleaved rows of 16-bit floats with many tokens, in fixed point: each [`COLUMNS`] of a row, and of a token's activations,
//! become whole numbers of 16 bits with one scale (block floating point; Wilkinson, Rounding Errors in Algebraic Processes, 1963). VPMADDWD adds
//! two products in a lane where VFMADD adds one.
//!
//! The scale makes the block's Euclidean norm the largest number that there is. So no sum of products of two blocks, in whatever order, is larger than
//! its square (Cauchy and Schwarz), and 32 bits have room for it. Normally distributed numbers get twelve bits for their standard deviation, and
//! those larger than half of it are then as fine as F16 has them.

use core::arch::x86_64::*;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::woven::{Destination, Lanes, Woven};
use super::super::woven_floats::PAIR;
use super::interleaved::add_times;
use super::tiles::{self, PARTS, Sums, TOKENS, in_order};
use super::vectors::{LANES, load_f32, store_i16, sum};

/// Numbers of a block.
pub(in crate::cpu::x86_64) const COLUMNS: usize = 64;

/// Vectors of a block of weights.
const VECTORS: usize = COLUMNS / PAIR;

/// The norm of a block: each number may be rounded by a half, which adds up to four.
const NORM: f32 = i16::MAX as f32 - 4.0;

/// Blocks whose norm is no larger are zeros; the inverse of a scale is a float too.
const LEAST: f32 = 1e-18;

/// Blocks in a panel, which is then no more of the second cache than those of quantized weights, and tokens that share it: unpacking takes longer here.
const PANEL: usize = 48;
const BATCH: usize = 256;

/// Words of a block of activations.
pub(in crate::cpu::x86_64) const WORDS: usize = size_of::<Block>() / size_of::<u32>();

/// Activations `d * q`.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
struct Block {
    d: f32,
    q: [[i16; PAIR]; VECTORS],
}

/// Weights of a group.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Halves([Lanes; VECTORS]);

impl Woven for Halves {}

/// Weights `d * q` of eight rows: vector `i` has those of columns `2 * i` and `2 * i + 1`.
#[derive(Clone, Copy, FromZeros)]
struct Unpacked {
    q: [__m256i; VECTORS],
    d: __m256,
}

/// As [`crate::cpu::Kernels::tile`], in words of [`Block`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn tile(x: &[f32], out: &mut [u32]) {
    let out = <[Block]>::mut_from_bytes(out.as_mut_bytes()).expect("whole blocks");
    for (x, out) in x.as_chunks::<COLUMNS>().0.iter().zip(out) {
        let x: &[[f32; LANES]] = x.as_chunks().0;
        let mut squares = _mm256_setzero_ps();
        for x in x {
            squares = _mm256_fmadd_ps(load_f32(x), load_f32(x), squares);
        }
        let norm = libm::sqrtf(sum(squares));
        let inverse = _mm256_set1_ps(if norm > LEAST { NORM / norm } else { 0.0 });
        let pairs = x.as_chunks::<2>().0.iter().zip(out.q.as_chunks_mut::<LANES>().0);
        for ([first, second], out) in pairs {
            store_i16(out, in_columns(round([load_f32(first), load_f32(second)], [inverse; 2])));
        }
        out.d = norm / NORM;
    }
}

/// Write the products of the interleaved rows `w` with the activations `x (n_tokens, n_in / COLUMNS)` that [`tile`] made; `load` returns eight weights.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn mul_mat<B: FromBytes + Immutable + KnownLayout + Unaligned>(
    w: &[u8],
    x: &[u32],
    to: Destination<'_, '_>,
    load: impl Fn(&[B; LANES]) -> __m256,
) {
    let x = <[Block]>::ref_from_bytes(x.as_bytes()).expect("whole blocks");
    tiles::mul_mat::<_, _, _, COLUMNS, 1, PANEL, BATCH>(
        w,
        x,
        to,
        |w, _, place| {
            let parts = place.write(FromZeros::new_zeroed());
            parts.iter_mut().enumerate().for_each(|(part, out)| unpack(w, part, &load, out));
            parts
        },
        |w, x, sums| multiply_tile(w, x, sums),
    );
}

/// Write half `part` of the rows of a block to `out`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn unpack<B: FromBytes + Immutable + KnownLayout + Unaligned>(
    w: &Halves,
    part: usize,
    load: impl Fn(&[B; LANES]) -> __m256,
    out: &mut Unpacked,
) {
    // Two vectors of four rows, of each of which two columns lie side by side.
    let load = |w: &Lanes| -> [__m256; 2] {
        let parts = <[[[B; LANES]; 2]; PARTS]>::ref_from_bytes(w).expect("as many bytes as lanes have");
        parts[part].each_ref().map(&load)
    };
    let mut squares = [_mm256_setzero_ps(); 2];
    for w in &w.0 {
        let [first, second] = load(w);
        squares[0] = _mm256_fmadd_ps(first, first, squares[0]);
        squares[1] = _mm256_fmadd_ps(second, second, squares[1]);
    }
    let both = |v| _mm256_add_ps(v, _mm256_permute_ps::<0b10_11_00_01>(v));
    let norms = squares.map(|squares| _mm256_sqrt_ps(both(squares)));
    let inverses = norms.map(|norm| {
        let inverse = _mm256_div_ps(_mm256_set1_ps(NORM), norm);
        _mm256_and_ps(inverse, _mm256_cmp_ps::<_CMP_GT_OQ>(norm, _mm256_set1_ps(LEAST)))
    });
    for (w, out) in w.0.iter().zip(&mut out.q) {
        *out = in_columns(round(load(w), inverses));
    }
    // A row's norm is in both of its lanes.
    let norms = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(norms[0], norms[1]));
    out.d = _mm256_mul_ps(_mm256_castsi256_ps(in_columns(norms)), _mm256_set1_ps(1.0 / NORM));
}

/// Return the products as whole numbers of 16 bits, ties to even: four of either vector by turns, as packing leaves them.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn round(x: [__m256; 2], factors: [__m256; 2]) -> __m256i {
    let first = _mm256_cvtps_epi32(_mm256_mul_ps(x[0], factors[0]));
    let second = _mm256_cvtps_epi32(_mm256_mul_ps(x[1], factors[1]));
    _mm256_packs_epi32(first, second)
}

/// Return the quarters of `v` in the order of two vectors one behind the other, of which they came by turns.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn in_columns(v: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(v)
}

/// Return `sums` and the products of `w (n)` with `x (TOKENS)(n)`.
#[allow(clippy::needless_range_loop, reason = "iterators over arrays do not stay in registers")]
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn multiply_tile(w: &[[Unpacked; PARTS]], x: [&[Block]; TOKENS], mut sums: Sums<__m256>) -> Sums<__m256> {
    for (i, w) in w.iter().enumerate() {
        let x = x.map(|x| &x[i]);
        let pair = |x: &Block, i: usize| _mm256_set1_epi32(zerocopy::transmute!(x.q[i]));
        // The first are sums already.
        let mut products = x.map(|x| {
            let x = pair(x, 0);
            w.each_ref().map(|w| _mm256_madd_epi16(w.q[0], x))
        });
        for i in 1..VECTORS {
            for token in 0..TOKENS {
                let x = pair(x[token], i);
                for part in 0..PARTS {
                    let product = _mm256_madd_epi16(w[part].q[i], x);
                    products[token][part] = in_order(_mm256_add_epi32(products[token][part], product));
                }
            }
        }
        for token in 0..TOKENS {
            for part in 0..PARTS {
                let (d, products) = (w[part].d, products[token][part]);
                sums[token][part] = add_times(d, products, x[token].d, sums[token][part]);
            }
        }
    }
    sums
}
