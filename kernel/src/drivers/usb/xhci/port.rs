//! The controller's own ports (xHCI 1.2, 4.15 and 4.19).
//!
//! Only those of USB 2 are used: a plug of USB 3 has both, and a keyboard, whatever it is plugged into, is a device of USB 2.

use usb::Speed;

use super::{Controller, Error};

/// Bits of a port's register (5.4.8): there is a device; it can be talked to; it is being reset; the port has power; a device has come
/// or gone; the reset has ended.
const CONNECTED: u32 = 1 << 0;
const ENABLED: u32 = 1 << 1;
const RESET: u32 = 1 << 4;
const POWER: u32 = 1 << 9;
const CONNECTION_CHANGE: u32 = 1 << 17;
const RESET_CHANGE: u32 = 1 << 21;
/// All that say that something has changed, each cleared by writing a one.
const CHANGES: u32 = 0x7f << 17;
/// What must be written as it was read: power, indicators, what wakes the machine. All else does something when it is one.
const KEPT: u32 = POWER | 0b11 << 14 | 0b111 << 25;

/// The extended capability that names the ports of a protocol (7.2).
const SUPPORTED_PROTOCOL: u8 = 2;

/// How long a reset may take (USB 2.0, 7.1.7.5: 10 to 20 ms, driven for 50 ms), and how long a device may take then (TRSTRCY).
pub(in crate::drivers::usb) const RESET_LIMIT_MS: u64 = 500;
pub(in crate::drivers::usb) const RECOVERY_MS: u64 = 10;

impl Controller {
    /// Return whether there is a port of USB 2 of this number.
    ///
    /// A controller that names no protocols has only ports that are looked at like these.
    pub(super) fn has_port(&self, port: u8) -> bool {
        let is_usb_3 = self.registers.capabilities(SUPPORTED_PROTOCOL).any(|protocol| {
            let [.., major] = protocol.read(0).to_le_bytes();
            let [first, n_ports, ..] = protocol.read(2).to_le_bytes();
            major >= 3 && (first..first.saturating_add(n_ports)).contains(&port)
        });
        (1..=self.registers.n_ports()).contains(&port) && !is_usb_3
    }

    /// Return the ports.
    pub(in crate::drivers::usb) fn ports(&self) -> impl Iterator<Item = u8> {
        (1..=self.registers.n_ports()).filter(|port| self.has_port(*port))
    }

    /// Give a port power, if it has none.
    pub(super) fn power_on(&self, port: u8) {
        let status = self.registers.port(port);
        if status & POWER == 0 {
            self.registers.set_port(port, status & KEPT | POWER);
        }
    }

    /// Return whether a device has come or gone since this was last asked.
    pub(in crate::drivers::usb) fn connection_changed(&self, port: u8) -> bool {
        let status = self.registers.port(port);
        self.registers.set_port(port, status & (KEPT | CHANGES));
        status & CONNECTION_CHANGE != 0
    }

    /// Return whether there is a device.
    pub(in crate::drivers::usb) fn is_connected(&self, port: u8) -> bool {
        self.registers.port(port) & CONNECTED != 0
    }

    /// Reset the device at a port, and return how fast it talks (4.3.1).
    pub(in crate::drivers::usb) fn reset(&self, port: u8) -> Result<Speed, Error> {
        self.registers.set_port(port, self.registers.port(port) & KEPT | RESET);
        let is_done = || self.registers.port(port) & RESET_CHANGE != 0;
        if !self.clock.wait_until(RESET_LIMIT_MS, is_done) {
            return Err(Error::Reset);
        }
        let status = self.registers.port(port);
        self.registers.set_port(port, status & KEPT | RESET_CHANGE);
        self.clock.pause(RECOVERY_MS);
        match (status & ENABLED != 0, status >> 10 & 0xf) {
            (true, 1) => Ok(Speed::Full),
            (true, 2) => Ok(Speed::Low),
            (true, 3) => Ok(Speed::High),
            _ => Err(Error::Reset),
        }
    }
}
