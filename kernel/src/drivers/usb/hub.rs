//! A hub: its ports get power, are asked what is there, and are reset (USB 2.0, chapter 11).

use usb::descriptor::Function;
use usb::hub::{self, PortStatus};
use usb::{Setup, Speed};

use super::xhci::{Controller, Error, RECOVERY_MS, RESET_LIMIT_MS, SlotId};

/// How long a device takes to say that it is there, and its plug to sit firmly (USB 2.0, 7.1.7.3, TATTDB).
pub(super) const DEBOUNCE_MS: u64 = 100;

/// How long to wait before a port's reset is looked at again: a look is a request.
const LOOK_EVERY_MS: u64 = 5;

/// A hub that reports.
#[derive(Clone, Copy)]
pub(super) struct Hub {
    slot: SlotId,
    n_ports: u8,
}

impl Hub {
    /// Let a device be a hub: its ports have power, and what is plugged in has had the time to say so.
    pub(super) fn set_up(
        controller: &mut Controller,
        slot: SlotId,
        function: &Function,
    ) -> Result<Self, Error> {
        controller.add_reports(slot, function.endpoint)?;
        controller.tell(slot, Setup::set_configuration(function.configuration), &[])?;
        let mut bytes = [0; hub::Hub::BYTES as usize];
        controller.ask(slot, Setup::get_hub_descriptor(hub::Hub::BYTES), &mut bytes)?;
        let described = hub::Hub::parse(&bytes).ok_or(Error::NoHub)?;
        controller.make_hub(slot, described)?;
        let hub = Self { slot, n_ports: described.n_ports };
        for port in hub.ports() {
            controller.tell(slot, Setup::set_port_feature(port, hub::PORT_POWER), &[])?;
        }
        controller.clock().pause(u64::from(described.power_on_ms) + DEBOUNCE_MS);
        controller.listen(slot);
        Ok(hub)
    }

    /// Return its ports, the first being 1.
    pub(super) fn ports(self) -> impl Iterator<Item = u8> {
        1..=self.n_ports
    }

    /// Return the ports of which a report says that something has changed, a bit each, that of the hub itself lowest (11.12.4).
    pub(super) fn changed_ports(self, report: &[u8]) -> impl Iterator<Item = u8> {
        let bits = report.iter().rev().fold(0, |bits: u32, &byte| bits << 8 | u32::from(byte));
        self.ports().filter(move |port| bits & 1 << port != 0)
    }

    /// Return how a port is, and forget what has changed.
    pub(super) fn status(self, controller: &mut Controller, port: u8) -> Result<PortStatus, Error> {
        let mut answer = [0; 4];
        controller.ask(self.slot, Setup::get_port_status(port), &mut answer)?;
        let status = PortStatus::new(answer);
        for change in status.changes() {
            controller.tell(self.slot, Setup::clear_port_feature(port, change), &[])?;
        }
        Ok(status)
    }

    /// Reset the device at a port, and return how fast it talks (11.5.1.5).
    pub(super) fn reset(self, controller: &mut Controller, port: u8) -> Result<Speed, Error> {
        controller.tell(self.slot, Setup::set_port_feature(port, hub::PORT_RESET), &[])?;
        for _ in 0..RESET_LIMIT_MS / LOOK_EVERY_MS {
            controller.clock().pause(LOOK_EVERY_MS);
            let status = self.status(controller, port)?;
            if status.reset_done() {
                controller.clock().pause(RECOVERY_MS);
                return if status.enabled() { Ok(status.speed()) } else { Err(Error::Reset) };
            }
        }
        Err(Error::Reset)
    }
}
