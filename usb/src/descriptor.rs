//! What a device says of itself: descriptors (USB 2.0, 9.5 and 9.6), of which a keyboard or a hub is made out.

use core::fmt;

use crate::Speed;

/// The types of descriptors that are asked for (USB 2.0, table 9-5).
pub const DEVICE: u8 = 1;
/// See [`DEVICE`].
pub const CONFIGURATION: u8 = 2;
const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;

/// Class, subclass and protocol of an interface: a keyboard that speaks the boot protocol (HID 1.11, 4.1 to 4.3).
const BOOT_KEYBOARD: [u8; 3] = [3, 1, 1];
/// The class of a hub's interface (USB 2.0, 11.23.1).
const HUB_CLASS: u8 = 9;

/// A descriptor that cannot be what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// What was to be read.
    pub what: &'static str,
    /// The first byte that makes no sense.
    pub at: usize,
    /// What it is, if it is there at all.
    pub found: Option<u8>,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its {} descriptor is malformed: byte {} is ", self.what, self.at)?;
        match self.found {
            Some(byte) => write!(f, "{byte:#04x}"),
            None => f.write_str("missing"),
        }
    }
}

/// Return the descriptor of type `kind` at the start of `bytes`, of which it has at least `n_bytes`.
fn first<'b>(what: &'static str, bytes: &'b [u8], kind: u8, n_bytes: usize) -> Result<&'b [u8], Malformed> {
    let malformed = |at: usize| Malformed { what, at, found: bytes.get(at).copied() };
    match bytes {
        [_, found, ..] if *found != kind => Err(malformed(1)),
        [length, _, ..] if usize::from(*length) < n_bytes => Err(malformed(0)),
        _ => bytes.get(..n_bytes).ok_or(malformed(bytes.len())),
    }
}

/// So much of a device descriptor has the size of its packets.
pub const SHORT_DEVICE_BYTES: u16 = 8;
/// All of a device descriptor.
pub const DEVICE_BYTES: u16 = 18;
/// A configuration's own descriptor, before those of its interfaces.
pub const SHORT_CONFIGURATION_BYTES: u16 = 9;

/// Return how many bytes a packet of control transfers has at most, by the first bytes of the device descriptor (USB 2.0, 5.5.3).
///
/// # Errors
/// When it is not a size that a device of this speed can have.
pub fn control_packet_bytes(bytes: &[u8], speed: Speed) -> Result<u16, Malformed> {
    let device = first("device", bytes, DEVICE, SHORT_DEVICE_BYTES.into())?;
    let size = device[7];
    let can_be = match speed {
        Speed::Low => size == 8,
        Speed::Full => matches!(size, 8 | 16 | 32 | 64),
        Speed::High => size == 64,
    };
    if can_be { Ok(size.into()) } else { Err(Malformed { what: "device", at: 7, found: Some(size) }) }
}

/// Return a device's vendor and product, by its whole descriptor.
///
/// # Errors
/// When it is none.
pub fn vendor_and_product(bytes: &[u8]) -> Result<(u16, u16), Malformed> {
    let device = first("device", bytes, DEVICE, DEVICE_BYTES.into())?;
    Ok((u16::from_le_bytes([device[8], device[9]]), u16::from_le_bytes([device[10], device[11]])))
}

/// Return how many bytes a configuration takes with all that belongs to it, by its own descriptor.
///
/// # Errors
/// When it is none.
pub fn configuration_bytes(bytes: &[u8]) -> Result<u16, Malformed> {
    let configuration = first("configuration", bytes, CONFIGURATION, SHORT_CONFIGURATION_BYTES.into())?;
    Ok(u16::from_le_bytes([configuration[2], configuration[3]]))
}

/// What a device can be that is of use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyboard that speaks the boot protocol.
    Keyboard,
    /// A hub.
    Hub,
}

/// A keyboard or a hub in a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Which of the two.
    pub kind: Kind,
    /// The configuration that has it.
    pub configuration: u8,
    /// The interface that is it.
    pub interface: u8,
    /// Where its reports come from.
    pub endpoint: InterruptIn,
}

/// An endpoint whose reports are asked for at intervals (USB 2.0, 9.6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterruptIn {
    /// Its number, from 1 to 15.
    pub number: u8,
    /// How long a report can be.
    pub max_packet_bytes: u16,
    /// bInterval, whose unit depends on the speed.
    pub interval: u8,
}

impl InterruptIn {
    /// Return its address: the number, and in the highest bit the direction.
    pub const fn address(&self) -> u8 {
        self.number | 1 << 7
    }

    /// Return the longest time between two looks at it, as the power of two of 125 µs that does not exceed it (xHCI 1.2, 6.2.3.6).
    pub fn interval_exponent(&self, speed: Speed) -> u8 {
        match speed {
            Speed::High => self.interval.clamp(1, 16) - 1,
            // Milliseconds.
            Speed::Low | Speed::Full => 3 + self.interval.max(1).ilog2() as u8,
        }
    }
}

/// Return the first keyboard or hub of a configuration, by all its descriptors; `None` when it has none.
///
/// # Errors
/// When nothing is found before descriptors begin that make no sense.
pub fn function(bytes: &[u8]) -> Result<Option<Function>, Malformed> {
    let configuration = first("configuration", bytes, CONFIGURATION, SHORT_CONFIGURATION_BYTES.into())?[5];
    let mut interface = None;
    let mut at = 0;
    while at < bytes.len() {
        let length = usize::from(bytes[at]);
        let malformed = Malformed { what: "configuration", at, found: Some(bytes[at]) };
        let descriptor = bytes.get(at..at + length).ok_or(malformed)?;
        match *descriptor {
            // Other settings than the first have to be asked for.
            [_, INTERFACE, number, 0, _, class, subclass, protocol, ..] => {
                interface = match [class, subclass, protocol] {
                    BOOT_KEYBOARD => Some((number, Kind::Keyboard)),
                    [HUB_CLASS, ..] => Some((number, Kind::Hub)),
                    _ => None,
                };
            }
            [_, INTERFACE, ..] => interface = None,
            [_, ENDPOINT, address, attributes, low, high, interval, ..] => {
                let endpoint = interrupt_in(address, attributes, [low, high], interval);
                if let (Some((interface, kind)), Some(endpoint)) = (interface, endpoint) {
                    return Ok(Some(Function { kind, configuration, interface, endpoint }));
                }
            }
            [_, _, ..] => {}
            // Too short to say what it is; of no length, it would be looked at for ever.
            _ => return Err(malformed),
        }
        at += length;
    }
    Ok(None)
}

/// Return the endpoint if it is one for reports to the host.
fn interrupt_in(address: u8, attributes: u8, size: [u8; 2], interval: u8) -> Option<InterruptIn> {
    const INTERRUPT: u8 = 3;
    let number = address & 0xf;
    // Above its lowest 11 bits, the size says something about faster transfers.
    let max_packet_bytes = u16::from_le_bytes(size) & 0x7ff;
    let is_one = attributes & 3 == INTERRUPT && address & 1 << 7 != 0 && number > 0 && max_packet_bytes > 0;
    is_one.then_some(InterruptIn { number, max_packet_bytes, interval })
}

#[cfg(test)]
mod tests;
