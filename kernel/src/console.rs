//! The person's terminal: the serial line, the screen and the keyboards as the shell's one [`Terminal`].
//!
//! Each may be missing. What is written goes to both, and what is typed anywhere goes to one conversation. Input is polled. While nothing
//! comes the core halts for some milliseconds at a time, so that a chat that waits costs next to nothing.

use alloc::collections::VecDeque;
use core::{fmt, iter};

use screen::{Keys, Screen};
use shell::{ScreenSize, Terminal};

use crate::arch::apic::Apic;
use crate::drivers::ps2::Ps2Keyboard;
use crate::drivers::serial::Serial;
use crate::drivers::usb::Usb;

/// What asks a terminal for the cursor's position (ECMA-48 8.3.35, DSR).
const ASK_FOR_POSITION: &str = "\x1b[6n";

/// How long a key may wait: less than a person notices.
const KEY_PATIENCE_MS: u32 = 20;

/// The terminal.
pub(crate) struct Console {
    serial: Option<Serial>,
    screen: Option<Screen<'static>>,
    keyboards: Keyboards,
    apic: Apic,
    /// Whether the last key was one of the keyboard's: who types there looks at the screen.
    at_keyboard: bool,
    /// What was typed and not read yet.
    typed: VecDeque<u8>,
}

/// All keyboards: what is done with a key means the same on each, and Shift on one is held for the others as well.
pub(crate) struct Keyboards {
    /// What the keys mean.
    pub(crate) keys: Keys,
    pub(crate) ps2: Option<Ps2Keyboard>,
    pub(crate) usb: Usb,
}

impl Keyboards {
    /// Return whether there is a keyboard, or a place where one can be plugged in.
    fn is_there(&self) -> bool {
        self.ps2.is_some() || self.usb.is_there()
    }

    /// Return the next byte that was typed if there is one.
    fn try_read(&mut self) -> Option<u8> {
        let Self { keys, ps2, usb } = self;
        keys.typed().or_else(|| {
            if let Some(ps2) = ps2 {
                ps2.poll(keys);
            }
            usb.poll(keys);
            keys.typed()
        })
    }
}

impl Console {
    /// Return the console over these devices, on a core that waits by this APIC.
    pub(crate) fn new(
        serial: Option<Serial>,
        screen: Option<Screen<'static>>,
        keyboards: Keyboards,
        apic: Apic,
    ) -> Self {
        Self { serial, screen, keyboards, apic, at_keyboard: false, typed: VecDeque::new() }
    }

    /// Return whether there is a device at all.
    fn is_there(&self) -> bool {
        self.serial.is_some() || self.keyboards.is_there() || self.screen.is_some()
    }

    /// Halt until something may have been typed, or a key may have waited.
    fn halt(&self) {
        let serial_ms = self.serial.as_ref().map_or(u32::MAX, Serial::patience_ms);
        self.apic.wait(serial_ms.min(KEY_PATIENCE_MS));
    }

    /// Wait until all that was written has left.
    pub(crate) fn flush(&mut self) {
        if let Some(serial) = &mut self.serial {
            serial.flush();
        }
    }

    /// Take in what one of the devices has.
    fn poll(&mut self) {
        if let Some(byte) = self.serial.as_mut().and_then(Serial::try_read) {
            self.at_keyboard = false;
            self.typed.push_back(byte);
        } else if let Some(byte) = self.keyboards.try_read() {
            self.at_keyboard = true;
            self.typed.push_back(byte);
        }
    }
}

impl Terminal for Console {
    /// Return the size of our own screen when the person sits before it.
    fn screen_size(&self) -> ScreenSize {
        match &self.screen {
            Some(screen) if self.at_keyboard => {
                ScreenSize::Known { rows: screen.rows(), columns: screen.columns() }
            }
            _ => ScreenSize::Unknown,
        }
    }

    fn write(&mut self, text: &str) {
        // No device reports errors.
        let _ = fmt::Write::write_str(self, text);
    }

    fn try_read(&mut self) -> Option<u8> {
        if self.typed.is_empty() {
            self.poll();
        }
        let byte = self.typed.pop_front();
        if self.typed.is_empty() {
            // What was typed does not stay in the queue's memory.
            self.typed = VecDeque::new();
        }
        byte
    }

    /// Where nobody can type and nobody can read, the input has ended. A screen alone keeps what it shows.
    fn read(&mut self) -> Option<u8> {
        if !self.is_there() {
            return None;
        }
        loop {
            if let Some(byte) = self.try_read() {
                return Some(byte);
            }
            self.halt();
        }
    }

    fn wait(&mut self) -> bool {
        if self.is_there() {
            self.halt();
        }
        self.is_there()
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(screen) = &mut self.screen {
            screen.write(text);
            let replies = iter::from_fn(|| screen.reply());
            // Who is asked must be the terminal that the person looks at: their widths differ.
            if self.at_keyboard { self.typed.extend(replies) } else { replies.for_each(drop) }
        }
        let Some(serial) = &mut self.serial else { return Ok(()) };
        if self.at_keyboard {
            text.split(ASK_FOR_POSITION).try_for_each(|part| serial.write_str(part))
        } else {
            serial.write_str(text)
        }
    }
}
