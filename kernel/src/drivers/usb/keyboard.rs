//! A keyboard that speaks the boot protocol (HID 1.11, appendix B).

use engine::platform::Clock;
use screen::{Keys, UsbKeyboard};
use usb::Setup;
use usb::descriptor::Function;

use super::xhci::{Controller, Error, SlotId};

/// A keyboard that reports.
pub(super) struct Keyboard {
    slot: SlotId,
    interface: u8,
    held: UsbKeyboard,
    /// Which lights it was told to have on.
    lights: u8,
}

impl Keyboard {
    /// Let a device be a keyboard.
    pub(super) fn set_up(
        controller: &mut Controller,
        slot: SlotId,
        function: &Function,
    ) -> Result<Self, Error> {
        let Function { interface, .. } = *function;
        controller.add_reports(slot, function.endpoint)?;
        controller.tell(slot, Setup::set_configuration(function.configuration), &[])?;
        for setup in [Setup::set_boot_protocol(interface), Setup::set_idle(interface)] {
            match controller.tell(slot, setup, &[]) {
                // One that knows no other protocol may refuse the first; without the second, it may report more often than is needed
                // (HID 1.11, 7.2.4), which does no harm.
                Ok(()) | Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        controller.listen(slot);
        Ok(Self { slot, interface, held: UsbKeyboard::default(), lights: 0 })
    }

    /// Take a report in.
    pub(super) fn report(&mut self, report: &[u8], clock: &dyn Clock, keys: &mut Keys) {
        self.held.report(report, clock.now_ns(), keys);
    }

    /// Repeat the key that is held, and keep the lights as the locks are.
    pub(super) fn tend(&mut self, controller: &mut Controller, keys: &mut Keys) {
        self.held.repeat(controller.clock().now_ns(), keys);
        if self.lights != keys.lights() {
            // Once is enough: a keyboard without lights refuses.
            self.lights = keys.lights();
            let setup = Setup::set_lights(self.interface);
            if let Err(error) = controller.tell(self.slot, setup, &[self.lights]) {
                log::debug!("usb: a keyboard's lights stay as they are: {error}");
            }
        }
    }

    /// Let go of its keys: it is not there any more.
    pub(super) fn let_go(mut self, keys: &mut Keys) {
        self.held.let_go(keys);
    }
}
