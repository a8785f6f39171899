//! Products of interleaved rows that are floats: all of a group in a vector, or of eight of its rows those of two columns.

use core::arch::x86_64::*;
use core::array;

use zerocopy::little_endian::F32;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::super::woven::{Destination, Lanes};
use super::super::woven_floats::{self, PAIR, Steps};
use super::vectors::{LANES, load_bf16_le, load_f16_le, load_f32, load_f32_le, load_pair, store_f32};
use crate::cpu::FEW_TOKENS;
use crate::quant::{Activations, BF16, F16, ROWS, TensorType};

/// Groups, and tokens, of a tile: 2 * 8 sums keep both units busy, which take four cycles for a multiplication, and ten loads serve sixteen of
/// them.
const GROUPS: usize = 2;
pub(in crate::cpu::x86_64) const TOKENS: usize = 8;

/// Steps whose weights are unpacked at a time, and tokens that share them, a multiple of those in any tile: the second cache keeps their
/// activations.
pub(super) const PANEL: usize = 128;
pub(super) const BATCH: usize = 264;

/// Write the products of rows of `kind`, which is a float, with `x (n_tokens, n_in)`.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
pub(super) fn mul_mat(kind: TensorType, w: &[u8], x: Activations<'_>, to: Destination<'_, '_>) {
    match kind {
        TensorType::F16 => mul_mat_halves(w, x, to, |w: &[F16; LANES]| load_f16_le(w)),
        TensorType::BF16 => mul_mat_halves(w, x, to, |w: &[BF16; LANES]| load_bf16_le(w)),
        _ => mul_mat_f32(w, x, to),
    }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
fn mul_mat_f32(w: &[u8], x: Activations<'_>, to: Destination<'_, '_>) {
    let load = |w: &Lanes| load_all::<F32, 1>(w, |w| load_f32_le(w));
    if to.out.len() <= FEW_TOKENS {
        let add = |w: &Lanes, &[x]: &[f32; 1], [sum]: [__m512; 1]| {
            let [w] = load(w);
            [_mm512_fmadd_ps(w, _mm512_set1_ps(x), sum)]
        };
        woven_floats::multiply_few(w, x.floats, to, _mm512_setzero_ps(), add, |[sums]| to_array(sums));
    } else {
        multiply_many::<1>(w, x.tiles.words, to, |w| [load(w)]);
    }
}

/// As [`mul_mat`], with weights of 16 bits; `load` returns sixteen of them.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
#[inline]
fn mul_mat_halves<B: FromBytes + Immutable + KnownLayout + Unaligned>(
    w: &[u8],
    x: Activations<'_>,
    to: Destination<'_, '_>,
    load: impl Fn(&[B; LANES]) -> __m512,
) {
    let load = |w: &Lanes| load_all::<B, PAIR>(w, &load);
    if to.out.len() <= FEW_TOKENS {
        let add = |w: &Lanes, x: &[f32; PAIR], [first, second]: [__m512; PAIR]| {
            let ([a, b], x) = (load(w), load_pair(x));
            [_mm512_fmadd_ps(a, x, first), _mm512_fmadd_ps(b, x, second)]
        };
        woven_floats::multiply_few(w, x.floats, to, _mm512_setzero_ps(), add, |sums| {
            // A lane has the sum of every other column.
            let [even, odd] = split(sums);
            to_array(_mm512_add_ps(even, odd))
        });
    } else {
        multiply_many::<PAIR>(w, x.tiles.words, to, |w| split(load(w)).map(|column| [column]));
    }
}

/// Write the products with many tokens; `unpack` returns the `S` columns of a block.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
#[inline]
fn multiply_many<const S: usize>(
    w: &[u8],
    x: &[u32],
    to: Destination<'_, '_>,
    unpack: impl Fn(&Lanes) -> [[__m512; 1]; S],
) {
    let steps = Steps {
        zero: _mm512_setzero_ps(),
        unpack,
        add: |w, x, sum| _mm512_fmadd_ps(w, _mm512_set1_ps(f32::from_bits(x)), sum),
        add_to: |[sums]: [__m512; 1], out: &mut [f32; ROWS]| add_to(sums, out),
    };
    woven_floats::multiply_many::<_, _, S, S, 1, GROUPS, TOKENS, PANEL, BATCH>(w, x, to, &steps);
}

/// Return the floats of a block, sixteen by sixteen.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
#[inline]
pub(super) fn load_all<B: FromBytes + Immutable + KnownLayout + Unaligned, const M: usize>(
    w: &Lanes,
    load: impl Fn(&[B; LANES]) -> __m512,
) -> [__m512; M] {
    <[[B; LANES]; M]>::ref_from_bytes(w).expect("as many bytes as lanes have").each_ref().map(load)
}

/// Return the two columns that lie side by side in `pairs`.
#[target_feature(enable = "avx512f")]
#[inline]
fn split([a, b]: [__m512; PAIR]) -> [__m512; PAIR] {
    let every_other = |first| {
        let indices: [i32; LANES] = array::from_fn(|i| (PAIR * i) as i32 + first);
        // SAFETY: both are 64 bytes, any of which are whole numbers.
        let indices = unsafe { core::mem::transmute::<[i32; LANES], __m512i>(indices) };
        _mm512_permutex2var_ps(a, indices, b)
    };
    [every_other(0), every_other(1)]
}

#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn to_array(v: __m512) -> [f32; ROWS] {
    let mut out = [0.0; ROWS];
    store_f32(&mut out, v);
    out
}

/// Add `v` to `out`.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn add_to(v: __m512, out: &mut [f32; ROWS]) {
    let sums = _mm512_add_ps(load_f32(out), v);
    store_f32(out, sums);
}
