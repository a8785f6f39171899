//! Fetching from memory ahead of use.
//!
//! Alone, a processor fetches too little: it looks no further than the end of a page, and is slow to see that blocks whose parts are read by
//! turns are a stream. (Zen 5, one core, GB/s: Q4_0 30 -> 38, Q4_K 24 -> 39.)

use core::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};

use crate::cpu::LINE_BYTES;

/// How far ahead: what comes from memory in the time that it takes to answer, and no more than the first cache keeps.
const AHEAD_BYTES: usize = 8192;

/// Fetch part `i` of `n` of what lies as large as `block` and [`AHEAD_BYTES`] behind it: more of the same, or of what comes after it.
#[inline(always)]
pub(super) fn ahead<B>(block: &B, i: usize, n: usize) {
    let n_lines = size_of::<B>().div_ceil(LINE_BYTES).div_ceil(n);
    for line in 0..n_lines {
        let at = AHEAD_BYTES + (i * n_lines + line) * LINE_BYTES;
        let address = (&raw const *block).cast::<i8>().wrapping_add(at);
        // SAFETY: an address that is not there is not fetched, without a fault (Intel SDM volume 2, PREFETCHh).
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
    }
}

/// Fetch part `i` of `n` of `bytes`, no nearer than the second cache: of much at once, the processor forgets most.
#[inline(always)]
pub(super) fn part(bytes: &[u8], i: usize, n: usize) {
    let n_lines = bytes.len().div_ceil(LINE_BYTES).div_ceil(n);
    for line in bytes.chunks(LINE_BYTES).skip(i * n_lines).take(n_lines) {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
}

/// Fetch `data` into the first cache.
#[inline(always)]
pub(super) fn soon<T>(data: &T) {
    for at in (0..size_of::<T>()).step_by(LINE_BYTES) {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const *data).cast::<i8>().wrapping_add(at)) };
    }
}

/// As [`crate::cpu::Kernels::read`].
pub(super) fn read(lines: &[[u8; LINE_BYTES]]) -> [u8; LINE_BYTES] {
    let mut all = [0; LINE_BYTES];
    for line in lines {
        ahead(line, 0, 1);
        for (all, byte) in all.iter_mut().zip(line) {
            *all ^= byte;
        }
    }
    all
}
