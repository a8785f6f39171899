//! What a person sees when it goes wrong: one report on the serial line and on the screen, then the end.
//!
//! A panic is a bug of ours, an exception is a bug of ours or of the machine; both come here. The report uses nothing that may be
//! what broke: no lock that is waited for, no allocation, and a serial port and a screen of its own. A failure inside the report ends
//! the machine at once.
//!
//! Under a hypervisor the machine then ends with an exit code that tells what [`Failure`] it was; a real one stays up with the report to
//! be read.

use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::arch;
use crate::arch::backtrace::{Backtrace, Registers};
use crate::arch::symbols::Symbol;
use crate::drivers::framebuffer;
use crate::drivers::serial::Serial;
use crate::memory::heap;
use crate::power;
use crate::smp;
use crate::step;

/// The core that reports, counted from 1; 0 when none does.
static REPORTER: AtomicUsize = AtomicUsize::new(0);

/// How long the other cores may take to say where they were stopped, in looks of some 100 ns.
const PATIENCE: usize = 2_000_000;

/// Where each core was when it was stopped; 0 for one that was not.
static STOPPED_AT: [AtomicU64; smp::MAX_CORES] = [const { AtomicU64::new(0) }; _];

/// What can go wrong, as the code that a test's machine ends with (tools/src/qemu.rs); [`ON_ANOTHER_CORE`] is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Panic = 0x10,
    PageFault = 0x11,
    StackOverflow = 0x12,
    DoubleFault = 0x13,
    OtherException = 0x14,
    OutOfMemory = 0x15,
    Hang = 0x16,
    NonMaskableInterrupt = 0x17,
    MachineCheck = 0x18,
    /// While another was reported.
    Second = 0x1f,
}

/// What is added to the code where it is not the first core that failed.
const ON_ANOTHER_CORE: u32 = 0x20;

/// Stop this core if another one reports a failure; `rip` is where it was.
pub(crate) fn stop_if_reported(rip: u64) {
    let (reporter, this) = (REPORTER.load(Ordering::Acquire), arch::core_number() + 1);
    if reporter != 0 && reporter != this {
        STOPPED_AT[this - 1].store(rip, Ordering::Release);
        arch::halt();
    }
}

/// Report `what`, which happened where `registers` are from, and stop the machine. The first line of the report begins with `***`.
pub(crate) fn stop_with(failure: Failure, what: &dyn fmt::Display, registers: Registers) -> ! {
    use fmt::Write;

    x86_64::instructions::interrupts::disable();
    let mut serial = Serial::for_report();
    let this = arch::core_number() + 1;
    let reporter = REPORTER.compare_exchange(0, this, Ordering::AcqRel, Ordering::Acquire);
    if reporter.is_err_and(|other| other != this) {
        // One report is enough, and this core may have been stopped for it.
        arch::halt();
    }
    if reporter.is_err() {
        let _ = serial.write_str("\n*** and a second failure while reporting the first\n");
        power::fail(Failure::Second as u32);
    }
    smp::stop_others();
    wait_for_others();
    let report = Report { what, registers };
    // No device can fail here; what a Display makes of itself is none of our concern any more.
    let _ = write!(serial, "{report}");
    serial.flush();
    if let Some(mut screen) = framebuffer::for_report() {
        let _ = write!(screen, "{report}");
    }
    let on_another_core = if this > 1 { ON_ANOTHER_CORE } else { 0 };
    power::fail(failure as u32 + on_another_core)
}

/// Wait a little until the other cores have halted.
fn wait_for_others() {
    for _ in 0..PATIENCE {
        let n_stopped = STOPPED_AT.iter().filter(|at| at.load(Ordering::Acquire) != 0).count();
        if n_stopped >= smp::n_others() {
            return;
        }
        core::hint::spin_loop();
    }
}

/// What a person reads. What may itself fail comes last.
struct Report<'r> {
    what: &'r dyn fmt::Display,
    registers: Registers,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n*** {}", self.what)?;
        writeln!(f, "step: {}", step::Report)?;
        writeln!(f, "core {}; {}", arch::core_number(), heap::Report)?;
        for (core, at) in STOPPED_AT.iter().enumerate() {
            match at.load(Ordering::Acquire) {
                0 => {}
                at => writeln!(f, "core {core} was at {}", Symbol(at))?,
            }
        }
        write!(f, "called by:\n{}", Backtrace(self.registers))
    }
}

// Linting the whole workspace at once shares crates with the host tools, which turn on `std` in some of them; then its handler
// is there already, and clippy, which links nothing, takes that one.
#[cfg(clippy)]
extern crate std;

#[cfg_attr(clippy, expect(dead_code))]
#[cfg_attr(not(clippy), panic_handler)]
fn panic(info: &PanicInfo<'_>) -> ! {
    let failure = if heap::has_refused() { Failure::OutOfMemory } else { Failure::Panic };
    stop_with(failure, info, Registers::here())
}

// Prebuilt `core` and `alloc` name these two in their unwind tables and landing pads. Panics abort, so nothing gets there.

#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    stop_with(Failure::Panic, &"an unwinding landing pad was reached, though panics abort", Registers::here())
}
