//! The way from a host controller to a device: a port of the controller, and from there through hubs.

/// The way to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    root_port: u8,
    /// The ports of the hubs on the way, four bits each, the first hub's lowest.
    ports: u32,
    n_hubs: u8,
}

impl Route {
    /// How many hubs there may be between a controller and a device (USB 2.0, 4.1.1).
    const MAX_HUBS: u8 = 5;
    /// The last port of a hub that a route can name.
    const MAX_PORT: u8 = 15;

    /// Return the way to the device at the controller's own port of this number, the first being 1.
    pub const fn root(port: u8) -> Self {
        Self { root_port: port, ports: 0, n_hubs: 0 }
    }

    /// Return the way to the device at a port of the hub to which this one leads, the first being 1; `None` where there can be none.
    pub fn through(self, port: u8) -> Option<Self> {
        let can_be = (1..=Self::MAX_PORT).contains(&port) && self.n_hubs < Self::MAX_HUBS;
        can_be.then(|| Self {
            ports: self.ports | u32::from(port) << (4 * self.n_hubs),
            n_hubs: self.n_hubs + 1,
            ..self
        })
    }

    /// Return the controller's port.
    pub const fn root_port(self) -> u8 {
        self.root_port
    }

    /// Return the hubs' ports as host controllers want them (USB 3.2, 8.9; xHCI 1.2, 6.2.2).
    pub const fn string(self) -> u32 {
        self.ports
    }

    /// Return whether this is the way to `place`, or one that goes on from there.
    pub const fn leads_through(self, place: Self) -> bool {
        let mask = (1 << (4 * place.n_hubs)) - 1;
        self.root_port == place.root_port && self.n_hubs >= place.n_hubs && self.ports & mask == place.ports
    }
}

impl core::fmt::Display for Route {
    /// Write the ports from the controller on: `2.1.4`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.root_port)?;
        (0..self.n_hubs).try_for_each(|hub| write!(f, ".{}", self.ports >> (4 * hub) & 0xf))
    }
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn a_route_names_the_ports_on_the_way() {
        let hub = Route::root(5).through(3).unwrap();
        let device = hub.through(15).unwrap();
        assert_eq!((device.root_port(), device.string()), (5, 0xf3));
        assert_eq!(device.to_string(), "5.3.15");
        assert!(device.leads_through(hub) && device.leads_through(Route::root(5)));
        assert!(device.leads_through(device));
        assert!(!hub.leads_through(device));
        assert!(!device.leads_through(Route::root(3)));
        assert!(!Route::root(5).through(2).unwrap().leads_through(hub));
    }

    #[test]
    fn there_is_no_way_through_a_sixth_hub_or_a_sixteenth_port() {
        let fifth = (1..=5).try_fold(Route::root(1), Route::through).unwrap();
        assert_eq!(fifth.string(), 0x54321);
        assert_eq!(fifth.through(1), None);
        assert_eq!(Route::root(1).through(16), None);
        assert_eq!(Route::root(1).through(0), None);
    }
}
