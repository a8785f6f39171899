//! The legacy interrupt controllers, two 8259A: they let in the lines whose interrupts end a wait, and no others.
//!
//! They are set to end an interrupt by themselves, so that nobody has to. Which vector came tells nothing that polling would not.
//! Intel 8259A data sheet, "Programming the 8259A".

use core::sync::atomic::{AtomicBool, Ordering};

use x86_64::instructions::port::Port;

/// The vectors of the 16 lines, behind the exceptions and the local APIC's.
pub(crate) const FIRST_VECTOR: u8 = 0x30;
pub(crate) const N_LINES: u8 = 16;

/// The command and data ports of the first controller, and of the second, which hangs on line 2 of the first.
const FIRST: u16 = 0x20;
const SECOND: u16 = 0xa0;
const DATA: u16 = 1;

/// Whether a line has interrupted since it was asked; written by the stub in [`super::idt`].
pub(super) static HAS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Give the lines vectors of their own, and let none of them in.
pub(crate) fn set_up() {
    for (port, vector, cascade) in [(FIRST, FIRST_VECTOR, 1 << 2), (SECOND, FIRST_VECTOR + 8, 2)] {
        // ICW1: a cascade, ICW4 follows. ICW2: vectors. ICW3: where they hang together. ICW4: 8086 mode, automatic end of interrupt.
        write(port, 0x11);
        for word in [vector, cascade, 0b11] {
            write(port + DATA, word);
        }
        write(port + DATA, 0xff);
    }
}

/// Let line `line` of the first controller in, and no other.
pub(crate) fn listen_to(line: u8) {
    write(FIRST + DATA, !(1 << line));
}

/// Let no line in.
pub(crate) fn listen_to_none() {
    write(FIRST + DATA, 0xff);
}

/// Return whether a line has interrupted since this was last asked.
pub(crate) fn has_interrupted() -> bool {
    HAS_INTERRUPTED.swap(false, Ordering::AcqRel)
}

fn write(port: u16, value: u8) {
    // SAFETY: these are the controllers' registers or nothing; their interrupts run code that touches no more than a flag.
    unsafe { Port::new(port).write(value) };
}
