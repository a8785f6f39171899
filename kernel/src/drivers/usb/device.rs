//! Finding out what a device is (USB 2.0, 9.1.2).

use alloc::vec;

use usb::descriptor::{self, Function};
use usb::{Route, Setup, Speed};

use super::hub::Hub;
use super::keyboard::Keyboard;
use super::xhci::{Controller, Error, MAX_DATA_BYTES, Place, SlotId};

/// A device that is of use.
pub(super) struct Device {
    pub(super) slot: SlotId,
    pub(super) place: Place,
    pub(super) role: Role,
}

/// What a device is there for.
pub(super) enum Role {
    Keyboard(Keyboard),
    Hub(Hub),
}

impl Device {
    /// Return whether it is at `place` or can be reached only through there.
    pub(super) fn is_behind(&self, place: Route) -> bool {
        self.place.route.leads_through(place)
    }
}

/// Ask a device that has an address what it is; return vendor, product, and what it has that is of use.
pub(super) fn identify(
    controller: &mut Controller,
    slot: SlotId,
    speed: Speed,
) -> Result<(u16, u16, Option<Function>), Error> {
    // How long its packets are decides how the rest comes.
    let mut start = [0; descriptor::SHORT_DEVICE_BYTES as usize];
    ask(controller, slot, descriptor::DEVICE, &mut start)?;
    controller.set_control_packet_bytes(slot, descriptor::control_packet_bytes(&start, speed)?)?;

    let mut device = [0; descriptor::DEVICE_BYTES as usize];
    ask(controller, slot, descriptor::DEVICE, &mut device)?;
    let (vendor, product) = descriptor::vendor_and_product(&device)?;

    let mut start = [0; descriptor::SHORT_CONFIGURATION_BYTES as usize];
    ask(controller, slot, descriptor::CONFIGURATION, &mut start)?;
    let bytes = usize::from(descriptor::configuration_bytes(&start)?).clamp(start.len(), MAX_DATA_BYTES);
    let mut configuration = vec![0; bytes];
    ask(controller, slot, descriptor::CONFIGURATION, &mut configuration)?;
    Ok((vendor, product, descriptor::function(&configuration)?))
}

/// Ask for the start of a descriptor, as much as `bytes` holds.
fn ask(controller: &mut Controller, slot: SlotId, kind: u8, bytes: &mut [u8]) -> Result<(), Error> {
    controller.ask(slot, Setup::get_descriptor(kind, bytes.len() as u16), bytes)
}
