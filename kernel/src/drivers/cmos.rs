//! The real-time clock in a PC's CMOS memory (Motorola MC146818A).

use clock::{CmosRegisters, Date};
use x86_64::instructions::port::Port;

/// Registers beside those that [`CmosRegisters`] tells of: bit 7 of status A says that the clock is about to move on.
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const UPDATES: u8 = 1 << 7;

/// What is read where nothing is.
const NOTHING: u8 = 0xff;

/// How often is looked. An update takes 2 ms at most and a look 1 µs at least; an emulator that is busy takes longer.
const MAX_LOOKS: usize = 200_000;

/// Return which date it is, if this machine has such a clock, and it is set.
pub(crate) fn date() -> Option<Date> {
    if [STATUS_A, STATUS_B].map(read) == [NOTHING; 2] {
        return None;
    }
    // The clock may move on while it is read, so that two times must be the same.
    let mut last = None;
    let steady = (0..MAX_LOOKS).find_map(|_| {
        if read(STATUS_A) & UPDATES != 0 {
            return None;
        }
        let registers = registers();
        let is_steady = last.replace(registers) == Some(registers);
        is_steady.then_some(registers)
    });
    steady?.date()
}

fn registers() -> CmosRegisters {
    CmosRegisters {
        second: read(0x00),
        minute: read(0x02),
        hour: read(0x04),
        day: read(0x07),
        month: read(0x08),
        year: read(0x09),
        status: read(STATUS_B),
    }
}

fn read(register: u8) -> u8 {
    // SAFETY: these are the ports of the CMOS memory or nothing. The first one's highest bit stays off: it holds back non-maskable
    // interrupts.
    unsafe {
        Port::new(0x70).write(register);
        Port::new(0x71).read()
    }
}
