//! The person's terminal: the serial line as the shell's [`Terminal`].
//!
//! Input is polled. While nothing comes the core halts for a millisecond at a time, so that a chat that waits costs next to nothing.

use core::fmt;

use shell::Terminal;

use crate::arch::apic::Apic;
use crate::drivers::serial::Serial;

/// The terminal. A machine without a serial port has an empty one: writing is lost and the input has ended.
pub(crate) struct Console {
    serial: Option<Serial>,
    apic: Apic,
}

impl Console {
    /// Return the console over this line, on a core that waits by this APIC.
    pub(crate) fn new(serial: Option<Serial>, apic: Apic) -> Self {
        Self { serial, apic }
    }

    /// Wait until all that was written has left.
    pub(crate) fn flush(&mut self) {
        if let Some(serial) = &mut self.serial {
            serial.flush();
        }
    }
}

impl Terminal for Console {
    fn write(&mut self, text: &str) {
        // A serial line reports no errors.
        let _ = fmt::Write::write_str(self, text);
    }

    fn try_read(&mut self) -> Option<u8> {
        self.serial.as_mut()?.try_read()
    }

    fn read(&mut self) -> Option<u8> {
        let serial = self.serial.as_mut()?;
        loop {
            if let Some(byte) = serial.try_read() {
                return Some(byte);
            }
            self.apic.wait();
        }
    }

    fn wait(&mut self) -> bool {
        if self.serial.is_some() {
            self.apic.wait();
        }
        self.serial.is_some()
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.serial.as_mut().map_or(Ok(()), |serial| serial.write_str(text))
    }
}
