//! Types with a scale per 32 weights: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL.
//!
//! They give the same bytes as ggml's reference (`quantize_row_*_ref` in ggml-quants.c).

use engine::quant::{
    BlockIQ4_NL, BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0, F16, IQ4_NL_VALUES, QK,
};

use super::fit::fit_scale;

/// Return the block of `x`.
pub(super) fn q8_0(x: &[f32; QK]) -> BlockQ8_0 {
    let d = x.iter().fold(0.0_f32, |most, x| most.max(x.abs())) / 127.0;
    let inverse = reciprocal(d);
    BlockQ8_0 { d: F16::from_f32(d), qs: x.map(|x| (x * inverse).round() as i8) }
}

/// Return the block of `x`.
pub(super) fn q4_0(x: &[f32; QK]) -> BlockQ4_0 {
    let (d, qs) = scaled(x, 8);
    BlockQ4_0 { d, qs: nibbles(&qs) }
}

/// Return the block of `x`.
pub(super) fn q5_0(x: &[f32; QK]) -> BlockQ5_0 {
    let (d, qs) = scaled(x, 16);
    BlockQ5_0 { d, qh: fifth_bits(&qs), qs: nibbles(&qs) }
}

/// Return the block of `x`.
pub(super) fn q4_1(x: &[f32; QK]) -> BlockQ4_1 {
    let (d, m, qs) = from_minimum(x, 15);
    BlockQ4_1 { d, m, qs: nibbles(&qs) }
}

/// Return the block of `x`.
pub(super) fn q5_1(x: &[f32; QK]) -> BlockQ5_1 {
    let (d, m, qs) = from_minimum(x, 31);
    BlockQ5_1 { d, m, qh: fifth_bits(&qs), qs: nibbles(&qs) }
}

/// Return the block of `x`.
pub(super) fn iq4_nl(x: &[f32; QK]) -> BlockIQ4_NL {
    let nearest = |x: f32| {
        let distance = |&(_, &value): &(usize, &i8)| (x - f32::from(value)).abs();
        let values = IQ4_NL_VALUES.iter().enumerate();
        values.min_by(|a, b| distance(a).total_cmp(&distance(b))).map_or((0, 0), |(i, &value)| (i, value))
    };
    // The largest weight is about one of the ends; which values the others get decides.
    let end = f32::from(IQ4_NL_VALUES[0]);
    let most = largest(x);
    let inverses = (-7..=7).map(|step| (end + step as f32) * reciprocal(most));
    let d = fit_scale(x, inverses, |x| f32::from(nearest(x).1));
    let inverse = reciprocal(d);
    BlockIQ4_NL { d: F16::from_f32(d), qs: nibbles(&x.map(|x| nearest(x * inverse).0 as u8)) }
}

/// Return the scale of weights `d * (q - zero)`, of which the largest has `q = 0`, and each `q`, below `2 * zero`.
fn scaled(x: &[f32; QK], zero: u8) -> (F16, [u8; QK]) {
    let d = largest(x) / -f32::from(zero);
    let inverse = f64::from(reciprocal(d));
    // In 64 bits, so that the sum is rounded once, as the fused operation of ggml's reference does it.
    let q = |x: f32| (f64::from(x) * inverse + f64::from(zero) + 0.5) as u8;
    (F16::from_f32(d), x.map(|x| q(x).min(2 * zero - 1)))
}

/// Return scale and minimum of weights `d * q + m`, and each `q`, up to `most`.
fn from_minimum(x: &[f32; QK], most: u8) -> (F16, F16, [u8; QK]) {
    let least = x.iter().copied().fold(f32::INFINITY, f32::min);
    let greatest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let d = (greatest - least) / f32::from(most);
    let inverse = reciprocal(d);
    let qs = x.map(|x| (((x - least) * inverse + 0.5) as u8).min(most));
    (F16::from_f32(d), F16::from_f32(least), qs)
}

/// Return the number that is farthest from 0, the first of several.
pub(super) fn largest(x: &[f32]) -> f32 {
    x.iter().fold(0.0_f32, |most, &x| if x.abs() > most.abs() { x } else { most })
}

/// Return `1 / d`, and 0 for 0.
pub(super) fn reciprocal(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// Return the lower four bits of `qs`, number `i` in the low half of byte `i`, number `i + 16` in its high half.
fn nibbles(qs: &[u8; QK]) -> [u8; QK / 2] {
    std::array::from_fn(|i| qs[i] & 0xf | qs[i + QK / 2] << 4)
}

/// Return the fifth bits of `qs`, that of number `i` as bit `i`.
fn fifth_bits(qs: &[u8; QK]) -> [u8; QK / 8] {
    qs.iter().enumerate().fold(0, |bits, (i, &q)| bits | u32::from(q >> 4 & 1) << i).to_le_bytes()
}
