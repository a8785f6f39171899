//! Products of interleaved rows, sixteen at a time: a lane per row, four weights to a lane, from two groups of eight.
//!
//! VPDPBUSD adds four products of an unsigned and a signed byte to a lane (Intel SDM volume 2, VPDPBUSD). Weights are the
//! unsigned factor: those that are signed get 128 more, which [`BlockQ8_1::bias`] takes off again. Weights are unpacked once for
//! [`BATCH`] tokens, a panel at a time that stays in the cache. Few tokens go to the loops of AVX2, which wait for memory
//! just as long, and less where one group is read after the other: memory likes a single stream.

use core::arch::x86_64::*;
use core::array;
use core::ops::Range;

use arrayvec::ArrayVec;

use zerocopy::FromBytes;

use super::super::avx2::{
    self,
    unpack::{
        Unpacked, unpack_iq4_nl, unpack_q4_0, unpack_q4_1, unpack_q4_k, unpack_q5_0, unpack_q5_1,
        unpack_q5_k, unpack_q6_k, unpack_q8_0,
    },
};
use super::super::woven::{Destination, SuperBlockQ6, Woven};
use crate::cpu::{FEW_TOKENS, generic};
use crate::quant::{BlockQ8_1, QK, ROWS, TensorType};

/// Rows in a vector.
const LANES: usize = 2 * ROWS;

/// Tokens whose sums are in registers together with the weights of a block.
const TILE: usize = 8;

/// Tokens that share unpacked weights: their activations stay in the second cache.
const BATCH: usize = 64;

/// Blocks of unpacked weights in a panel, which takes half of the first cache.
const PANEL: usize = 24;

/// 32 weights of sixteen rows, `d * (q - 128)`: vector `i` has weights `4 * i` to `4 * i + 3`.
#[derive(Clone, Copy)]
struct Signed {
    q: [__m512i; 8],
    d: __m512,
}

/// 32 weights `d * q + m`.
#[derive(Clone, Copy)]
struct FromMinimum {
    q: [__m512i; 8],
    d: __m512,
    m: __m512,
}

/// 32 weights `d * (q - 128)`, with a scale for either half.
#[derive(Clone, Copy)]
struct Halves {
    q: [__m512i; 8],
    d: [__m512; 2],
}

/// As [`crate::cpu::Kernels::mul_mat_interleaved`], for whole groups.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in crate::cpu::x86_64) fn mul_mat_interleaved(
    kind: TensorType,
    w: &[u8],
    x: &[BlockQ8_1],
    n_in: usize,
    rows: Range<usize>,
    out: &mut [&mut [f32]],
) {
    use TensorType::*;
    if out.len() <= FEW_TOKENS {
        return avx2::mul_mat_interleaved(kind, w, x, n_in, rows, out);
    }
    let to = Destination { n_in, rows, out };
    match kind {
        Q8_0 => signed(w, x, to, 128, |w| unpack_q8_0(w)),
        IQ4_NL => signed(w, x, to, 128, |w| unpack_iq4_nl(w)),
        Q4_0 => signed(w, x, to, 128 - 8, |w| unpack_q4_0(w)),
        Q5_0 => signed(w, x, to, 128 - 16, |w| unpack_q5_0(w)),
        Q4_1 => from_minimum::<_, 1>(w, x, to, |w, _| unpack_q4_1(w)),
        Q5_1 => from_minimum::<_, 1>(w, x, to, |w, _| unpack_q5_1(w)),
        Q4_K => from_minimum::<_, 8>(w, x, to, |w, i| unpack_q4_k(w, i)),
        Q5_K => from_minimum::<_, 8>(w, x, to, |w, i| unpack_q5_k(w, i)),
        Q6_K => in_halves(w, x, to),
        _ => generic::mul_mat_interleaved(kind, w, x, n_in, to.rows, to.out),
    }
}

/// Multiply weights `d * q` to whose `q`, as `unpack` returns it, `offset` is to be added to make it 128 more than the weight's.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn signed<B: Woven>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    offset: u8,
    unpack: impl Fn(&B) -> Unpacked,
) {
    let offset = _mm512_set1_epi8(offset as i8);
    let unpack = |[v, w]: [&B; 2], _| {
        let (v, w) = (unpack(v), unpack(w));
        Signed { q: join_8(&v.q, &w.q).map(|q| _mm512_add_epi8(q, offset)), d: join_ps(v.d, w.d) }
    };
    mul_mat::<B, Signed, 1>(w, x, to, unpack, |w, x, acc| {
        let [first, second] = products(&w.q, x, x.bias.map(|bias| _mm512_set1_epi32(bias)));
        add_scaled(_mm512_add_epi32(first, second), w.d, x, acc)
    });
}

/// Multiply weights `d * q + m`, in blocks of `N * QK`.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn from_minimum<B: Woven, const N: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    unpack: impl Fn(&B, usize) -> Unpacked,
) {
    let unpack = |[v, w]: [&B; 2], i| {
        let (v, w) = (unpack(v, i), unpack(w, i));
        FromMinimum { q: join_8(&v.q, &w.q), d: join_ps(v.d, w.d), m: join_ps(v.m, w.m) }
    };
    mul_mat::<B, FromMinimum, N>(w, x, to, unpack, |w, x, acc| {
        let [first, second] = products(&w.q, x, [_mm512_setzero_si512(); 2]);
        let acc = _mm512_fmadd_ps(w.m, _mm512_set1_ps(x.s), acc);
        add_scaled(_mm512_add_epi32(first, second), w.d, x, acc)
    });
}

/// Multiply Q6_K, `d * scale * q` with a scale for 16 weights.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
fn in_halves(w: &[u8], x: &[BlockQ8_1], to: Destination<'_, '_>) {
    let offset = _mm512_set1_epi8(-128);
    let unpack = |blocks: [&SuperBlockQ6; 2], i| {
        let [v, w] = blocks.map(|block| unpack_q6_k(block, i));
        let d = join_ps(v.d, w.d);
        let scaled = |half: usize| {
            // A lane has the scale twice; its upper half comes down with the sign.
            let scales = _mm512_srai_epi32::<16>(join(v.scales[half], w.scales[half]));
            _mm512_mul_ps(d, _mm512_cvtepi32_ps(scales))
        };
        let q = join_8(&v.q, &w.q).map(|q| _mm512_add_epi8(q, offset));
        Halves { q, d: [scaled(0), scaled(1)] }
    };
    mul_mat::<SuperBlockQ6, Halves, 8>(w, x, to, unpack, |w, x, acc| {
        let products = products(&w.q, x, x.bias.map(|bias| _mm512_set1_epi32(bias)));
        let [first, second] = products.map(|products| _mm512_cvtepi32_ps(products));
        let both = _mm512_fmadd_ps(first, w.d[0], _mm512_mul_ps(second, w.d[1]));
        _mm512_fmadd_ps(both, _mm512_set1_ps(x.d), acc)
    });
}

/// Write the products of the interleaved rows `w` with `x (n_tokens, n_in / QK)`. `unpack` returns the weights of two groups'
/// blocks that meet block `i` of `N` of activations, and `add` adds their products to the sums of the sixteen rows.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn mul_mat<B: Woven, W: Copy, const N: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    mut to: Destination<'_, '_>,
    unpack: impl Fn([&B; 2], usize) -> W,
    add: impl Fn(&W, &BlockQ8_1, __m512) -> __m512,
) {
    let w = <[B]>::ref_from_bytes(w).expect("whole groups");
    let (n_quants, n_blocks) = (to.n_in / QK, to.n_in / (N * QK));
    let groups = to.rows.start / ROWS..to.rows.end.div_ceil(ROWS);
    for group in groups.clone().step_by(2) {
        // The last group stands in for the one behind it; nobody keeps those sums.
        let [v, w] = [group, (group + 1).min(groups.end - 1)].map(|group| &w[group * n_blocks..][..n_blocks]);
        let unpack = |quant: usize| unpack([&v[quant / N], &w[quant / N]], quant % N);
        let mut panel: ArrayVec<W, PANEL> = ArrayVec::new();
        for (batch, x) in x.chunks(BATCH * n_quants).enumerate() {
            let n_tokens = x.len() / n_quants;
            let mut sums = [_mm512_setzero_ps(); BATCH];
            for first in (0..n_quants).step_by(PANEL) {
                panel.clear();
                panel.extend((first..n_quants.min(first + PANEL)).map(&unpack));
                let x = |token: usize| &x[token * n_quants + first..][..panel.len()];
                let (tiles, others) = sums[..n_tokens].as_chunks_mut::<TILE>();
                let n_tiled = tiles.len() * TILE;
                for (i, sums) in tiles.iter_mut().enumerate() {
                    *sums = tile(&panel, array::from_fn(|token| x(i * TILE + token)), *sums, &add);
                }
                for (i, sum) in others.iter_mut().enumerate() {
                    *sum = panel.iter().zip(x(n_tiled + i)).fold(*sum, |sum, (w, x)| add(w, x, sum));
                }
            }
            for (token, sums) in sums[..n_tokens].iter().enumerate() {
                to.store(batch * BATCH + token, group * ROWS, &to_array(*sums));
            }
        }
    }
}

/// Return `acc` plus the products of sixteen rows `w (n)` with `x (TILE)(n)`.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn tile<W>(
    w: &[W],
    x: [&[BlockQ8_1]; TILE],
    acc: [__m512; TILE],
    add: &impl Fn(&W, &BlockQ8_1, __m512) -> __m512,
) -> [__m512; TILE] {
    // Written out: of a loop, the compiler makes one that keeps the sums in memory.
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = acc;
    for (i, w) in w.iter().enumerate() {
        a = add(w, &x[0][i], a);
        b = add(w, &x[1][i], b);
        c = add(w, &x[2][i], c);
        d = add(w, &x[3][i], d);
        e = add(w, &x[4][i], e);
        f = add(w, &x[5][i], f);
        g = add(w, &x[6][i], g);
        h = add(w, &x[7][i], h);
    }
    [a, b, c, d, e, f, g, h]
}

#[target_feature(enable = "avx512f")]
#[inline]
fn to_array(v: __m512) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    // SAFETY: the array has the 64 bytes that are written, and any alignment will do.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), v) };
    out
}

/// Return the products of 32 weights of sixteen rows with `x`, those of either half added to its `sums`.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn products(w: &[__m512i; 8], x: &BlockQ8_1, sums: [__m512i; 2]) -> [__m512i; 2] {
    let [mut first, mut second] = sums;
    for i in 0..4 {
        first = _mm512_dpbusd_epi32(first, w[i], four(x, i));
        second = _mm512_dpbusd_epi32(second, w[4 + i], four(x, 4 + i));
    }
    [first, second]
}

/// Return `acc + products * d * x.d`.
#[target_feature(enable = "avx512f")]
#[inline]
fn add_scaled(products: __m512i, d: __m512, x: &BlockQ8_1, acc: __m512) -> __m512 {
    _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), _mm512_mul_ps(d, _mm512_set1_ps(x.d)), acc)
}

/// Return four activations, from `4 * i` on, in all lanes.
#[target_feature(enable = "avx512f")]
#[inline]
fn four(x: &BlockQ8_1, i: usize) -> __m512i {
    let (fours, _) = x.qs.as_chunks::<4>();
    _mm512_set1_epi32(i32::from_le_bytes(fours[i].map(|q| q as u8)))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn join(low: __m256i, high: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn join_8(low: &[__m256i; 8], high: &[__m256i; 8]) -> [__m512i; 8] {
    array::from_fn(|i| join(low[i], high[i]))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn join_ps(low: __m256, high: __m256) -> __m512 {
    _mm512_castsi512_ps(join(_mm256_castps_si256(low), _mm256_castps_si256(high)))
}
