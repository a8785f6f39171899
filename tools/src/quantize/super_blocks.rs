//! The K types: 256 weights in groups, whose scales are small whole numbers themselves.
//!
//! For each group the best scale is found ([`super::fit`]), then those are rounded to multiples of one, and the weights to what
//! the rounded ones tell best. The constants of the searches are those of ggml (`quantize_row_q*_K_ref` in ggml-quants.c).

use std::array;

use engine::quant::{BlockQ2_K, BlockQ3_K, BlockQ4_K, BlockQ5_K, BlockQ6_K, F16, QK, QK_K, ScalesAndOffsets};

use super::blocks::{largest, reciprocal};
use super::fit::{Search, fit_scale};

/// Weights in a group of the types that have sixteen, and of those that have eight.
const SMALL: usize = QK_K / 16;
const LARGE: usize = QK_K / 8;

/// Return the block of `x`.
pub(super) fn q2_k(x: &[f32; QK_K]) -> BlockQ2_K {
    let search = Search { most: 3.0, first: -0.5, n_steps: 15, is_absolute: true };
    let Affine { d, m, scales, offsets, qs } =
        affine::<16>(x, search, 15.0, |group| search.fit(group, f32::abs));
    let rows = rows(&qs);
    let quarter = |half: usize, k: usize| (0..4).fold(0, |byte, i| byte | rows[4 * half + i][k] << (2 * i));
    BlockQ2_K {
        scales: array::from_fn(|i| scales[i] | offsets[i] << 4),
        qs: array::from_fn(|half| array::from_fn(|k| quarter(half, k))),
        d,
        m,
    }
}

/// Return the block of `x`.
pub(super) fn q3_k(x: &[f32; QK_K]) -> BlockQ3_K {
    let (d, scales, qs) = symmetric(x, 4, 32);
    let rows = rows(&qs);
    let quarter =
        |half: usize, k: usize| (0..4).fold(0, |byte, i| byte | (rows[4 * half + i][k] & 3) << (2 * i));
    let scales = scales.map(|scale| (scale + 32) as u8);
    let low = |i: usize| scales[i] & 0xf | scales[i + 8] << 4;
    BlockQ3_K {
        hmask: array::from_fn(|k| (0..8).fold(0, |byte, i| byte | (rows[i][k] >> 2) << i)),
        qs: array::from_fn(|half| array::from_fn(|k| quarter(half, k))),
        scales: [
            array::from_fn(low),
            array::from_fn(|i| low(i + 4)),
            array::from_fn(|i| (0..4).fold(0, |byte, j| byte | (scales[4 * j + i] >> 4) << (2 * j))),
        ],
        d,
    }
}

/// Return the block of `x`.
pub(super) fn q4_k(x: &[f32; QK_K]) -> BlockQ4_K {
    let search = Search { most: 15.0, first: -1.0, n_steps: 20, is_absolute: false };
    let Affine { d, m, scales, offsets, qs } = affine::<8>(x, search, 63.0, |group| fit_large(search, group));
    BlockQ4_K { d, m, scales: pack(&scales, &offsets), qs: nibbles(&rows(&qs)) }
}

/// Return the block of `x`.
pub(super) fn q5_k(x: &[f32; QK_K]) -> BlockQ5_K {
    let search = Search { most: 31.0, first: -0.5, n_steps: 15, is_absolute: false };
    let Affine { d, m, scales, offsets, qs } = affine::<8>(x, search, 63.0, |group| fit_large(search, group));
    let rows = rows(&qs);
    BlockQ5_K {
        d,
        m,
        scales: pack(&scales, &offsets),
        qh: array::from_fn(|k| (0..8).fold(0, |byte, i| byte | (rows[i][k] >> 4) << i)),
        qs: nibbles(&rows),
    }
}

/// Return the block of `x`.
pub(super) fn q6_k(x: &[f32; QK_K]) -> BlockQ6_K {
    let (d, scales, qs) = symmetric(x, 32, 128);
    let rows = rows(&qs);
    let low = |half: usize, j: usize, k: usize| {
        rows[4 * half + j][k] & 0xf | (rows[4 * half + j + 2][k] & 0xf) << 4
    };
    let high =
        |half: usize, k: usize| (0..4).fold(0, |byte, i| byte | (rows[4 * half + i][k] >> 4) << (2 * i));
    BlockQ6_K {
        ql: array::from_fn(|half| array::from_fn(|j| array::from_fn(|k| low(half, j, k)))),
        qh: array::from_fn(|half| array::from_fn(|k| high(half, k))),
        scales: scales.map(|scale| scale as i8),
        d,
    }
}

/// Weights `d * scale * q - m * offset`.
struct Affine<const GROUPS: usize> {
    d: F16,
    m: F16,
    scales: [u8; GROUPS],
    offsets: [u8; GROUPS],
    qs: [u8; QK_K],
}

/// Return `x` in groups whose scales and offsets are multiples, up to `most`, of one each; `fit` finds those of a group.
fn affine<const GROUPS: usize>(
    x: &[f32; QK_K],
    search: Search,
    most: f32,
    fit: impl Fn(&[f32]) -> (f32, f32),
) -> Affine<GROUPS> {
    let group_len = QK_K / GROUPS;
    let fitted: [(f32, f32); GROUPS] = array::from_fn(|i| fit(&x[i * group_len..(i + 1) * group_len]));
    let multiples = |values: [f32; GROUPS]| {
        let unit = values.iter().copied().fold(0.0, f32::max) / most;
        let inverse = reciprocal(unit);
        (F16::from_f32(unit), values.map(|value| (value * inverse).round_ties_even().min(most) as u8))
    };
    let (d, scales) = multiples(fitted.map(|(d, _)| d));
    let (m, offsets) = multiples(fitted.map(|(_, m)| m));
    let qs = array::from_fn(|i| {
        let group = i / group_len;
        let inverse = reciprocal(d.to_f32() * f32::from(scales[group]));
        let above = x[i] + m.to_f32() * f32::from(offsets[group]);
        (above * inverse).round_ties_even().clamp(0.0, search.most) as u8
    });
    Affine { d, m, scales, offsets, qs }
}

/// Return scale and offset of a group in which small weights count too, as much as the root mean square does.
fn fit_large(search: Search, group: &[f32]) -> (f32, f32) {
    let mean_square = group.iter().map(|x| x * x).sum::<f32>() / LARGE as f32;
    let typical = mean_square.sqrt();
    search.fit(group, |x| typical + x.abs())
}

/// Return `x` as weights `d * scale * (q - most)`: 16 scales of `-most_scale` to `most_scale - 1`, and each `q`, below `2 * most`.
fn symmetric(x: &[f32; QK_K], most: i32, most_scale: i32) -> (F16, [i32; 16], [u8; QK_K]) {
    let (least, greatest) = (-(most as f32), (most - 1) as f32);
    let nearest = |x: f32| x.round_ties_even().clamp(least, greatest);
    let fitted: [f32; 16] = array::from_fn(|i| {
        let group = &x[i * SMALL..(i + 1) * SMALL];
        let inverse = reciprocal(largest(group));
        fit_scale(group, (-9..=9).map(|step| (least - 0.1 * step as f32) * inverse), nearest)
    });
    // The scale that is farthest from 0 becomes the least whole number, which is one farther from 0 than the greatest.
    let d = F16::from_f32(largest(&fitted) / -(most_scale as f32));
    let inverse = reciprocal(d.to_f32());
    let scales =
        fitted.map(|scale| ((scale * inverse).round_ties_even() as i32).clamp(-most_scale, most_scale - 1));
    let qs = array::from_fn(|i| {
        let inverse = reciprocal(d.to_f32() * scales[i / SMALL] as f32);
        (nearest(x[i] * inverse) - least) as u8
    });
    (d, scales, qs)
}

/// Return `qs` in rows of 32, of which the types put several into the bits of 32 bytes.
fn rows(qs: &[u8; QK_K]) -> [[u8; QK]; 8] {
    array::from_fn(|i| array::from_fn(|k| qs[QK * i + k]))
}

/// Return the lower four bits, those of every second row in the high halves.
fn nibbles(rows: &[[u8; QK]; 8]) -> [[u8; QK]; 4] {
    array::from_fn(|i| array::from_fn(|k| rows[2 * i][k] & 0xf | rows[2 * i + 1][k] << 4))
}

/// Return `scales` and `offsets`, numbers of six bits: the inverse of [`ScalesAndOffsets::unpack`].
fn pack(scales: &[u8; 8], offsets: &[u8; 8]) -> ScalesAndOffsets {
    let first = |numbers: &[u8; 8]| array::from_fn(|i| numbers[i] | numbers[i + 4] >> 4 << 6);
    ScalesAndOffsets([
        first(scales),
        first(offsets),
        array::from_fn(|i| scales[i + 4] & 0xf | offsets[i + 4] << 4),
    ])
}
