//! What the controller is told of a device: contexts (xHCI 1.2, 4.5 and 6.2).
//!
//! A command names an input context: flags that say which parts follow, the slot context (where the device is), and one
//! context for each endpoint. The controller has its own copy, the device context, which only it writes.

use usb::Speed;
use usb::descriptor::InterruptIn;
use usb::hub::Hub;

use super::ring::Ring;
use super::{Place, SlotId};
use crate::memory::dma::DmaPage;

/// The parts of a device context by their number: the slot's own; the endpoint of requests; of others, two for each number (4.5.1).
const SLOT: usize = 0;
pub(super) const CONTROL: u8 = 1;

/// Return the number of the part that is an endpoint whose data goes to the host.
pub(super) fn endpoint_index(endpoint: InterruptIn) -> u8 {
    2 * endpoint.number + 1
}

/// Types of endpoints, as bits 3 to 5 of the second word have them (table 6-9).
const CONTROL_TYPE: u32 = 4 << 3;
const INTERRUPT_IN_TYPE: u32 = 7 << 3;
/// A transfer is tried three times, as bits 1 and 2 of that word say.
const THREE_TRIES: u32 = 3 << 1;
/// What a request takes on average (6.2.3).
const CONTROL_TRANSFER_BYTES: u32 = 8;

/// The memory of one device, and what is known of it while there is one.
pub(super) struct Slot {
    /// The controller's own; it is only given.
    pub(super) context: DmaPage,
    pub(super) control: Ring,
    pub(super) reports: Ring,
    /// What requests send and get, and behind that the reports.
    pub(super) buffer: DmaPage,
    pub(super) device: Option<Device>,
}

/// What the controller is told of a device.
#[derive(Clone, Copy)]
pub(super) struct Device {
    pub(super) place: Place,
    pub(super) control_packet_bytes: u16,
    /// The endpoint that reports, once it does.
    pub(super) reports: Option<InterruptIn>,
    pub(super) hub: Option<Hub>,
    /// How many reports have failed one after another.
    pub(super) n_failures: u8,
}

impl Device {
    /// Return a device of which nothing is known but where it is (4.3, table 4-3 in 4.8.2.1 for the size of packets).
    pub(super) fn new(place: Place) -> Self {
        let control_packet_bytes = if place.speed == Speed::High { 64 } else { 8 };
        Self { place, control_packet_bytes, reports: None, hub: None, n_failures: 0 }
    }
}

/// An input context that is being written.
pub(super) struct Input<'p> {
    page: &'p mut DmaPage,
    context_words: usize,
}

impl<'p> Input<'p> {
    /// Return one for a command that adds or changes the parts of these numbers.
    pub(super) fn new(page: &'p mut DmaPage, context_words: usize, parts: &[u8]) -> Self {
        page.clear();
        page.write(1, parts.iter().fold(0, |flags, part| flags | 1 << part));
        Self { page, context_words }
    }

    fn write(&mut self, part: usize, words: [u32; 5]) {
        // The flags come first.
        let at = (1 + part) * self.context_words;
        words.into_iter().enumerate().for_each(|(index, word)| self.page.write(at + index, word));
    }

    /// Write where the device is and what kind (6.2.2).
    pub(super) fn slot(mut self, device: &Device) -> Self {
        let Device { place: Place { route, speed, translator }, hub, reports, .. } = *device;
        // As the ports of USB 2 number them (7.2.2.1.1).
        let speed = match speed {
            Speed::Full => 1,
            Speed::Low => 2,
            Speed::High => 3,
        };
        let last = u32::from(reports.map_or(CONTROL, endpoint_index));
        let (is_hub, n_ports, think_time) =
            hub.map_or((0, 0, 0), |hub| (1, u32::from(hub.n_ports), u32::from(hub.think_time)));
        let (hub_slot, hub_port) =
            translator.map_or((0, 0), |(SlotId(slot), port)| (u32::from(slot), u32::from(port)));
        self.write(
            SLOT,
            [
                route.string() | speed << 20 | is_hub << 26 | last << 27,
                u32::from(route.root_port()) << 16 | n_ports << 24,
                hub_slot | hub_port << 8 | think_time << 16,
                0,
                0,
            ],
        );
        self
    }

    /// Write the endpoint of requests (6.2.3), whose next block is at `next`.
    pub(super) fn control(mut self, device: &Device, next: u64) -> Self {
        let packet = u32::from(device.control_packet_bytes) << 16;
        let kind = CONTROL_TYPE | THREE_TRIES;
        self.write(
            CONTROL.into(),
            [0, packet | kind, next as u32, (next >> 32) as u32, CONTROL_TRANSFER_BYTES],
        );
        self
    }

    /// Write an endpoint of reports, whose next block is at `next`.
    pub(super) fn reports(mut self, device: &Device, endpoint: InterruptIn, next: u64) -> Self {
        let interval = u32::from(endpoint.interval_exponent(device.place.speed));
        let bytes = u32::from(endpoint.max_packet_bytes);
        let kind = INTERRUPT_IN_TYPE | THREE_TRIES;
        // One packet in an interval; a report is one packet.
        self.write(
            endpoint_index(endpoint).into(),
            [interval << 16, bytes << 16 | kind, next as u32, (next >> 32) as u32, bytes << 16 | bytes],
        );
        self
    }

    /// Return where the controller finds it.
    pub(super) fn physical(self) -> u64 {
        self.page.physical()
    }
}
