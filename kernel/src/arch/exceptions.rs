//! What a person sees when the processor stops the kernel: which exception, in which function, on what address, and the registers.
//!
//! No exception is recoverable here: there is no paging to disk and no other process, so each of them is a fault of the kernel,
//! the machine or the hypervisor. The decoding follows Intel SDM vol. 3, 6.15.

use core::fmt;

use x86_64::registers::control::{Cr2, Cr3};

use super::backtrace::Registers;
use super::machine_check;
use super::symbols::Symbol;
use crate::memory;
use crate::panic::{self, Failure};

/// The state that [`super::idt`]'s stubs leave on the exception stack, lowest address first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Frame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rbp: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
    vector: u64,
    error_code: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

const NON_MASKABLE_INTERRUPT: u64 = 2;
const DOUBLE_FAULT: u64 = 8;
const PAGE_FAULT: u64 = 14;
const MACHINE_CHECK: u64 = 18;

/// Report the exception and stop the machine.
pub(crate) extern "C" fn report(frame: &Frame) -> ! {
    if frame.vector == NON_MASKABLE_INTERRUPT {
        // One core may have sent it to stop the others, and wants to know where they are.
        panic::stop_if_reported(frame.rip);
    }
    panic::stop_with(frame.failure(), frame, frame.registers())
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vector = self.vector;
        writeln!(f, "exception {vector}: {} at {}", name(vector), Symbol(self.rip))?;
        if vector == PAGE_FAULT {
            let address = Cr2::read_raw();
            writeln!(f, "{} {address:#018x}: {}", self.access(), self.page_fault_reason(address))?;
        }
        if vector == MACHINE_CHECK {
            write!(f, "{}", machine_check::Banks)?;
        }
        writeln!(f, "error code {:#x}", self.error_code)?;
        let Self { rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, .. } = self;
        writeln!(f, "rax {rax:016x}  rbx {rbx:016x}  rcx {rcx:016x}  rdx {rdx:016x}")?;
        writeln!(f, "rsi {rsi:016x}  rdi {rdi:016x}  rbp {rbp:016x}  rsp {rsp:016x}")?;
        let Self { r8, r9, r10, r11, r12, r13, r14, r15, .. } = self;
        writeln!(f, "r8  {r8:016x}  r9  {r9:016x}  r10 {r10:016x}  r11 {r11:016x}")?;
        writeln!(f, "r12 {r12:016x}  r13 {r13:016x}  r14 {r14:016x}  r15 {r15:016x}")?;
        let Self { cs, ss, rflags, .. } = self;
        let cr3 = Cr3::read().0.start_address();
        write!(f, "cs {cs:#x}  ss {ss:#x}  rflags {rflags:#x}  cr3 {cr3:#x}")
    }
}

impl Frame {
    /// Return what a walk to the callers begins with.
    fn registers(&self) -> Registers {
        let &Self { rip, rsp, rbp, rbx, r12, r13, r14, r15, .. } = self;
        Registers { rip, rsp, rbp, rbx, r12_to_r15: [r12, r13, r14, r15] }
    }

    /// Return what kind of failure this is.
    fn failure(&self) -> Failure {
        match self.vector {
            NON_MASKABLE_INTERRUPT => Failure::NonMaskableInterrupt,
            DOUBLE_FAULT => Failure::DoubleFault,
            MACHINE_CHECK => Failure::MachineCheck,
            PAGE_FAULT if memory::is_stack_guard(Cr2::read_raw()) => Failure::StackOverflow,
            PAGE_FAULT => Failure::PageFault,
            _ => Failure::OtherException,
        }
    }

    /// Return what the instruction was doing when it faulted (error code bits 1 and 4).
    fn access(&self) -> &'static str {
        match (self.error_code >> 4 & 1, self.error_code >> 1 & 1) {
            (1, _) => "executing",
            (_, 1) => "writing",
            _ => "reading",
        }
    }

    /// Return why that was refused (error code bits 0 and 3).
    fn page_fault_reason(&self, address: u64) -> &'static str {
        match (self.error_code >> 3 & 1, self.error_code & 1) {
            (1, _) => "a reserved bit is set in the page tables",
            (_, 1) => "the page does not allow it",
            _ if memory::is_stack_guard(address) => "a stack has overflowed",
            _ => "the page is not mapped",
        }
    }
}

/// Return the name of an exception (Intel SDM vol. 3, table 6-1; AMD APM vol. 2, table 8-1 for 28 to 30).
fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        8 => "double fault",
        10 => "invalid task state segment",
        11 => "segment not present",
        12 => "stack segment fault",
        13 => "general protection fault",
        PAGE_FAULT => "page fault",
        16 => "x87 floating-point error",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD floating-point error",
        20 => "virtualization exception",
        21 => "control protection exception",
        28 => "hypervisor injection exception",
        29 => "VMM communication exception",
        30 => "security exception",
        _ => "reserved exception",
    }
}
