//! Products of interleaved rows, eight at a time: a lane per row, four weights to a lane.
//!
//! Four activations are in all lanes at once, so that no sum ever has to be folded. Where there are several tokens, weights
//! are unpacked once for [`TILE`] of them.

use core::arch::x86_64::*;
use core::array;
use core::ops::Range;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::vectors::{LANES, load_f16_le, load_u8, load_u8x16, to_array};
use crate::cpu::generic;
use crate::quant::{BlockQ8_1, F16, IQ4_NL_VALUES, QK, TensorType};

/// Tokens that share unpacked weights: their sums, and the weights, fill the registers.
const TILE: usize = 4;

/// Four bytes of each row.
type Lanes = [u8; 4 * LANES];

/// Blocks of eight rows, as [`crate::quant::interleave`] weaves them, of the types with one scale.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Scaled<const N: usize> {
    d: [F16; LANES],
    qs: [Lanes; N],
}

/// The same with a minimum.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FromMinimum<const N: usize> {
    d: [F16; LANES],
    m: [F16; LANES],
    qs: [Lanes; N],
}

/// Q4_K (`N` = 32) and Q5_K (`N` = 40, the fifth bits first).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SuperBlock<const N: usize> {
    d: [F16; LANES],
    m: [F16; LANES],
    scales: [Lanes; 3],
    qs: [Lanes; N],
}

/// Q6_K.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SuperBlockQ6 {
    ql: [[[Lanes; 8]; 2]; 2],
    qh: [[Lanes; 8]; 2],
    scales: [Lanes; 4],
    d: [F16; LANES],
}

/// 32 weights of eight rows: vector `i` has weights `4 * i` to `4 * i + 3`, which are `d * q + m`.
struct Unpacked {
    q: [__m256i; 8],
    d: __m256,
    m: __m256,
}

/// 32 weights `d * scale * q` of eight rows, with a scale for either half, twice in each lane.
struct UnpackedQ6 {
    q: [__m256i; 8],
    d: __m256,
    scales: [__m256i; 2],
}

/// Return whether there are products for interleaved rows of `kind`.
pub(in crate::cpu::x86_64) fn interleaves(kind: TensorType) -> bool {
    use TensorType::*;
    matches!(kind, Q8_0 | Q4_0 | Q4_1 | Q5_0 | Q5_1 | IQ4_NL | Q4_K | Q5_K | Q6_K)
}

/// As [`crate::cpu::Kernels::mul_mat_interleaved`], for whole groups.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::cpu::x86_64) fn mul_mat_interleaved(
    kind: TensorType,
    w: &[u8],
    x: &[BlockQ8_1],
    n_in: usize,
    rows: Range<usize>,
    out: &mut [f32],
) {
    use TensorType::*;
    let (to, supers) = (Destination { n_in, rows, out }, x.as_chunks::<8>().0);
    let x = x.as_chunks::<1>().0;
    match kind {
        Q8_0 => mul_mat(w, x, to, |w, _| unpack_q8_0(w), |w, x, acc| add_signed(w, x, acc)),
        IQ4_NL => mul_mat(w, x, to, |w, _| unpack_iq4_nl(w), |w, x, acc| add_signed(w, x, acc)),
        Q4_0 => mul_mat(w, x, to, |w, _| unpack_q4_0(w), |w, x, acc| add_4_bits(w, x, acc)),
        Q4_1 => mul_mat(w, x, to, |w, _| unpack_q4_1(w), |w, x, acc| add_4_bits(w, x, acc)),
        Q5_0 => mul_mat(w, x, to, |w, _| unpack_q5_0(w), |w, x, acc| add_5_bits(w, x, acc)),
        Q5_1 => mul_mat(w, x, to, |w, _| unpack_q5_1(w), |w, x, acc| add_5_bits(w, x, acc)),
        Q4_K => mul_mat(w, supers, to, |w, i| unpack_q4_k(w, i), |w, x, acc| add_4_bits(w, x, acc)),
        Q5_K => mul_mat(w, supers, to, |w, i| unpack_q5_k(w, i), |w, x, acc| add_5_bits(w, x, acc)),
        Q6_K => mul_mat(w, supers, to, |w, i| unpack_q6_k(w, i), |w, x, acc| add_6_bits(w, x, acc)),
        _ => generic::mul_mat_interleaved(kind, w, x.as_flattened(), n_in, to.rows, to.out),
    }
}

/// Which products are wanted, and where they go: `out (n_tokens, rows.len())`.
struct Destination<'a> {
    n_in: usize,
    rows: Range<usize>,
    out: &'a mut [f32],
}

/// Write the products of the interleaved rows `w` with `x (n_tokens, n_blocks)`. `unpack` returns the weights of a block that
/// meet block `i` of `N` of activations, and `add` adds their products to the sums of the eight rows.
#[target_feature(enable = "avx2,fma,f16c")]
fn mul_mat<B: FromBytes + Immutable + KnownLayout + Unaligned, W, const N: usize>(
    w: &[u8],
    x: &[[BlockQ8_1; N]],
    to: Destination<'_>,
    unpack: impl Fn(&B, usize) -> W,
    add: impl Fn(&W, &BlockQ8_1, __m256) -> __m256,
) {
    let Destination { n_in, rows, out } = to;
    let w = <[B]>::ref_from_bytes(w).expect("whole groups");
    let (n_blocks, n_rows) = (n_in / (N * QK), rows.len());
    for group in rows.start / LANES..rows.end.div_ceil(LANES) {
        let w = &w[group * n_blocks..][..n_blocks];
        let tiles = x.chunks(TILE * n_blocks).zip(out.chunks_mut(TILE * n_rows));
        for (x, out) in tiles {
            if x.len() == TILE * n_blocks {
                let x: [_; TILE] = array::from_fn(|token| &x[token * n_blocks..][..n_blocks]);
                store(tile(w, x, &unpack, &add), group, &rows, out);
            } else {
                for (x, out) in x.chunks_exact(n_blocks).zip(out.chunks_exact_mut(n_rows)) {
                    store(tile(w, [x], &unpack, &add), group, &rows, out);
                }
            }
        }
    }
}

/// Return the products of a group of rows `w (LANES, n_blocks)` with `x (T, n_blocks)`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn tile<B, W, const N: usize, const T: usize>(
    w: &[B],
    x: [&[[BlockQ8_1; N]]; T],
    unpack: &impl Fn(&B, usize) -> W,
    add: &impl Fn(&W, &BlockQ8_1, __m256) -> __m256,
) -> [__m256; T] {
    let mut acc = [_mm256_setzero_ps(); T];
    for (block, w) in w.iter().enumerate() {
        for i in 0..N {
            let w = unpack(w, i);
            for (acc, x) in acc.iter_mut().zip(x) {
                *acc = add(&w, &x[block][i], *acc);
            }
        }
    }
    acc
}

/// Write the products of group `group`, as far as they are of `rows`, to `out (T, rows.len())`.
#[target_feature(enable = "avx2,fma,f16c")]
fn store<const T: usize>(products: [__m256; T], group: usize, rows: &Range<usize>, out: &mut [f32]) {
    let first = (group * LANES).max(rows.start);
    let last = ((group + 1) * LANES).min(rows.end);
    for (products, out) in products.into_iter().zip(out.chunks_exact_mut(rows.len())) {
        let wanted = &to_array(products)[first - group * LANES..last - group * LANES];
        out[first - rows.start..last - rows.start].copy_from_slice(wanted);
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn unpack_q8_0(w: &Scaled<8>) -> Unpacked {
    Unpacked { q: array::from_fn(|i| load_u8(&w.qs[i])), d: load_f16_le(&w.d), m: _mm256_setzero_ps() }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn unpack_iq4_nl(w: &Scaled<4>) -> Unpacked {
    let values = _mm256_broadcastsi128_si256(load_u8x16(&IQ4_NL_VALUES.map(|value| value as u8)));
    let q = low_and_high(&w.qs).map(|q| _mm256_shuffle_epi8(values, q));
    Unpacked { q, d: load_f16_le(&w.d), m: _mm256_setzero_ps() }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn unpack_q4_0(w: &Scaled<4>) -> Unpacked {
    let d = load_f16_le(&w.d);
    // d * (q - 8)
    Unpacked { q: low_and_high(&w.qs), d, m: _mm256_mul_ps(d, _mm256_set1_ps(-8.0)) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn unpack_q4_1(w: &FromMinimum<4>) -> Unpacked {
    Unpacked { q: low_and_high(&w.qs), d: load_f16_le(&w.d), m: load_f16_le(&w.m) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn unpack_q5_0(w: &Scaled<5>) -> Unpacked {
    let d = load_f16_le(&w.d);
    // d * (q - 16)
    Unpacked { q: with_fifth_bits(&w.qs), d, m: _mm256_mul_ps(d, _mm256_set1_ps(-16.0)) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn unpack_q5_1(w: &FromMinimum<5>) -> Unpacked {
    Unpacked { q: with_fifth_bits(&w.qs), d: load_f16_le(&w.d), m: load_f16_le(&w.m) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn unpack_q4_k(w: &SuperBlock<32>, i: usize) -> Unpacked {
    let (qs, _) = w.qs.as_chunks::<8>();
    let (d, m) = scales_and_offsets(w, i);
    Unpacked { q: nibbles(&qs[i / 2], i % 2), d, m }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn unpack_q5_k(w: &SuperBlock<40>, i: usize) -> Unpacked {
    let (qs, _) = w.qs.as_chunks::<8>();
    let (d, m) = scales_and_offsets(w, i);
    let low = nibbles(&qs[1 + i / 2], i % 2);
    let (shift, bit) = (_mm_cvtsi64_si128(i as i64), _mm256_set1_epi8(1));
    let q = array::from_fn(|k| {
        let fifth = _mm256_and_si256(_mm256_srl_epi16(load_u8(&qs[0][k]), shift), bit);
        _mm256_or_si256(low[k], _mm256_slli_epi16::<4>(fifth))
    });
    Unpacked { q, d, m }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn unpack_q6_k(w: &SuperBlockQ6, i: usize) -> UnpackedQ6 {
    let (half, i) = (i / 4, i % 4);
    let low = nibbles(&w.ql[half][i % 2], i / 2);
    let (shift, bits) = (_mm_cvtsi64_si128(2 * i as i64), _mm256_set1_epi8(3));
    let q = array::from_fn(|k| {
        let high = _mm256_and_si256(_mm256_srl_epi16(load_u8(&w.qh[half][k]), shift), bits);
        let q = _mm256_or_si256(low[k], _mm256_slli_epi16::<4>(high));
        _mm256_sub_epi8(q, _mm256_set1_epi8(32))
    });
    // The two scales go to the upper bytes of both 16-bit numbers of a lane, and come down with their sign.
    let both = load_u8(&w.scales[2 * half + i / 2]);
    let both = _mm256_srl_epi32(both, _mm_cvtsi64_si128(16 * (i as i64 % 2)));
    let scales = [0x0080_0080, 0x0180_0180].map(|from| {
        let index = _mm256_add_epi8(_mm256_set1_epi32(from), lane_starts());
        _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(both, index))
    });
    UnpackedQ6 { q, d: load_f16_le(&w.d), scales }
}

/// Return where the four bytes of each lane begin in their half of a vector, in each byte.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn lane_starts() -> __m256i {
    let (first, second) = (0x0404_0404_0000_0000, 0x0c0c_0c0c_0808_0808);
    _mm256_setr_epi64x(first, second, first, second)
}

/// Return the scale and the minimum of 32 weights of a super-block, for eight rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn scales_and_offsets<const N: usize>(w: &SuperBlock<N>, i: usize) -> (__m256, __m256) {
    let [scales, offsets, others] = w.scales.each_ref().map(|lanes| load_u8(lanes));
    let (scales, offsets) = if i < 4 {
        (scales, offsets)
    } else {
        // The lower four bits are among the others, the upper two where the first four leave room for them.
        let (low, high) = (_mm256_set1_epi8(0xf), _mm256_set1_epi8(0x30));
        let upper = |six_bits| _mm256_and_si256(_mm256_srli_epi16::<2>(six_bits), high);
        let offset = _mm256_srli_epi16::<4>(others);
        (
            _mm256_or_si256(_mm256_and_si256(others, low), upper(scales)),
            _mm256_or_si256(_mm256_and_si256(offset, low), upper(offsets)),
        )
    };
    let shift = _mm_cvtsi64_si128(8 * (i as i64 % 4));
    let number =
        |bytes| _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srl_epi32(bytes, shift), _mm256_set1_epi32(0x3f)));
    let m = _mm256_sub_ps(_mm256_setzero_ps(), load_f16_le(&w.m));
    (_mm256_mul_ps(load_f16_le(&w.d), number(scales)), _mm256_mul_ps(m, number(offsets)))
}

/// Return the low (`half` = 0) or the high nibbles.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn nibbles(packed: &[Lanes; 8], half: usize) -> [__m256i; 8] {
    let shift = _mm_cvtsi64_si128(4 * half as i64);
    packed
        .each_ref()
        .map(|packed| _mm256_and_si256(_mm256_srl_epi16(load_u8(packed), shift), _mm256_set1_epi8(0xf)))
}

/// Return the low nibbles, then the high ones.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn low_and_high(packed: &[Lanes; 4]) -> [__m256i; 8] {
    let mask = _mm256_set1_epi8(0xf);
    array::from_fn(|i| {
        let packed = load_u8(&packed[i % 4]);
        _mm256_and_si256(if i < 4 { packed } else { _mm256_srli_epi16::<4>(packed) }, mask)
    })
}

/// Return numbers of five bits: the fifth ones come first, then the nibbles.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn with_fifth_bits(packed: &[Lanes; 5]) -> [__m256i; 8] {
    let [fifth, a, b, c, d] = packed;
    let (low, fifth) = (low_and_high(&[*a, *b, *c, *d]), load_u8(fifth));
    array::from_fn(|i| {
        // Byte i / 2 of a lane has the bits of vector i, in its lower or its upper half.
        let bits =
            _mm256_shuffle_epi8(fifth, _mm256_add_epi8(lane_starts(), _mm256_set1_epi8((i / 2) as i8)));
        let bit = _mm256_set1_epi32(if i % 2 == 0 { 0x0804_0201 } else { 0x8040_2010_u32 as i32 });
        let set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
        _mm256_or_si256(low[i], _mm256_and_si256(set, _mm256_set1_epi8(16)))
    })
}

/// Add the products with weights of up to 4 bits: all eight of a lane's pairs are at most 8 * 2 * 15 * 127 = 30,480.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_4_bits(w: &Unpacked, x: &BlockQ8_1, acc: __m256) -> __m256 {
    let [a, b, c, d, e, f, g, h] = array::from_fn(|i| _mm256_maddubs_epi16(w.q[i], four(x, i)));
    let pairs = _mm256_add_epi16(sum_4(a, b, c, d), sum_4(e, f, g, h));
    add_scaled(w, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)), x, acc)
}

/// Add the products with weights of up to 5 bits: four of a lane's pairs are at most 4 * 2 * 31 * 127 = 31,496.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_5_bits(w: &Unpacked, x: &BlockQ8_1, acc: __m256) -> __m256 {
    let ones = _mm256_set1_epi16(1);
    let [a, b, c, d, e, f, g, h] = array::from_fn(|i| _mm256_maddubs_epi16(w.q[i], four(x, i)));
    let (first, second) = (sum_4(a, b, c, d), sum_4(e, f, g, h));
    let products = _mm256_add_epi32(_mm256_madd_epi16(first, ones), _mm256_madd_epi16(second, ones));
    add_scaled(w, products, x, acc)
}

/// Add the products with weights of -32 to 31: four of a lane's pairs are at most 4 * 2 * 32 * 127 = 32,512.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_6_bits(w: &UnpackedQ6, x: &BlockQ8_1, acc: __m256) -> __m256 {
    let [a, b, c, d, e, f, g, h] = array::from_fn(|i| signed_pairs(w.q[i], four(x, i)));
    let first = _mm256_madd_epi16(sum_4(a, b, c, d), w.scales[0]);
    let second = _mm256_madd_epi16(sum_4(e, f, g, h), w.scales[1]);
    let products = _mm256_cvtepi32_ps(_mm256_add_epi32(first, second));
    _mm256_fmadd_ps(products, _mm256_mul_ps(w.d, _mm256_set1_ps(x.d)), acc)
}

/// Add the products with signed weights, which have no minimum.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_signed(w: &Unpacked, x: &BlockQ8_1, acc: __m256) -> __m256 {
    let ones = _mm256_set1_epi16(1);
    let [a, b, c, d, e, f, g, h] =
        array::from_fn(|i| _mm256_madd_epi16(signed_pairs(w.q[i], four(x, i)), ones));
    let first = _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
    let second = _mm256_add_epi32(_mm256_add_epi32(e, f), _mm256_add_epi32(g, h));
    let products = _mm256_cvtepi32_ps(_mm256_add_epi32(first, second));
    _mm256_fmadd_ps(products, _mm256_mul_ps(w.d, _mm256_set1_ps(x.d)), acc)
}

/// Return `acc + products * d * x.d + m * x.s`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_scaled(w: &Unpacked, products: __m256i, x: &BlockQ8_1, acc: __m256) -> __m256 {
    let products = _mm256_cvtepi32_ps(products);
    let acc = _mm256_fmadd_ps(products, _mm256_mul_ps(w.d, _mm256_set1_ps(x.d)), acc);
    _mm256_fmadd_ps(w.m, _mm256_set1_ps(x.s), acc)
}

/// Return the sums of pairs of products of signed bytes; none of `x` is -128.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn signed_pairs(w: __m256i, x: __m256i) -> __m256i {
    // maddubs takes one unsigned factor: the weight's sign goes over to the activation.
    _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sum_4(a: __m256i, b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    _mm256_add_epi16(_mm256_add_epi16(a, b), _mm256_add_epi16(c, d))
}

/// Return four activations, from `4 * i` on, in all lanes.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn four(x: &BlockQ8_1, i: usize) -> __m256i {
    let (fours, _) = x.qs.as_chunks::<4>();
    _mm256_set1_epi32(i32::from_le_bytes(fours[i].map(|q| q as u8)))
}
