//! What each core has of its own: segments, and a task state with the stacks for exceptions.
//!
//! Every interrupt vector switches to one of those stacks. Prebuilt `core` keeps data below the stack pointer (the red zone), which
//! an interrupt frame on the same stack would overwrite; and the overflow of a stack must be reported from another one.

use x86_64::VirtAddr;
use x86_64::instructions::{segmentation::*, tables::load_tss};
use x86_64::structures::{
    gdt::{Descriptor, GlobalDescriptorTable},
    tss::TaskStateSegment,
};

/// The stacks of [`Segments`], by the vectors that use them. A vector that can interrupt another's report has its own.
#[derive(Debug, Clone, Copy)]
#[repr(u16)]
pub(crate) enum ExceptionStack {
    /// For exceptions, and for the interrupts that end a wait.
    Common,
    /// For the double fault, which may come of a broken common stack.
    DoubleFault,
    /// For the non-maskable interrupt and the machine check, which may come at any instruction.
    Asynchronous,
}

impl ExceptionStack {
    /// How many there are.
    pub(crate) const COUNT: usize = 3;
    /// How long each is: enough for a report.
    pub(crate) const BYTES: u64 = 16 * 1024;
}

/// A core's segments: flat code and data, and its task state.
pub(crate) struct Segments {
    gdt: GlobalDescriptorTable,
    task_state: TaskStateSegment,
}

impl Segments {
    /// Return segments that no core can use yet.
    pub(crate) const fn new() -> Self {
        Self { gdt: GlobalDescriptorTable::new(), task_state: TaskStateSegment::new() }
    }

    /// Fill them in and make them this core's, with these stack tops in the order of [`ExceptionStack`].
    ///
    /// The interrupt descriptors name the code selector loaded here, so [`super::idt::load`] comes after this.
    pub(crate) fn load(&'static mut self, stack_tops: [VirtAddr; ExceptionStack::COUNT]) {
        let mut stacks = self.task_state.interrupt_stack_table; // packed: no reference into it
        stacks[..ExceptionStack::COUNT].copy_from_slice(&stack_tops);
        self.task_state.interrupt_stack_table = stacks;

        let code = self.gdt.append(Descriptor::kernel_code_segment());
        let data = self.gdt.append(Descriptor::kernel_data_segment());
        // SAFETY: `self` is static and given up to this call, so the task state stays where it is.
        let task = self.gdt.append(unsafe { Descriptor::tss_segment_unchecked(&self.task_state) });

        // SAFETY: the table is static, and the selectors are those of its 64-bit code, its writable data and its task state,
        // which no core has loaded before: loading it takes the only reference.
        unsafe {
            self.gdt.load_unsafe();
            CS::set_reg(code);
            SS::set_reg(data);
            DS::set_reg(data);
            ES::set_reg(data);
            load_tss(task);
        }
    }
}

/// Make the boot core report exceptions while there is no memory to allocate from: with one stack for all of them.
pub(crate) fn load_early() {
    static mut STACK: [u128; ExceptionStack::BYTES as usize / 16] = [0; _]; // aligned as stacks are
    static mut SEGMENTS: Segments = Segments::new();

    let top = VirtAddr::from_ptr(&raw const STACK) + ExceptionStack::BYTES;
    let segments = &raw mut SEGMENTS;
    // SAFETY: the boot core runs this once, before there is any other.
    unsafe { &mut *segments }.load([top; ExceptionStack::COUNT]);
}
