//! Finding a controller, taking it from the firmware, making it run (xHCI 1.2, 4.2 and 4.22.1).

use alloc::collections::VecDeque;

use arrayvec::ArrayVec;

use super::context::Slot;
use super::registers::{Operational, Registers};
use super::ring::{EventRing, Ring};
use super::{Controller, Error, MAX_SLOTS};
use crate::arch::tsc::Tsc;
use crate::drivers::pci::Function;
use crate::memory::Memory;
use crate::memory::dma::DmaPage;

/// Class, subclass and interface of such a controller: a serial bus, USB, xHCI (5.2.1).
pub(in crate::drivers::usb) const CLASS: u32 = 0x0c_03_30;

/// More registers than any controller has. The standard's own take 64 KiB at most behind their offsets.
const MAX_REGISTER_BYTES: u64 = 1 << 20;

/// Bits of the command register: run, reset (5.4.1); and of the status register: halted, not ready (5.4.2).
const RUN: u32 = 1 << 0;
const RESET: u32 = 1 << 1;
const HALTED: u32 = 1 << 0;
const NOT_READY: u32 = 1 << 11;
/// All that a status register remembers until a one is written there.
const STATUS_CHANGES: u32 = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 10;

/// How long halting, resetting and starting may take. The standard says 16 ms for the first; real ones took up to a second for a reset.
const LIMIT_MS: u64 = 2000;
/// Some controllers must not be looked at just after a reset began.
const RESET_PAUSE_MS: u64 = 1;

/// The extended capability by which the firmware gives the controller away (7.1), and its bits: the firmware has it, we want it.
const LEGACY_SUPPORT: u8 = 1;
const FIRMWARE_OWNS: u32 = 1 << 16;
const KERNEL_OWNS: u32 = 1 << 24;
/// Of its second word: what interrupts the firmware (5 bits to be zero), and what has done so (cleared by ones).
const FIRMWARE_INTERRUPTS: u32 = 1 << 0 | 1 << 4 | 0b111 << 13;
const FIRMWARE_INTERRUPTED: u32 = 0b111 << 29;
/// How long the firmware may take.
const FIRMWARE_LIMIT_MS: u64 = 1000;

/// A page of 4 KiB is what the controller counts its own memory in (5.4.3).
const PAGES_OF_4_KIB: u32 = 1 << 0;
/// So many addresses are in one page.
const MAX_SCRATCHPADS: usize = DmaPage::WORDS / 2;
/// Where the event ring's table begins, in words: behind the pointers to 256 contexts.
const EVENT_RING_TABLE: usize = 2 * 256;

/// After this time a port that got power has it, and a device that is plugged in has said so (USB 2.0, 7.1.7.3: TSIGATT and TATTDB).
const POWER_ON_MS: u64 = 20 + 100;

/// A controller that was found, with the memory that it shares with us.
pub(in crate::drivers::usb) struct Found {
    registers: Registers,
    contexts: DmaPage,
    input: DmaPage,
    commands: DmaPage,
    events: DmaPage,
    slots: ArrayVec<[DmaPage; 4], MAX_SLOTS>,
}

impl Found {
    /// Map the controller that is this PCI function, and find memory for it. It is not touched yet but for being switched on.
    pub(in crate::drivers::usb) fn new(function: Function, memory: &mut Memory) -> Result<Self, Error> {
        let range = function.memory().ok_or(Error::Unusable("the firmware gave it no memory addresses"))?;
        let range = range.start..range.end.min(range.start + MAX_REGISTER_BYTES);
        function.enable();
        let start = memory.map_registers(&range);
        // SAFETY: so much was mapped, of one device, which is opened once.
        let registers = unsafe { Registers::new(start, (range.end - range.start) as usize) }?;

        let is_64_bit = registers.is_64_bit();
        let mut page = || {
            let page = memory.new_dma_page().ok_or(Error::Unusable("no memory is left for it"))?;
            let is_in_reach = is_64_bit || page.physical() < 1 << 32;
            if is_in_reach {
                Ok(page)
            } else {
                Err(Error::Unusable("no memory is left below 4 GiB, where it needs some"))
            }
        };
        let mut contexts = page()?;
        let n_scratchpads = registers.n_scratchpads();
        if n_scratchpads > MAX_SCRATCHPADS {
            return Err(Error::Unusable("it wants more than 2 MiB of memory for itself"));
        }
        if n_scratchpads > 0 {
            // The array takes the place of the slot that no device has (6.6). It and its pages are the controller's for ever.
            let mut scratchpads = page()?;
            for number in 0..n_scratchpads {
                scratchpads.write_address(2 * number, page()?.physical());
            }
            contexts.write_address(0, scratchpads.physical());
        }
        let n_slots = usize::from(registers.n_slots()).min(MAX_SLOTS);
        Ok(Self {
            contexts,
            input: page()?,
            commands: page()?,
            events: page()?,
            slots: (0..n_slots)
                .map(|_| Ok([page()?, page()?, page()?, page()?]))
                .collect::<Result<_, Error>>()?,
            registers,
        })
    }

    /// Take the controller from the firmware, and make it run.
    pub(in crate::drivers::usb) fn start(self, clock: Tsc) -> Result<Controller, Error> {
        let Self { registers, mut contexts, input, commands, events, slots } = self;
        take_from_firmware(&registers, clock);
        reset(&registers, clock)?;
        if registers.get(Operational::PageSize) & PAGES_OF_4_KIB == 0 {
            return Err(Error::Unusable("it knows no pages of 4 KiB"));
        }

        let (commands, events) = (Ring::new(commands), EventRing::new(events));
        contexts.write_address(EVENT_RING_TABLE, events.place());
        contexts.write(EVENT_RING_TABLE + 2, EventRing::LENGTH);
        registers.set(Operational::Config, slots.len() as u32);
        registers.set_address(Operational::Contexts, contexts.physical());
        registers.set_address(Operational::CommandRing, commands.place());
        let table = contexts.physical() + (EVENT_RING_TABLE * size_of::<u32>()) as u64;
        registers.set_event_ring(table, events.place());

        registers.set(Operational::UsbCmd, RUN);
        if !clock.wait_until(LIMIT_MS, || registers.get(Operational::UsbSts) & HALTED == 0) {
            return Err(Error::Slow("start"));
        }
        let slots = slots.into_iter().map(|[context, control, reports, buffer]| Slot {
            context,
            control: Ring::new(control),
            reports: Ring::new(reports),
            buffer,
            device: None,
        });
        let controller = Controller {
            registers,
            clock,
            contexts,
            input,
            commands,
            events,
            told: VecDeque::new(),
            slots: slots.collect(),
            is_silent: false,
        };
        controller.ports().for_each(|port| controller.power_on(port));
        clock.pause(POWER_ON_MS);
        Ok(controller)
    }
}

/// Ask the firmware for the controller, which it may have used for keyboards of its own. One that does not answer is not heard any more.
fn take_from_firmware(registers: &Registers, clock: Tsc) {
    let Some(legacy) = registers.capabilities(LEGACY_SUPPORT).next() else { return };
    legacy.write(0, legacy.read(0) | KERNEL_OWNS);
    if !clock.wait_until(FIRMWARE_LIMIT_MS, || legacy.read(0) & FIRMWARE_OWNS == 0) {
        log::warn!("usb: the firmware does not give a controller away; it is taken");
        legacy.write(0, legacy.read(0) & !FIRMWARE_OWNS | KERNEL_OWNS);
    }
    legacy.write(1, legacy.read(1) & !FIRMWARE_INTERRUPTS | FIRMWARE_INTERRUPTED);
}

/// Halt the controller, and make it forget everything.
fn reset(registers: &Registers, clock: Tsc) -> Result<(), Error> {
    use Operational::{UsbCmd, UsbSts};

    let is_ready = || registers.get(UsbSts) & NOT_READY == 0;
    if !clock.wait_until(LIMIT_MS, is_ready) {
        return Err(Error::Slow("get ready"));
    }
    registers.set(UsbCmd, registers.get(UsbCmd) & !RUN);
    if !clock.wait_until(LIMIT_MS, || registers.get(UsbSts) & HALTED != 0) {
        return Err(Error::Slow("halt"));
    }
    registers.set(UsbCmd, RESET);
    clock.pause(RESET_PAUSE_MS);
    if !clock.wait_until(LIMIT_MS, || registers.get(UsbCmd) & RESET == 0 && is_ready()) {
        return Err(Error::Slow("reset itself"));
    }
    registers.set(UsbSts, STATUS_CHANGES);
    Ok(())
}
