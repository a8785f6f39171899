//! Descriptors as devices have them, and such as nobody should build.

use super::{Function, InterruptIn, Kind, Malformed};
use crate::Speed;

/// A keyboard with a second interface for its media keys, as most have one.
const KEYBOARD: [u8; 59] = [
    0x09, 0x02, 0x3b, 0x00, 0x02, 0x01, 0x00, 0xa0, 0x2d, // configuration 1 of two interfaces
    0x09, 0x04, 0x00, 0x00, 0x01, 0x03, 0x01, 0x01, 0x00, // interface 0: boot keyboard
    0x09, 0x21, 0x10, 0x01, 0x00, 0x01, 0x22, 0x41, 0x00, // HID
    0x07, 0x05, 0x81, 0x03, 0x08, 0x00, 0x0a, // endpoint 1 in: interrupt, 8 bytes, 10 ms
    0x09, 0x04, 0x01, 0x00, 0x01, 0x03, 0x00, 0x00, 0x00, // interface 1: no boot protocol
    0x09, 0x21, 0x10, 0x01, 0x00, 0x01, 0x22, 0x9f, 0x00, // HID
    0x07, 0x05, 0x82, 0x03, 0x04, 0x00, 0xff, // endpoint 2 in
];

/// A hub of full speed, as QEMU has one.
const HUB: [u8; 25] = [
    0x09, 0x02, 0x19, 0x00, 0x01, 0x01, 0x00, 0xe0, 0x00, // configuration
    0x09, 0x04, 0x00, 0x00, 0x01, 0x09, 0x00, 0x00, 0x00, // interface 0: hub
    0x07, 0x05, 0x81, 0x03, 0x02, 0x00, 0xff, // endpoint 1 in
];

/// A device descriptor that says how long its packets are.
fn device(max_packet_bytes: u8) -> [u8; 18] {
    let (vendor, product) = ([0x6d, 0x04], [0x1c, 0xc3]);
    let mut bytes = [18, 1, 0x10, 0x01, 0, 0, 0, max_packet_bytes, 0, 0, 0, 0, 0x00, 0x64, 1, 2, 0, 1];
    bytes[8..10].copy_from_slice(&vendor);
    bytes[10..12].copy_from_slice(&product);
    bytes
}

#[test]
fn finds_the_keyboard_and_the_hub() {
    let endpoint = InterruptIn { number: 1, max_packet_bytes: 8, interval: 10 };
    let keyboard = Function { kind: Kind::Keyboard, configuration: 1, interface: 0, endpoint };
    assert_eq!(super::function(&KEYBOARD), Ok(Some(keyboard)));
    assert_eq!(endpoint.address(), 0x81);

    let endpoint = InterruptIn { number: 1, max_packet_bytes: 2, interval: 255 };
    let hub = Function { kind: Kind::Hub, configuration: 1, interface: 0, endpoint };
    assert_eq!(super::function(&HUB), Ok(Some(hub)));
}

#[test]
fn passes_over_what_is_neither() {
    // A mouse; a keyboard without the boot protocol; one only in another setting; one whose endpoint goes out, or is bulk.
    for (at, byte) in [(16, 2), (15, 0), (12, 1), (29, 0x01), (30, 0x02)] {
        let mut bytes = KEYBOARD;
        bytes[at] = byte;
        assert_eq!(super::function(&bytes), Ok(None), "byte {at}");
    }
    assert_eq!(super::function(&KEYBOARD[..9]), Ok(None));
}

#[test]
fn says_where_a_descriptor_makes_no_sense() {
    let malformed = |what, at, found| Malformed { what, at, found };
    let mut bytes = KEYBOARD;
    bytes[9] = 0;
    assert_eq!(super::function(&bytes), Err(malformed("configuration", 9, Some(0))));
    bytes[9] = 0xff;
    assert_eq!(super::function(&bytes), Err(malformed("configuration", 9, Some(0xff))));
    assert_eq!(super::function(&[]), Err(malformed("configuration", 0, None)));
    assert_eq!(super::function(&HUB[9..]), Err(malformed("configuration", 1, Some(4))));
    let cut = super::configuration_bytes(&KEYBOARD[..4]).unwrap_err();
    assert_eq!(cut.to_string(), "its configuration descriptor is malformed: byte 4 is missing");
    assert_eq!(super::configuration_bytes(&KEYBOARD), Ok(59));
}

/// Whatever one or two bytes of a descriptor are, there is an answer, and it is one that a controller can be told.
#[test]
fn no_byte_does_harm() {
    for first in 0..KEYBOARD.len() {
        for second in 0..KEYBOARD.len() {
            for byte in [0x00, 0x01, 0x04, 0x05, 0x7f, 0x80, 0xff] {
                let mut bytes = KEYBOARD;
                bytes[first] = byte;
                bytes[second] ^= byte;
                if let Ok(Some(Function { endpoint, .. })) = super::function(&bytes) {
                    assert!((1..=15).contains(&endpoint.number) && endpoint.max_packet_bytes > 0);
                }
                let _ = super::function(&bytes[..first]);
            }
        }
    }
}

#[test]
fn a_packet_has_a_size_that_its_speed_allows() {
    for (speed, sizes) in [(Speed::Low, &[8][..]), (Speed::Full, &[8, 16, 32, 64]), (Speed::High, &[64])] {
        for size in 0..=255 {
            let found = super::control_packet_bytes(&device(size), speed);
            let malformed = Malformed { what: "device", at: 7, found: Some(size) };
            let expected = if sizes.contains(&size) { Ok(size.into()) } else { Err(malformed) };
            assert_eq!(found, expected, "{speed:?}");
        }
    }
    assert!(super::control_packet_bytes(&device(8)[..7], Speed::Low).is_err());
}

#[test]
fn reads_vendor_and_product() {
    assert_eq!(super::vendor_and_product(&device(8)), Ok((0x046d, 0xc31c)));
    assert!(super::vendor_and_product(&device(8)[..17]).is_err());
    assert!(super::vendor_and_product(&KEYBOARD).is_err());
}

/// The examples of xHCI 1.2, table 6-12: what a device asks for, in frames of 1 ms or as an exponent, in steps of 125 µs.
#[test]
fn intervals_are_powers_of_two_of_125_us() {
    let exponent =
        |interval, speed| InterruptIn { number: 1, max_packet_bytes: 8, interval }.interval_exponent(speed);
    for (interval, expected) in [(0, 3), (1, 3), (2, 4), (8, 6), (10, 6), (16, 7), (128, 10), (255, 10)] {
        assert_eq!(exponent(interval, Speed::Low), expected, "{interval}");
        assert_eq!(exponent(interval, Speed::Full), expected, "{interval}");
    }
    for (interval, expected) in [(0, 0), (1, 0), (4, 3), (16, 15), (255, 15)] {
        assert_eq!(exponent(interval, Speed::High), expected, "{interval}");
    }
}
