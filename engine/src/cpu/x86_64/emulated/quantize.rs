//! Quantization of activations.

use super::held::Held;
use super::numbers::Float;
use crate::quant::{BlockQ8_1, QK};

/// As [`crate::cpu::Kernels::quantize_q8_1`]: to the nearest, of two as near to the even one.
pub(super) fn quantize_q8_1(x: &[f32], n_sharing: usize, out: &mut [BlockQ8_1]) {
    for (x, out) in x.chunks_exact(n_sharing).zip(out.chunks_exact_mut(n_sharing / QK)) {
        // Without their signs, floats are in the order of their bits.
        let largest = x.iter().fold(0, |largest, x| (x.to_bits() & 0x7fff_ffff).max(largest));
        let d = f32::from_bits(largest) / 127.0;
        let inverse = Float::new(if d > 0.0 { 1.0 / d } else { 0.0 });
        let significand = Held::new(inverse.significand);
        for (x, out) in x.as_chunks::<QK>().0.iter().zip(out) {
            let (x, qs) = (x.as_chunks::<{ QK / 2 }>().0, out.qs.as_chunks_mut::<{ QK / 2 }>().0);
            for ((x, qs), sum) in x.iter().zip(qs).zip(&mut out.sums) {
                *sum = 0;
                for (&x, q) in x.iter().zip(qs) {
                    let x = Float::new(x);
                    // Below 2^48. By 63 bits a number too small for any quant is shifted away, too.
                    let product = significand.times(x.significand);
                    let shift = (300 - x.exponent - inverse.exponent).clamp(40, 63);
                    let half = (1 << (shift - 1)) - 1 + (product >> shift & 1);
                    let magnitude = (product + half) >> shift;
                    *q = ((magnitude ^ x.sign) - x.sign) as i8;
                    *sum += i16::from(*q);
                }
            }
            (out.d, out.s) = (d, d * f32::from(out.sums[0] + out.sums[1]));
        }
    }
}
