//! Commands to the controller: a device has come, has an endpoint more, is a hub, has gone (xHCI 1.2, 4.6).

use usb::descriptor::InterruptIn;
use usb::hub::Hub;

use super::context::{CONTROL, Device, Input, endpoint_index};
use super::ring::{
    ADDRESS_DEVICE, CONFIGURE_ENDPOINT, DISABLE_SLOT, ENABLE_SLOT, EVALUATE_CONTEXT, Event, RESET_ENDPOINT,
    SET_TR_DEQUEUE, STOP_ENDPOINT, Trb,
};
use super::{Controller, Error, MAX_REPORT_BYTES, NO_SLOT, Place, SUCCESS, SlotId};

/// How long a command may take. Those that talk to a device wait for it themselves.
const COMMAND_LIMIT_MS: u64 = 2000;

/// The part of a device that is always named first, its slot.
const SLOT: u8 = 0;

impl Controller {
    /// Do a command and return the slot that the answer names.
    fn command(&mut self, what: &'static str, trb: Trb) -> Result<SlotId, Error> {
        if self.is_silent {
            return Err(Error::Silent);
        }
        let place = self.commands.push(trb);
        self.registers.ring_doorbell(0, 0);
        let answer = self.wait_for(COMMAND_LIMIT_MS, |event| match *event {
            Event::Command { trb, code, slot } if trb == place => Some((code, slot)),
            _ => None,
        });
        match answer {
            Some((SUCCESS, slot)) => Ok(SlotId(slot)),
            Some((code, _)) => Err(Error::Command(what, code)),
            None => {
                log::error!("usb: a controller does not answer to \"{what}\"; it is left out from now on");
                self.is_silent = true;
                Err(Error::Silent)
            }
        }
    }

    /// Give the device at `place`, which has just been reset, a slot and an address (4.3.2 to 4.3.4).
    pub(in crate::drivers::usb) fn add(&mut self, place: Place) -> Result<SlotId, Error> {
        let slot = match self.command("enabling a slot", [0, 0, 0, ENABLE_SLOT]) {
            Ok(slot) if (1..=self.slots.len()).contains(&slot.0.into()) => slot,
            Ok(_) | Err(Error::Command(_, NO_SLOT)) => return Err(Error::Full),
            Err(error) => return Err(error),
        };
        let device = Device::new(place);
        let context_words = self.registers.context_words();
        let memory = &mut self.slots[usize::from(slot.0) - 1];
        memory.device = Some(device);
        memory.context.clear();
        memory.control.clear();
        memory.reports.clear();
        self.contexts.write_address(2 * usize::from(slot.0), memory.context.physical());
        let input = Input::new(&mut self.input, context_words, &[SLOT, CONTROL])
            .slot(&device)
            .control(&device, memory.control.place())
            .physical();
        match self.command("giving an address", about(slot, input, ADDRESS_DEVICE)) {
            Ok(_) => Ok(slot),
            Err(error) => {
                self.remove(slot);
                Err(error)
            }
        }
    }

    /// Let the controller know how long the device's packets are (4.6.7).
    pub(in crate::drivers::usb) fn set_control_packet_bytes(
        &mut self,
        slot: SlotId,
        bytes: u16,
    ) -> Result<(), Error> {
        let context_words = self.registers.context_words();
        let memory = &mut self.slots[usize::from(slot.0) - 1];
        let Some(device) = memory.device.as_mut() else { return Ok(()) };
        if device.control_packet_bytes == bytes {
            return Ok(());
        }
        device.control_packet_bytes = bytes;
        let input = Input::new(&mut self.input, context_words, &[CONTROL])
            .control(device, memory.control.place())
            .physical();
        self.command("changing a packet's size", about(slot, input, EVALUATE_CONTEXT)).map(drop)
    }

    /// Let the controller know of the endpoint that reports (4.6.6).
    pub(in crate::drivers::usb) fn add_reports(
        &mut self,
        slot: SlotId,
        endpoint: InterruptIn,
    ) -> Result<(), Error> {
        if usize::from(endpoint.max_packet_bytes) > MAX_REPORT_BYTES {
            return Err(Error::LongReports(endpoint.max_packet_bytes));
        }
        let context_words = self.registers.context_words();
        let memory = &mut self.slots[usize::from(slot.0) - 1];
        let Some(device) = memory.device.as_mut() else { return Ok(()) };
        device.reports = Some(endpoint);
        let input = Input::new(&mut self.input, context_words, &[SLOT, endpoint_index(endpoint)])
            .slot(device)
            .reports(device, endpoint, memory.reports.place())
            .physical();
        self.command("adding an endpoint", about(slot, input, CONFIGURE_ENDPOINT)).map(drop)
    }

    /// Let the controller know that the device is a hub (4.6.6, 6.2.2.2).
    pub(in crate::drivers::usb) fn make_hub(&mut self, slot: SlotId, hub: Hub) -> Result<(), Error> {
        let context_words = self.registers.context_words();
        let Some(device) = self.slots[usize::from(slot.0) - 1].device.as_mut() else { return Ok(()) };
        device.hub = Some(hub);
        let input = Input::new(&mut self.input, context_words, &[SLOT]).slot(device).physical();
        self.command("making a hub", about(slot, input, CONFIGURE_ENDPOINT)).map(drop)
    }

    /// Forget a device: its slot is free (4.6.4). What it still told is passed over.
    pub(in crate::drivers::usb) fn remove(&mut self, slot: SlotId) {
        if let Err(error) = self.command("disabling a slot", about(slot, 0, DISABLE_SLOT)) {
            log::warn!("usb: {error}");
        }
        self.slot(slot).device = None;
        self.contexts.write_address(2 * usize::from(slot.0), 0);
        self.told.retain(|event| !matches!(*event, Event::Transfer { slot: of, .. } if of == slot.0));
    }

    /// Make an endpoint go on after an error, with nothing to do (4.6.8, 4.6.10). `has_stopped` is whether the controller stopped it
    /// itself, which it does after an error.
    pub(super) fn restart(&mut self, slot: SlotId, endpoint: u8, has_stopped: bool) -> Result<(), Error> {
        let of = u32::from(slot.0) << 24 | u32::from(endpoint) << 16;
        let stop = if has_stopped { RESET_ENDPOINT } else { STOP_ENDPOINT };
        // It fails where the endpoint is in another state after all, and then the next command decides.
        match self.command("stopping an endpoint", [0, 0, 0, stop | of]) {
            Ok(_) | Err(Error::Command(..)) => {}
            Err(error) => return Err(error),
        }
        let memory = self.slot(slot);
        let ring = if endpoint == CONTROL { &mut memory.control } else { &mut memory.reports };
        ring.clear();
        let place = ring.place();
        let trb = [place as u32, (place >> 32) as u32, 0, SET_TR_DEQUEUE | of];
        self.command("moving an endpoint on", trb).map(drop)
    }
}

/// Return the command about a slot, with an input context or none.
fn about(SlotId(slot): SlotId, input: u64, command: u32) -> Trb {
    [input as u32, (input >> 32) as u32, 0, command | u32::from(slot) << 24]
}
