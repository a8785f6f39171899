//! How a core changes from one stack to another: once, when its guarded stack is there.

use core::arch::asm;

use x86_64::VirtAddr;

/// Go on with `next(argument)` on the stack that ends at `top`. The old stack is never returned to.
///
/// # Safety
/// `top` is the page-aligned end of a mapped stack that nobody else uses.
pub(crate) unsafe fn switch<T>(
    top: VirtAddr,
    next: extern "C" fn(&'static mut T) -> !,
    argument: &'static mut T,
) -> ! {
    // SAFETY: the new stack is the caller's promise. A frame pointer of 0 ends a walk; the call leaves the alignment that the
    // calling convention wants.
    unsafe {
        asm!(
            "mov rsp, {top}",
            "xor ebp, ebp",
            "call {next}",
            "ud2",
            top = in(reg) top.as_u64(),
            next = in(reg) next,
            in("rdi") argument,
            options(noreturn),
        )
    }
}
