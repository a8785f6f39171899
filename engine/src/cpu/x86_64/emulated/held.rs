//! Numbers in registers of vectors.

use core::arch::asm;
use core::arch::x86_64::__m128i;

/// A number in a register of vectors. That it is copied from there for each use the compiler may not know: it would do so once,
/// ahead of the loop, have too few registers, and put it into memory.
#[derive(Clone, Copy)]
pub(super) struct Held(__m128i);

impl Held {
    #[inline(always)]
    pub(super) fn new(number: i64) -> Self {
        let held;
        // SAFETY: a register is copied to one that the baseline has.
        unsafe {
            asm!("movq {}, {}", out(xmm_reg) held, in(reg) number, options(pure, nomem, nostack, preserves_flags))
        };
        Self(held)
    }

    /// Return the sum with `number`, without what overflows.
    #[inline(always)]
    pub(super) fn plus(self, mut number: i64) -> i64 {
        // SAFETY: only registers change.
        unsafe {
            asm!("movq {held}, {}", "add {}, {held}", in(xmm_reg) self.0, inout(reg) number, held = out(reg) _,
                options(pure, nomem, nostack));
        }
        number
    }

    /// Return the product with `number`, without what overflows.
    #[inline(always)]
    pub(super) fn times(self, mut number: i64) -> i64 {
        // SAFETY: as above.
        unsafe {
            asm!("movq {held}, {}", "imul {}, {held}", in(xmm_reg) self.0, inout(reg) number, held = out(reg) _,
                options(pure, nomem, nostack));
        }
        number
    }

    /// Return the upper 64 bits of the product with `number`.
    #[inline(always)]
    pub(super) fn times_high(self, number: i64) -> i64 {
        let high;
        // SAFETY: as above.
        unsafe {
            asm!("movq rax, {}", "imul {}", in(xmm_reg) self.0, in(reg) number, out("rax") _, out("rdx") high,
                options(pure, nomem, nostack));
        }
        high
    }
}
