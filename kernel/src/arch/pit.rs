//! The programmable interval timer (Intel 8254), which only tells how fast the time stamp counter is.

use clock::{Rate, Source, measure};
use x86_64::instructions::port::Port;

use super::tsc;

/// Its input clock in Hz.
const HZ: u64 = 1_193_182;

/// Return the time stamp counter's rate measured beside channel 0; `None` where that does not count, as in machines without one or with
/// its clock switched off.
pub(super) fn rate() -> Option<Rate> {
    let mut command = Port::<u8>::new(0x43);
    let mut channel_0 = Port::<u8>::new(0x40);
    // SAFETY: these are the PIT's ports or nothing. Nobody waits for channel 0's interrupt.
    unsafe {
        command.write(0b0011_0000); // channel 0; low, then high byte; mode 0: count down, and on from the top
        channel_0.write(0xff);
        channel_0.write(0xff);
    }
    let mut count = || {
        // SAFETY: as above.
        unsafe {
            command.write(0b0000_0000); // channel 0: hold the count for reading
            u16::from_le_bytes([channel_0.read(), channel_0.read()])
        }
    };
    let (mut last, mut passed) = (count(), 0);
    let look = || {
        let next = count();
        passed += u64::from(last.wrapping_sub(next));
        last = next;
        (passed, tsc::now())
    };
    measure(HZ, look).map(|hz| Rate { hz, source: Source::Pit })
}
