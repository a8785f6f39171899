//! The processor: how it is entered, its tables, its clock, its interrupt controller.
//!
//! Everything here is x86_64 and ring 0. What every core has of its own is in [`gdt`]; the rest is one for all.

pub(crate) mod apic;
pub(crate) mod entropy;
mod entry;
mod exceptions;
pub(crate) mod features;
pub(crate) mod gdt;
pub(crate) mod idt;
mod mem;
pub(crate) mod stack;
pub(crate) mod tsc;

/// Stop this core for ever.
pub(crate) fn halt() -> ! {
    x86_64::instructions::interrupts::disable();
    loop {
        x86_64::instructions::hlt();
    }
}
