//! The interrupt descriptors: 32 exceptions that end in a report, and interrupts that only end a wait.
//!
//! Device interrupts carry no work here. They are let in at one place, the `hlt` of [`super::apic::Apic::wait`], and what woke it
//! is found by polling; so their stubs touch no register.

use core::arch::naked_asm;

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::idt::{Entry, HandlerFunc};

use super::exceptions;
use super::gdt::ExceptionStack;
use super::pic;

/// The exceptions that push an error code (Intel SDM vol. 3, table 6-1), one bit per vector.
const HAS_ERROR_CODE: u32 = 1 << 8 | 0b11111 << 10 | 1 << 17 | 1 << 21 | 0b11 << 29;

const DOUBLE_FAULT: usize = 8;
const NON_MASKABLE_INTERRUPT: usize = 2;
const MACHINE_CHECK: usize = 18;

#[repr(C, align(16))]
struct Table([Entry<HandlerFunc>; 256]);

static TABLE: Once<Table> = Once::new();

/// Make this core report its exceptions. Its [`super::gdt::Segments`] must be loaded.
pub(crate) fn load() {
    let table = TABLE.call_once(build);
    let pointer =
        DescriptorTablePointer { limit: (size_of::<Table>() - 1) as u16, base: VirtAddr::from_ptr(table) };
    // SAFETY: the table is static and every entry names a handler that follows the interrupt convention.
    unsafe { lidt(&pointer) };
}

fn build() -> Table {
    let legacy = pic::FIRST_VECTOR.into()..usize::from(pic::FIRST_VECTOR + pic::N_LINES);
    let mut table = Table([Entry::missing(); 256]);
    for (vector, entry) in table.0.iter_mut().enumerate() {
        let (handler, stack) = match vector {
            DOUBLE_FAULT => (EXCEPTION_STUBS[vector], ExceptionStack::DoubleFault),
            NON_MASKABLE_INTERRUPT | MACHINE_CHECK => (EXCEPTION_STUBS[vector], ExceptionStack::Asynchronous),
            0..32 => (EXCEPTION_STUBS[vector], ExceptionStack::Common),
            _ if legacy.contains(&vector) => (legacy_interrupt as Stub, ExceptionStack::Common),
            _ => (end_of_wait as Stub, ExceptionStack::Common),
        };
        // SAFETY: the stubs are written for interrupt gates, and `gdt` fills the stack that each names.
        unsafe {
            entry.set_handler_addr(VirtAddr::new(handler as usize as u64)).set_stack_index(stack as u16);
        }
    }
    table
}

type Stub = unsafe extern "C" fn() -> !;

/// Return to the `hlt` that an interrupt ended.
#[unsafe(naked)]
unsafe extern "C" fn end_of_wait() -> ! {
    naked_asm!("iretq")
}

/// Return likewise, and leave a note that a line of the legacy controllers works.
#[unsafe(naked)]
unsafe extern "C" fn legacy_interrupt() -> ! {
    naked_asm!("mov byte ptr [rip + {note}], 1", "iretq", note = sym pic::HAS_INTERRUPTED)
}

/// Save the registers as an [`exceptions::Frame`] and report.
#[unsafe(naked)]
unsafe extern "C" fn exception<const VECTOR: u32>() -> ! {
    naked_asm!(
        ".if ({has_error_code} >> {vector}) & 1 == 0",
        "push 0",
        ".endif",
        "push {vector}",
        "push rax",
        "push rbx",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push rbp",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rdi, rsp",
        "cld",
        "and rsp, -16",
        "call {report}",
        "ud2",
        has_error_code = const HAS_ERROR_CODE,
        vector = const VECTOR,
        report = sym exceptions::report,
    )
}

macro_rules! exception_stubs {
    ($($vector:literal)*) => { [$(exception::<$vector> as Stub),*] };
}

static EXCEPTION_STUBS: [Stub; 32] = exception_stubs!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
);
