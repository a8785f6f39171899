//! Loops for emulated processors: in whole numbers.
//!
//! Where QEMU emulates the processor (TCG), 64-bit integer arithmetic becomes the host's own. A float operation costs ten times
//! as much, lane by lane, and an operation on vectors of bytes several scalar ones. So
//!
//! - [products](products) and [attention](attention) multiply whole numbers, and only a finished sum becomes a float. Scales,
//!   keys and values are binary16, hence whole multiples of 2^-24;
//! - what is used often lies in [registers of vectors](held): an access to memory takes a dozen of the host's instructions,
//!   a copy from such a register one;
//! - nothing is looked up in a table: its page and another that is in use may have one place in QEMU's direct-mapped TLB, and
//!   each access then costs a hundred additions;
//! - an inner loop [stays in one page](align): the way to another is looked up each time;
//! - weights are [read](products::fetch) once in their order, which makes the host's processor fetch ahead: instructions that ask
//!   for it do nothing.
//!
//! The results are those of [`generic`](crate::cpu::generic) but for its rounding errors.

mod attention;
mod held;
mod numbers;
mod products;
mod quantize;

use core::arch::asm;

use crate::cpu::{Isa, Kernels, generic};

/// Return `kernels` with the loops that suit an emulated processor.
pub(in crate::cpu) const fn emulated(kernels: Kernels, isa: Isa) -> Kernels {
    Kernels {
        isa,
        mul_mat: products::mul_mat,
        mul_mat_groups: products::mul_mat_groups,
        interleaves: |_| false,
        mul_mat_interleaved: generic::mul_mat_interleaved,
        quantize_q8_1: quantize::quantize_q8_1,
        attend: attention::attend,
        ..kernels
    }
}

/// Let the loop that follows lie in one page, with what leads to it: they have fewer than 1,024 bytes, and begin at a multiple of that.
#[inline(always)]
fn align() {
    // SAFETY: the assembler fills up with instructions that do nothing.
    unsafe { asm!(".p2align 10", options(nomem, nostack, preserves_flags)) };
}
