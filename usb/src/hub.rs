//! Hubs: what one says of itself, and the state of its ports (USB 2.0, chapter 11).

use crate::Speed;

/// The type of a hub's descriptor.
pub const DESCRIPTOR: u8 = 0x29;

/// A hub, by its descriptor (USB 2.0, 11.23.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hub {
    /// How many ports it has; no more than a route can name.
    pub n_ports: u8,
    /// After so many milliseconds a port that gets power has it.
    pub power_on_ms: u16,
    /// How long its translator between speeds thinks: 8 bits' time more for each.
    pub think_time: u8,
}

impl Hub {
    /// So much of the descriptor is looked at; what follows is a bit for each port.
    pub const BYTES: u16 = 7;

    /// A route can name no port behind this one.
    const MAX_PORTS: u8 = 15;

    /// Return what the descriptor says; `None` when it is none of a hub.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[length, DESCRIPTOR, n_ports, characteristics, _, power_on, _, ..] = bytes else { return None };
        (u16::from(length) >= Self::BYTES).then(|| Self {
            n_ports: n_ports.min(Self::MAX_PORTS),
            power_on_ms: 2 * u16::from(power_on),
            think_time: characteristics >> 5 & 0b11,
        })
    }
}

/// Features of a port that are set and cleared (USB 2.0, table 11-17).
pub const PORT_RESET: u16 = 4;
/// See [`PORT_RESET`].
pub const PORT_POWER: u16 = 8;
/// The features that say what has changed, to be cleared when it was seen: connection, enabled, suspended, too much current, reset.
pub const CHANGES: [u16; 5] = [16, 17, 18, 19, 20];

/// The state of a port, and what has changed (USB 2.0, 11.24.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortStatus(u32);

impl PortStatus {
    /// Return the state that a hub answered with.
    pub const fn new(answer: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(answer))
    }

    const fn has(self, bit: u32) -> bool {
        self.0 & 1 << bit != 0
    }

    /// Return whether there is a device.
    pub const fn connected(self) -> bool {
        self.has(0)
    }

    /// Return whether the device can be talked to.
    pub const fn enabled(self) -> bool {
        self.has(1)
    }

    /// Return whether a device has come or gone.
    pub const fn connection_changed(self) -> bool {
        self.has(16)
    }

    /// Return whether a reset has ended.
    pub const fn reset_done(self) -> bool {
        self.has(20)
    }

    /// Return the features of [`CHANGES`] that have changed.
    pub fn changes(self) -> impl Iterator<Item = u16> {
        CHANGES.into_iter().filter(move |&feature| self.has(feature.into()))
    }

    /// Return how fast the device talks. Known after a reset only.
    pub const fn speed(self) -> Speed {
        match (self.has(9), self.has(10)) {
            (true, _) => Speed::Low,
            (false, true) => Speed::High,
            (false, false) => Speed::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Hub, PortStatus};
    use crate::Speed;

    #[test]
    fn reads_a_hub_descriptor() {
        // Four ports, each switched by itself, after 100 ms; three times 8 bits of thinking more than the least.
        let bytes = [0x09, 0x29, 0x04, 0xe9, 0x00, 0x32, 0x64, 0x00, 0xff];
        let hub = Hub { n_ports: 4, power_on_ms: 100, think_time: 3 };
        assert_eq!(Hub::parse(&bytes), Some(hub));
        assert_eq!(Hub::parse(&bytes[..7]), Some(hub));
    }

    #[test]
    fn refuses_what_is_no_hub_and_limits_what_one_claims() {
        assert_eq!(Hub::parse(&[0x09, 0x29, 0x04, 0xe9, 0x00, 0x32]), None);
        assert_eq!(Hub::parse(&[0x06, 0x29, 0x04, 0xe9, 0x00, 0x32, 0x64]), None);
        assert_eq!(Hub::parse(&[0x09, 0x2a, 0x04, 0xe9, 0x00, 0x32, 0x64]), None);
        assert_eq!(Hub::parse(&[]), None);
        let most = Hub::parse(&[0xff, 0x29, 0xff, 0xff, 0xff, 0xff, 0xff]).unwrap();
        assert_eq!(most, Hub { n_ports: 15, power_on_ms: 510, think_time: 3 });
    }

    #[test]
    fn reads_the_state_of_a_port() {
        // A low-speed device has just been plugged in; then it was reset; then it was gone.
        let plugged = PortStatus::new([0x01, 0x03, 0x01, 0x00]);
        assert!(plugged.connected() && plugged.connection_changed() && !plugged.enabled());
        assert_eq!((plugged.speed(), plugged.changes().collect::<Vec<_>>()), (Speed::Low, vec![16]));
        let reset = PortStatus::new([0x03, 0x05, 0x10, 0x00]);
        assert!(reset.enabled() && reset.reset_done() && !reset.connection_changed());
        assert_eq!((reset.speed(), reset.changes().collect::<Vec<_>>()), (Speed::High, vec![20]));
        let gone = PortStatus::new([0x00, 0x01, 0x03, 0x00]);
        assert!(!gone.connected());
        assert_eq!((gone.speed(), gone.changes().collect::<Vec<_>>()), (Speed::Full, vec![16, 17]));
    }
}
