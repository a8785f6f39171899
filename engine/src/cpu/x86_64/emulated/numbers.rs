//! Floats as whole numbers.

use crate::quant::F16;

/// Return the number in units of 2^-24, the smallest binary16. (Infinities and NaN, which no model has as a scale, come
/// out as numbers.)
#[inline(always)]
pub(super) fn fixed_point(number: F16) -> i64 {
    fixed_points([number, F16::default()])[0]
}

/// As [`fixed_point`], of two numbers.
#[inline(always)]
pub(super) fn fixed_points([a, b]: [F16; 2]) -> [i64; 2] {
    let bits = u32::from(u16::from_le_bytes(b.0)) << 16 | u32::from(u16::from_le_bytes(a.0));
    let exponents = bits >> 10 & 0x001f_001f;
    // Numbers with an exponent have a leading one before their fraction: 31 more, and it has a sixth bit.
    let leading = (exponents + 0x001f_001f) >> 5 & 0x0001_0001;
    let fractions = bits & 0x03ff_03ff | leading << 10;
    let shifts = exponents - leading;
    [0, 16].map(|at| {
        let magnitude = i64::from(fractions >> at & 0x7ff) << (shifts >> at & 0x1f);
        let sign = i64::from((bits << (16 - at)) as i32 >> 31);
        (magnitude ^ sign) - sign
    })
}

/// Return the number in units of 2^-47, cut off below them and above 2^16. (No model has such scales; nor infinities and NaN,
/// which come out as numbers.)
#[inline(always)]
pub(super) fn fixed_point_f32(number: f32) -> i64 {
    let Float { significand, exponent, sign } = Float::new(number);
    // At 2^15, whose exponent is 127 + 15, the leading one stands highest; zero and what is as small is cut off.
    let magnitude = (significand << 39) >> (142 - exponent).clamp(0, 63);
    (magnitude ^ sign) - sign
}

/// A float taken apart: `significand * 2^(exponent - 150)`, negative where `sign` is -1. (Subnormals come out as the least of the
/// others, infinities and NaN as numbers.)
#[derive(Clone, Copy)]
pub(super) struct Float {
    pub(super) significand: i64,
    pub(super) exponent: i64,
    /// 0 or -1.
    pub(super) sign: i64,
}

impl Float {
    #[inline(always)]
    pub(super) fn new(number: f32) -> Self {
        let bits = i64::from(number.to_bits());
        Self { significand: bits & 0x7f_ffff | 1 << 23, exponent: bits >> 23 & 0xff, sign: -(bits >> 31) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binary16_is_a_whole_number_of_units() {
        for bits in 0..=u16::MAX {
            let number = half::f16::from_bits(bits);
            if number.is_finite() {
                let expected = number.to_f64() * f64::from(1 << 24);
                assert_eq!(fixed_point(F16(bits.to_le_bytes())) as f64, expected, "{number}");
            }
        }
    }
}
