//! Talking with a device: requests and their answers (xHCI 1.2, 4.11.2.2), and reports that come when the device has one (4.11.2.1).

use arrayvec::ArrayVec;
use usb::Setup;

use super::context::{CONTROL, endpoint_index};
use super::ring::{DATA_STAGE, Event, NORMAL, SETUP_STAGE, STATUS_STAGE};
use super::{Controller, Error, MAX_REPORT_BYTES, SHORT_PACKET, STALL, SUCCESS, SlotId};

/// How long a device may take for a request. USB 2.0, 9.2.6.4 grants 500 ms for data and 50 ms for none.
const REQUEST_LIMIT_MS: u64 = 1000;

/// What a request's data may take, in a slot's buffer. Reports come behind it.
pub(in crate::drivers::usb) const MAX_DATA_BYTES: usize = 2048;
/// How many reports may come before anybody looks.
const N_REPORTS: usize = 16;

/// After so many reports that failed, one after another, no more are asked for.
const MAX_FAILURES: u8 = 3;

/// Bits of a block's last word (6.4.1): tell when it is done; also when less came; the data is in the block itself; the data goes to the host.
const INTERRUPT_ON_COMPLETION: u32 = 1 << 5;
const INTERRUPT_ON_SHORT_PACKET: u32 = 1 << 2;
const IMMEDIATE_DATA: u32 = 1 << 6;
const TO_HOST: u32 = 1 << 16;
/// What follows a setup stage (table 4-7): data to the device, or to the host.
const DATA_OUT: u32 = 2 << 16;
const DATA_IN: u32 = 3 << 16;

impl Controller {
    /// Ask a device for something, and put the answer into `data`; what it does not send is zero.
    pub(in crate::drivers::usb) fn ask(
        &mut self,
        slot: SlotId,
        setup: Setup,
        data: &mut [u8],
    ) -> Result<(), Error> {
        assert!(
            setup.is_to_host() && usize::from(setup.length) == data.len() && data.len() <= MAX_DATA_BYTES
        );
        data.fill(0);
        self.slot(slot).buffer.write_bytes(0, data);
        self.request(slot, setup)?;
        self.slot(slot).buffer.read_bytes(0, data);
        Ok(())
    }

    /// Tell a device something, with `data`.
    pub(in crate::drivers::usb) fn tell(
        &mut self,
        slot: SlotId,
        setup: Setup,
        data: &[u8],
    ) -> Result<(), Error> {
        assert!(
            !setup.is_to_host() && usize::from(setup.length) == data.len() && data.len() <= MAX_DATA_BYTES
        );
        self.slot(slot).buffer.write_bytes(0, data);
        self.request(slot, setup)
    }

    /// Make a request whose data is in the slot's buffer or comes there.
    fn request(&mut self, slot: SlotId, setup: Setup) -> Result<(), Error> {
        if self.is_silent {
            return Err(Error::Silent);
        }
        let memory = self.slot(slot);
        let [first, second] = setup.words();
        let length = u32::from(setup.length);
        let (stages, direction) = match (setup.length, setup.is_to_host()) {
            (0, _) => (0, 0),
            (_, false) => (DATA_OUT, 0),
            (_, true) => (DATA_IN, TO_HOST),
        };
        memory.control.push([first, second, 8, SETUP_STAGE | IMMEDIATE_DATA | stages]);
        if length > 0 {
            let data = memory.buffer.physical();
            memory.control.push([data as u32, (data >> 32) as u32, length, DATA_STAGE | direction]);
        }
        // The status goes the other way.
        let back = TO_HOST ^ direction;
        memory.control.push([0, 0, 0, STATUS_STAGE | INTERRUPT_ON_COMPLETION | back]);
        self.registers.ring_doorbell(slot.0, CONTROL);

        let code = self.wait_for(REQUEST_LIMIT_MS, |event| match *event {
            Event::Transfer { slot: of, endpoint: CONTROL, code, .. } if of == slot.0 => Some(code),
            _ => None,
        });
        let error = match code {
            Some(SUCCESS | SHORT_PACKET) => return Ok(()),
            Some(STALL) => Error::Refused(setup),
            Some(code) => Error::Request(setup, code),
            None => Error::Unanswered(setup),
        };
        self.restart(slot, CONTROL, code.is_some())?;
        Err(error)
    }

    /// Let the device report from now on, at the endpoint that the controller knows.
    pub(in crate::drivers::usb) fn listen(&mut self, slot: SlotId) {
        (0..N_REPORTS)
            .for_each(|number| self.wait_for_report(slot, MAX_DATA_BYTES + number * MAX_REPORT_BYTES));
    }

    /// Let one report more come to byte `at` of the slot's buffer.
    fn wait_for_report(&mut self, slot: SlotId, at: usize) {
        let memory = self.slot(slot);
        let Some(endpoint) = memory.device.and_then(|device| device.reports) else { return };
        let address = memory.buffer.physical() + at as u64;
        let told = INTERRUPT_ON_COMPLETION | INTERRUPT_ON_SHORT_PACKET;
        memory.reports.push([
            address as u32,
            (address >> 32) as u32,
            endpoint.max_packet_bytes.into(),
            NORMAL | told,
        ]);
        self.registers.ring_doorbell(slot.0, endpoint_index(endpoint));
    }

    /// Return the report that has come by an event, and let another come in its place. After an error, begin again or give up.
    pub(super) fn report(
        &mut self,
        slot: SlotId,
        endpoint: u8,
        trb: u64,
        code: u8,
        n_left: u32,
    ) -> Option<ArrayVec<u8, MAX_REPORT_BYTES>> {
        let memory = self.slots.get_mut(usize::from(slot.0).checked_sub(1)?)?;
        let device = memory.device.as_mut()?;
        let reports = device.reports.filter(|reports| endpoint_index(*reports) == endpoint)?;
        if !matches!(code, SUCCESS | SHORT_PACKET) {
            device.n_failures += 1;
            if device.n_failures > MAX_FAILURES {
                log::warn!("usb: the device at port {} reports no more: code {code}", device.place.route);
                device.reports = None;
            } else if self.restart(slot, endpoint, true).is_ok() {
                // What refuses waits to be told that it was understood; what fails otherwise may not be there any more.
                if code == STALL && self.tell(slot, Setup::clear_halt(reports.address()), &[]).is_err() {
                    return None;
                }
                self.listen(slot);
            }
            return None;
        }
        device.n_failures = 0;
        // The block says where the report is, and is one of ours if it is in the ring.
        let [address, _, length, _] = memory.reports.at(trb)?;
        let at = address.wrapping_sub(memory.buffer.physical() as u32) as usize;
        let is_report = (MAX_DATA_BYTES..MAX_DATA_BYTES + N_REPORTS * MAX_REPORT_BYTES).contains(&at);
        let length = (length.saturating_sub(n_left) as usize).min(MAX_REPORT_BYTES);
        if !is_report {
            return None;
        }
        let mut bytes = [0; MAX_REPORT_BYTES];
        memory.buffer.read_bytes(at, &mut bytes);
        self.wait_for_report(slot, at);
        Some(bytes[..length].iter().copied().collect())
    }
}
