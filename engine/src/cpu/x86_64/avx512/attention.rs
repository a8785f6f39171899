//! Attention as AVX2 computes it, but for the products of matrices, which many queries need: vectors are twice as wide.

use core::arch::x86_64::*;

use super::super::avx2;
use super::super::products::{self, Product, Steps};
use super::vectors::{LANES, load_f32, store_f32};
use crate::cpu::attention::{Found, KeysValues, Queries};

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in crate::cpu::x86_64) fn attend(
    queries: &Queries<'_>,
    seen: KeysValues<'_>,
    scratch: &mut [f32],
    found: &mut Found<'_>,
) {
    avx2::attend_by(queries, seen, scratch, found, |product, out| multiply(product, out));
}

/// As [`products::multiply`], for any width that AVX2 takes.
#[target_feature(enable = "avx2,fma,f16c,avx512f")]
fn multiply(product: &Product<'_>, out: &mut [f32]) {
    if !product.b_width.is_multiple_of(LANES) {
        return avx2::multiply(product, out);
    }
    let steps = Steps {
        zero: _mm512_setzero_ps(),
        load: |x: &[f32; LANES]| load_f32(x),
        store: |x: &mut [f32; LANES], v| store_f32(x, v),
        add: |factor, v, sum| _mm512_fmadd_ps(_mm512_set1_ps(factor), v, sum),
    };
    products::multiply::<_, LANES, 4>(product, out, &steps);
}
