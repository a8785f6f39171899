//! What a person sees when it goes wrong: one report on the serial line and on the screen, then the end.
//!
//! A panic is a bug of ours, an exception is a bug of ours or of the machine; both come here. The report uses nothing that may be
//! what broke: no lock that is waited for, no allocation, and a serial port and a screen of its own. A failure inside the report ends
//! the machine at once.
//!
//! Under a hypervisor the machine then ends with [`power::fail`]'s exit code; a real one stays up with the report to be read.

use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::arch;
use crate::drivers::framebuffer;
use crate::drivers::serial::Serial;
use crate::memory::heap;
use crate::power;
use crate::smp;

/// The core that reports, counted from 1; 0 when none does.
static REPORTER: AtomicUsize = AtomicUsize::new(0);

/// Report `what` and stop the machine. The first line of the report begins with `***`.
pub(crate) fn stop_with(what: &dyn fmt::Display) -> ! {
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
        power::fail();
    }
    smp::stop_others();
    write_report(&mut serial, what);
    serial.flush();
    if let Some(mut screen) = framebuffer::for_report() {
        write_report(&mut screen, what);
    }
    power::fail()
}

fn write_report(out: &mut dyn fmt::Write, what: &dyn fmt::Display) {
    // Neither device can fail; what a Display makes of itself is none of our concern any more.
    let _ = writeln!(out, "\n*** {what}");
    let _ = writeln!(out, "core {}; {}", arch::core_number(), heap::Report);
}

// Linting the whole workspace at once shares crates with the host tools, which turn on `std` in some of them; then its handler
// is there already, and clippy, which links nothing, takes that one.
#[cfg(clippy)]
extern crate std;

#[cfg_attr(clippy, expect(dead_code))]
#[cfg_attr(not(clippy), panic_handler)]
fn panic(info: &PanicInfo<'_>) -> ! {
    stop_with(info)
}

// Prebuilt `core` and `alloc` name these two in their unwind tables and landing pads. Panics abort, so nothing gets there.

#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    stop_with(&"an unwinding landing pad was reached, though panics abort")
}
