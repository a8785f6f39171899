//! What x86-64 processors have beyond the baseline, and the tables of loops that use it.

mod avx2;
mod avx512;
mod avx_vnni;
mod buffer;
mod emulated;
mod fetch;
mod multiply_add;
mod products;
mod sse41;
mod woven;
mod woven_floats;

use core::arch::x86_64::_xgetbv;

use raw_cpuid::Hypervisor;

use super::{Isa, Kernels, Numbers, Tiling, generic};
pub(super) use emulated::emulated;
use woven_floats::PAIR;

/// XCR0 bits 1 and 2: the state of XMM and YMM registers is kept (Intel SDM volume 1, 13.3).
const XCR0_AVX: u64 = 0b110;

/// And bits 5 to 7: mask registers, the upper halves of ZMM0 to 15, ZMM16 to 31.
const XCR0_AVX512: u64 = 0b1110_0110;

/// Return whether the processor has SSSE3 and SSE4.1; their registers are always kept.
pub(super) fn has_sse41() -> bool {
    raw_cpuid::CpuId::new()
        .get_feature_info()
        .is_some_and(|features| features.has_ssse3() && features.has_sse41())
}

/// Return whether the processor has AVX2, FMA and F16C and whether the YMM registers are kept.
pub(super) fn has_avx2() -> bool {
    let cpuid = raw_cpuid::CpuId::new();
    let (Some(features), Some(extended)) = (cpuid.get_feature_info(), cpuid.get_extended_feature_info())
    else {
        return false;
    };
    let has_all = features.has_avx() && features.has_fma() && features.has_f16c() && extended.has_avx2();
    has_all && features.has_oxsave() && keeps(XCR0_AVX)
}

/// Return whether the processor has AVX-VNNI beyond AVX2.
pub(super) fn has_avx_vnni() -> bool {
    has_avx2()
        && raw_cpuid::CpuId::new().get_extended_feature_info().is_some_and(|extended| extended.has_avx_vnni())
}

/// Return whether the processor has, beyond AVX2, the parts of AVX-512 that the loops use and whether their registers are kept.
pub(super) fn has_avx512() -> bool {
    let Some(extended) = raw_cpuid::CpuId::new().get_extended_feature_info() else { return false };
    let has_all = extended.has_avx512f()
        && extended.has_avx512bw()
        && extended.has_avx512vl()
        && extended.has_avx512vnni();
    has_avx2() && has_all && keeps(XCR0_AVX512)
}

/// Return whether the processor multiplies BF16 beyond that.
pub(super) fn has_avx512_bf16() -> bool {
    has_avx512()
        && raw_cpuid::CpuId::new()
            .get_extended_feature_info()
            .is_some_and(|extended| extended.has_avx512_bf16())
}

/// Return whether the processor multiplies BF16 faster than floats, as AMD's do and Intel's do not. (F16 weights of 1.1 B, two cores, tokens/s as
/// BF16 and as floats: Zen 4 164 and 97, Sapphire Rapids 57 and 83.)
pub(super) fn gains_from_bf16() -> bool {
    raw_cpuid::CpuId::new().get_vendor_info().is_some_and(|vendor| vendor.as_str() == "AuthenticAMD")
}

/// Return whether all the states of registers in `states` are kept, given that CPUID reports OSXSAVE.
fn keeps(states: u64) -> bool {
    // SAFETY: XGETBV exists, since CPUID reports OSXSAVE.
    let xcr0 = unsafe { xcr0() };
    xcr0 & states == states
}

/// Return whether the processor is QEMU's emulation of one.
pub(super) fn is_emulated() -> bool {
    raw_cpuid::CpuId::new().get_hypervisor_info().is_some_and(|info| info.identify() == Hypervisor::QEMU)
}

/// Return XCR0.
///
/// # Safety
/// CPUID must report OSXSAVE.
#[target_feature(enable = "xsave")]
unsafe fn xcr0() -> u64 {
    // SAFETY: the caller vouches for XGETBV; register 0 always exists.
    unsafe { _xgetbv(0) }
}

/// The SSE4.1 loops, to be handed out only where [`has_sse41`].
pub(super) const SSE41: Kernels = Kernels {
    isa: Isa::Sse41,
    interleaves: sse41::interleaves,
    // SAFETY: the table is handed out only where `has_sse41`, which is all that this function needs.
    mul_mat_interleaved: |kind, w, x, n_in, rows, out| unsafe {
        sse41::mul_mat_interleaved(kind, w, x, n_in, rows, out)
    },
    multiply_add: |numbers, n_rounds| match numbers {
        // SAFETY: as above.
        Numbers::Bytes => unsafe { multiply_add::bytes_sse41(n_rounds) },
        _ => (generic::KERNELS.multiply_add)(numbers, n_rounds),
    },
    read: fetch::read,
    ..generic::KERNELS
};

/// The AVX2 loops, to be handed out only where [`has_avx2`].
pub(super) const AVX2: Kernels = Kernels {
    isa: Isa::Avx2,
    // SAFETY: the table is handed out only where `has_avx2`, which is all that this function needs.
    mul_mat: |kind, w, x, n_in, out| unsafe { avx2::mul_mat(kind, w, x, n_in, out) },
    interleaves: avx2::interleaves,
    // SAFETY: as above.
    mul_mat_interleaved: |kind, w, x, n_in, rows, out| unsafe {
        avx2::mul_mat_interleaved(kind, w, x, n_in, rows, out)
    },
    tiling: |numbers| match numbers {
        Numbers::Halves => {
            Some(Tiling { n_tokens: 1, n_columns: avx2::BLOCK_COLUMNS, n_words: avx2::BLOCK_WORDS })
        }
        _ => Some(Tiling { n_tokens: avx2::TILE_TOKENS, n_columns: 1, n_words: 1 }),
    },
    tile: |numbers, x, n_in, out| match numbers {
        // SAFETY: as above.
        Numbers::Halves => unsafe { avx2::tile_in_fixed_point(x, out) },
        _ => woven_floats::tile::<{ avx2::TILE_TOKENS }>(x, n_in, out),
    },
    // SAFETY: as above.
    mul_mat_groups: |w, x, n_in, out| unsafe { avx2::mul_mat_groups(w, x, n_in, out) },
    // SAFETY: as above.
    quantize_q8_1: |x, n_sharing, out| unsafe { avx2::quantize_q8_1(x, n_sharing, out) },
    // SAFETY: as above.
    keep: |kv_type, x, out| unsafe { avx2::keep(kv_type, x, out) },
    // SAFETY: as above.
    attend: |queries, seen, scratch, found| unsafe { avx2::attend(queries, seen, scratch, found) },
    // SAFETY: as above.
    softmax: |x| unsafe { avx2::softmax(x) },
    // SAFETY: as above.
    swiglu: |gate, up| unsafe { avx2::swiglu(gate, up) },
    // SAFETY: as above.
    gelu: |x| unsafe { avx2::gelu(x) },
    // SAFETY: as above.
    multiply_add: |numbers, n_rounds| unsafe { multiply_add::avx2(numbers, n_rounds) },
    read: fetch::read,
};

/// The AVX-VNNI loops, to be handed out only where [`has_avx_vnni`].
pub(super) const AVX_VNNI: Kernels = Kernels {
    isa: Isa::AvxVnni,
    // SAFETY: the table is handed out only where `has_avx_vnni`, which is all that this function needs.
    mul_mat_interleaved: |kind, w, x, n_in, rows, out| unsafe {
        avx_vnni::mul_mat_interleaved(kind, w, x, n_in, rows, out)
    },
    // SAFETY: as above.
    multiply_add: |numbers, n_rounds| unsafe { multiply_add::avx_vnni(numbers, n_rounds) },
    ..AVX2
};

/// The AVX-512 loops, to be handed out only where [`has_avx512`].
pub(super) const AVX512: Kernels = Kernels {
    isa: Isa::Avx512,
    // SAFETY: the table is handed out only where `has_avx512`, which is all that this function needs.
    mul_mat_interleaved: |kind, w, x, n_in, rows, out| unsafe {
        avx512::mul_mat_interleaved(kind, w, x, n_in, rows, out)
    },
    tiling: |_| Some(Tiling { n_tokens: avx512::TILE_TOKENS, n_columns: 1, n_words: 1 }),
    tile: |_, x, n_in, out| woven_floats::tile::<{ avx512::TILE_TOKENS }>(x, n_in, out),
    // SAFETY: as above.
    attend: |queries, seen, scratch, found| unsafe { avx512::attend(queries, seen, scratch, found) },
    // SAFETY: as above.
    multiply_add: |numbers, n_rounds| unsafe { multiply_add::avx512(numbers, n_rounds) },
    ..AVX2
};

/// The AVX-512 loops with products in BF16, to be handed out only where [`has_avx512_bf16`].
pub(super) const AVX512_BF16: Kernels = Kernels {
    isa: Isa::Avx512Bf16,
    // SAFETY: the table is handed out only where `has_avx512_bf16`, which is all that this function needs.
    mul_mat_interleaved: |kind, w, x, n_in, rows, out| unsafe {
        avx512::mul_mat_interleaved_in_bf16(kind, w, x, n_in, rows, out)
    },
    tiling: |numbers| match numbers {
        Numbers::Halves => Some(Tiling { n_tokens: avx512::BF16_TILE_TOKENS, n_columns: PAIR, n_words: 1 }),
        _ => (AVX512.tiling)(numbers),
    },
    tile: |numbers, x, n_in, out| match numbers {
        // SAFETY: as above.
        Numbers::Halves => unsafe { avx512::tile_in_bf16(x, n_in, out) },
        _ => (AVX512.tile)(numbers, x, n_in, out),
    },
    // SAFETY: as above.
    multiply_add: |numbers, n_rounds| unsafe { multiply_add::avx512_bf16(numbers, n_rounds) },
    ..AVX512
};
