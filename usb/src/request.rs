//! What a host asks of a device: the eight bytes that begin a control transfer (USB 2.0, 9.3).

/// The setup packet of a control transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// bmRequestType: the direction of the data, whose request it is, and whom it concerns.
    pub request_type: u8,
    /// bRequest.
    pub request: u8,
    /// wValue.
    pub value: u16,
    /// wIndex: an interface, an endpoint or a hub's port, mostly.
    pub index: u16,
    /// wLength: how many bytes of data follow, or may come at most.
    pub length: u16,
}

/// bmRequestType (USB 2.0, table 9-2): the data goes to the host; a class's own request; for an interface, an endpoint, a port ("other").
const TO_HOST: u8 = 1 << 7;
const CLASS: u8 = 1 << 5;
const INTERFACE: u8 = 1;
const ENDPOINT: u8 = 2;
const PORT: u8 = 3;

/// Requests to every device (USB 2.0, table 9-4), of which hubs have some for their ports (table 11-16).
const GET_STATUS: u8 = 0;
const CLEAR_FEATURE: u8 = 1;
const SET_FEATURE: u8 = 3;
const GET_DESCRIPTOR: u8 = 6;
const SET_CONFIGURATION: u8 = 9;

/// Requests to keyboards and their like (HID 1.11, 7.2).
const SET_REPORT: u8 = 9;
const SET_IDLE: u8 = 0x0a;
const SET_PROTOCOL: u8 = 0x0b;

/// The type of a report that goes to the device (HID 1.11, 7.2.1), in the high byte.
const OUTPUT_REPORT: u16 = 2 << 8;

/// The feature "halt" of an endpoint (USB 2.0, table 9-6).
const ENDPOINT_HALT: u16 = 0;

impl Setup {
    const fn new(request_type: u8, request: u8, value: u16, index: u16, length: u16) -> Self {
        Self { request_type, request, value, index, length }
    }

    /// Ask for the first `length` bytes of the first descriptor of a type (USB 2.0, 9.4.3).
    pub const fn get_descriptor(kind: u8, length: u16) -> Self {
        Self::new(TO_HOST, GET_DESCRIPTOR, (kind as u16) << 8, 0, length)
    }

    /// Use a configuration (USB 2.0, 9.4.7).
    pub const fn set_configuration(configuration: u8) -> Self {
        Self::new(0, SET_CONFIGURATION, configuration as u16, 0, 0)
    }

    /// Let an endpoint go on after an error (USB 2.0, 9.4.1). `address` has the direction in its highest bit.
    pub const fn clear_halt(address: u8) -> Self {
        Self::new(ENDPOINT, CLEAR_FEATURE, ENDPOINT_HALT, address as u16, 0)
    }

    /// Let a keyboard send the boot protocol's reports (HID 1.11, 7.2.6).
    pub const fn set_boot_protocol(interface: u8) -> Self {
        Self::new(CLASS | INTERFACE, SET_PROTOCOL, 0, interface as u16, 0)
    }

    /// Let a keyboard send a report only when a key has changed (HID 1.11, 7.2.4).
    pub const fn set_idle(interface: u8) -> Self {
        Self::new(CLASS | INTERFACE, SET_IDLE, 0, interface as u16, 0)
    }

    /// Send a keyboard the byte that says which of its lights are on (HID 1.11, 7.2.2 and B.1).
    pub const fn set_lights(interface: u8) -> Self {
        Self::new(CLASS | INTERFACE, SET_REPORT, OUTPUT_REPORT, interface as u16, 1)
    }

    /// Ask a hub for its descriptor (USB 2.0, 11.24.2.5).
    pub const fn get_hub_descriptor(length: u16) -> Self {
        Self::new(TO_HOST | CLASS, GET_DESCRIPTOR, (crate::hub::DESCRIPTOR as u16) << 8, 0, length)
    }

    /// Ask a hub for the state of a port, 4 bytes (USB 2.0, 11.24.2.7).
    pub const fn get_port_status(port: u8) -> Self {
        Self::new(TO_HOST | CLASS | PORT, GET_STATUS, 0, port as u16, 4)
    }

    /// Set a feature of a hub's port (USB 2.0, 11.24.2.13).
    pub const fn set_port_feature(port: u8, feature: u16) -> Self {
        Self::new(CLASS | PORT, SET_FEATURE, feature, port as u16, 0)
    }

    /// Clear a feature of a hub's port (USB 2.0, 11.24.2.2).
    pub const fn clear_port_feature(port: u8, feature: u16) -> Self {
        Self::new(CLASS | PORT, CLEAR_FEATURE, feature, port as u16, 0)
    }

    /// Return whether the data goes to the host.
    pub const fn is_to_host(&self) -> bool {
        self.request_type & TO_HOST != 0
    }

    /// Return the packet as the two little-endian words that it consists of.
    pub fn words(&self) -> [u32; 2] {
        let pair = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
        let kind = u16::from_le_bytes([self.request_type, self.request]);
        [pair(kind, self.value), pair(self.index, self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::Setup;

    /// Bytes in the order of USB 2.0, table 9-2, with the numbers of the tables that the functions name.
    #[test]
    fn requests_have_the_bytes_that_go_over_the_wire() {
        for (setup, bytes) in [
            (Setup::get_descriptor(1, 18), [0x80, 0x06, 0x00, 0x01, 0x00, 0x00, 0x12, 0x00]),
            (Setup::set_configuration(1), [0x00, 0x09, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00]),
            (Setup::clear_halt(0x81), [0x02, 0x01, 0x00, 0x00, 0x81, 0x00, 0x00, 0x00]),
            (Setup::set_boot_protocol(1), [0x21, 0x0b, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00]),
            (Setup::set_idle(0), [0x21, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00]),
            (Setup::set_lights(0), [0x21, 0x09, 0x00, 0x02, 0x00, 0x00, 0x01, 0x00]),
            (Setup::get_hub_descriptor(15), [0xa0, 0x06, 0x00, 0x29, 0x00, 0x00, 0x0f, 0x00]),
            (Setup::get_port_status(2), [0xa3, 0x00, 0x00, 0x00, 0x02, 0x00, 0x04, 0x00]),
            (Setup::set_port_feature(1, 4), [0x23, 0x03, 0x04, 0x00, 0x01, 0x00, 0x00, 0x00]),
            (Setup::clear_port_feature(1, 20), [0x23, 0x01, 0x14, 0x00, 0x01, 0x00, 0x00, 0x00]),
        ] {
            let words = setup.words();
            assert_eq!([words[0].to_le_bytes(), words[1].to_le_bytes()].concat(), bytes, "{setup:?}");
            assert_eq!(setup.is_to_host(), bytes[0] >= 0x80);
        }
    }
}
