//! Multiply-adds in registers alone, as fast as each instruction set does them: what products of matrices are held against.
//!
//! Every sum waits for itself, so there are as many as the units have in flight: a latency of up to six cycles in two units.

use core::arch::x86_64::*;
use core::hint::black_box;

use crate::cpu::Numbers;

/// Sums side by side.
const N_SUMS: usize = 12;

/// PMADDUBSW, and the sum of its pairs; a sum is its own next factor, so that no round can be left out.
#[target_feature(enable = "ssse3,sse4.1")]
pub(super) fn bytes_sse41(n_rounds: usize) -> usize {
    let x = black_box(_mm_set1_epi8(1));
    let mut sums = black_box([_mm_set1_epi8(1); N_SUMS]);
    for _ in 0..n_rounds {
        for sum in &mut sums {
            *sum = _mm_add_epi16(*sum, _mm_maddubs_epi16(*sum, x));
        }
    }
    black_box(sums);
    n_rounds * N_SUMS * 16
}

/// As [`crate::cpu::Kernels::multiply_add`]: VFMADD; VPMADDWD and the sum of its pairs; and VPMADDUBSW as in [`bytes_sse41`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn avx2(numbers: Numbers, n_rounds: usize) -> usize {
    match numbers {
        Numbers::Floats => {
            let [a, b] = black_box([_mm256_set1_ps(0.5), _mm256_set1_ps(1.0)]);
            let mut sums = black_box([b; N_SUMS]);
            for _ in 0..n_rounds {
                for sum in &mut sums {
                    *sum = _mm256_fmadd_ps(*sum, a, b);
                }
            }
            black_box(sums);
            n_rounds * N_SUMS * 8
        }
        Numbers::Halves => {
            let x = black_box(_mm256_set1_epi16(1));
            let mut sums = black_box([x; N_SUMS]);
            for _ in 0..n_rounds {
                for sum in &mut sums {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(*sum, x));
                }
            }
            black_box(sums);
            n_rounds * N_SUMS * 16
        }
        Numbers::Bytes => {
            let x = black_box(_mm256_set1_epi8(1));
            let mut sums = black_box([x; N_SUMS]);
            for _ in 0..n_rounds {
                for sum in &mut sums {
                    *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(*sum, x));
                }
            }
            black_box(sums);
            n_rounds * N_SUMS * 32
        }
    }
}

/// As [`avx2`], but for VPDPBUSD.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) fn avx_vnni(numbers: Numbers, n_rounds: usize) -> usize {
    if numbers != Numbers::Bytes {
        return avx2(numbers, n_rounds);
    }
    let x = black_box(_mm256_set1_epi8(1));
    let mut sums = black_box([x; N_SUMS]);
    for _ in 0..n_rounds {
        for sum in &mut sums {
            *sum = _mm256_dpbusd_avx_epi32(*sum, x, x);
        }
    }
    black_box(sums);
    n_rounds * N_SUMS * 32
}

/// As [`crate::cpu::Kernels::multiply_add`]: VFMADD, and VPDPBUSD.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn avx512(numbers: Numbers, n_rounds: usize) -> usize {
    match numbers {
        Numbers::Floats | Numbers::Halves => {
            let [a, b] = black_box([_mm512_set1_ps(0.5), _mm512_set1_ps(1.0)]);
            let mut sums = black_box([b; N_SUMS]);
            for _ in 0..n_rounds {
                for sum in &mut sums {
                    *sum = _mm512_fmadd_ps(*sum, a, b);
                }
            }
            black_box(sums);
            n_rounds * N_SUMS * 16
        }
        Numbers::Bytes => {
            let x = black_box(_mm512_set1_epi8(1));
            let mut sums = black_box([x; N_SUMS]);
            for _ in 0..n_rounds {
                for sum in &mut sums {
                    *sum = _mm512_dpbusd_epi32(*sum, x, x);
                }
            }
            black_box(sums);
            n_rounds * N_SUMS * 64
        }
    }
}

/// As [`avx512`], but for VDPBF16PS.
#[target_feature(enable = "avx512f,avx512vnni,avx512bf16")]
pub(super) fn avx512_bf16(numbers: Numbers, n_rounds: usize) -> usize {
    if numbers != Numbers::Halves {
        return avx512(numbers, n_rounds);
    }
    let x = black_box(_mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5), _mm512_set1_ps(0.5)));
    let mut sums = black_box([_mm512_set1_ps(1.0); N_SUMS]);
    for _ in 0..n_rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, x, x);
        }
    }
    black_box(sums);
    n_rounds * N_SUMS * 32
}
