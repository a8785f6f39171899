//! A PS/2 keyboard behind the PC's keyboard controller (Intel 8042), polled.
//!
//! Laptops have one, and so have virtual machines; firmware may make a USB keyboard look like one until [`super::usb`] takes it. Everything is
//! waited for with a limit, since a machine may have half of it or nothing. What the keys mean is [`screen::Keys`]'s business.

use screen::Keys;
use x86_64::instructions::port::Port;

/// The controller's ports. Reading the second gives the status, writing it a command.
const DATA: u16 = 0x60;
const STATUS: u16 = 0x64;

/// Status bits: there is a byte to read; the last one written was not taken yet; the byte to read is the mouse's.
const OUTPUT_FULL: u8 = 1 << 0;
const INPUT_FULL: u8 = 1 << 1;
const FROM_MOUSE: u8 = 1 << 5;
/// What a port reads that is not there.
const NOTHING: u8 = 0xff;

/// Commands to the controller.
const READ_CONFIGURATION: u8 = 0x20;
const WRITE_CONFIGURATION: u8 = 0x60;
const DISABLE_MOUSE: u8 = 0xa7;
const DISABLE_KEYBOARD: u8 = 0xad;
const ENABLE_KEYBOARD: u8 = 0xae;
/// A command to the keyboard: send keys.
const ENABLE_SCANNING: u8 = 0xf4;

/// Configuration bits: interrupts of keyboard and mouse; their clocks are stopped; codes are translated to set 1.
const INTERRUPTS: u8 = 0b11;
const KEYBOARD_STOPPED: u8 = 1 << 4;
const MOUSE_STOPPED: u8 = 1 << 5;
const TRANSLATE: u8 = 1 << 6;

/// How often a status is looked at before a device is given up: some 100 ms, as a look takes about a microsecond.
const PATIENCE: usize = 100_000;

/// How many bytes may wait in the controller and the keyboard: a code of several bytes, and the keyboard's own queue of 16.
const MAX_WAITING: usize = 32;

/// A keyboard, or at least a place where one can be plugged in.
pub(crate) struct Ps2Keyboard;

impl Ps2Keyboard {
    /// Return the keyboard; `None` if no controller answers.
    pub(crate) fn open() -> Option<Self> {
        if status() == NOTHING {
            return None;
        }
        command(DISABLE_KEYBOARD)?;
        command(DISABLE_MOUSE)?;
        (0..MAX_WAITING).take_while(|_| read().is_some()).count();
        command(READ_CONFIGURATION)?;
        let configuration = wait_for_byte()?;
        command(WRITE_CONFIGURATION)?;
        write(configuration & !(INTERRUPTS | KEYBOARD_STOPPED) | MOUSE_STOPPED | TRANSLATE)?;
        command(ENABLE_KEYBOARD)?;
        // With no keyboard plugged in, nothing answers; one that is plugged in later sends keys by itself.
        if write(ENABLE_SCANNING).is_some() {
            wait_for_byte();
        }
        Some(Self)
    }

    /// Let `keys` have what the keyboard sent.
    pub(crate) fn poll(&mut self, keys: &mut Keys) {
        for _ in 0..MAX_WAITING {
            match read() {
                Some((byte, status)) if status & FROM_MOUSE == 0 => keys.press(byte),
                Some(_) => {}
                None => break,
            }
        }
    }
}

fn status() -> u8 {
    // SAFETY: this port belongs to the keyboard controller or to nothing, and reading it changes nothing.
    unsafe { Port::new(STATUS).read() }
}

/// Return the byte that waits, and the status with it.
fn read() -> Option<(u8, u8)> {
    let status = status();
    // SAFETY: the port is the controller's, which has a byte for us.
    (status & OUTPUT_FULL != 0).then(|| (unsafe { Port::new(DATA).read() }, status))
}

fn wait_for_byte() -> Option<u8> {
    (0..PATIENCE).find_map(|_| read()).map(|(byte, _)| byte)
}

/// Write to one of the ports once the controller can take it; `None` if it never does.
fn write_to(port: u16, byte: u8) -> Option<()> {
    (0..PATIENCE).find(|_| status() & INPUT_FULL == 0)?;
    // SAFETY: the port is the controller's, which waits for a byte. What it can be told here touches no memory.
    unsafe { Port::new(port).write(byte) };
    Some(())
}

fn command(command: u8) -> Option<()> {
    write_to(STATUS, command)
}

fn write(byte: u8) -> Option<()> {
    write_to(DATA, byte)
}
