//! A USB host controller with the eXtensible Host Controller Interface, polled.
//!
//! It is told what to do by rings of blocks in memory: one for its own commands, one for each endpoint of each device; and it tells on
//! one ring what has been done and what has happened. Extensible Host Controller Interface 1.2 ("xHCI 1.2"), whose chapter 4 is the way to
//! read all this.
//!
//! | file | what |
//! |---|---|
//! | [`registers`] | the registers, and the list of what else it can |
//! | [`start`] | finding a controller, taking it from the firmware, making it run |
//! | [`ring`] | the rings, and what the controller tells |
//! | [`context`] | what the controller is told of a device |
//! | [`command`] | commands: a device comes, can do more, goes |
//! | [`transfer`] | talking with a device: requests, reports |
//! | [`port`] | the controller's own ports |
//!
//! Nothing is waited for without a limit: a controller that does not answer a command is not used any more.

mod command;
mod context;
mod port;
mod registers;
mod ring;
mod start;
mod transfer;

use alloc::collections::VecDeque;
use core::fmt;

use arrayvec::ArrayVec;
use usb::descriptor::Malformed;
use usb::{Route, Setup, Speed};

use crate::arch::tsc::Tsc;
use crate::memory::dma::DmaPage;
use context::Slot;
pub(super) use port::{RECOVERY_MS, RESET_LIMIT_MS};
use registers::Registers;
use ring::{Event, EventRing, Ring};
pub(super) use start::{CLASS, Found};
pub(super) use transfer::MAX_DATA_BYTES;

/// How many keyboards and hubs there may be at one controller.
const MAX_SLOTS: usize = 16;

/// The longest report that is taken, in bytes. Keyboards send 8, hubs 2.
const MAX_REPORT_BYTES: usize = 64;

/// Completion codes (table 6-90).
const SUCCESS: u8 = 1;
const STALL: u8 = 6;
const NO_SLOT: u8 = 9;
const SHORT_PACKET: u8 = 13;

/// Why something cannot be done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Error {
    /// The controller is not one that can be used.
    Unusable(&'static str),
    /// It did not do in time what its registers asked for.
    Slow(&'static str),
    /// It does not answer its commands any more.
    Silent,
    /// A command has failed, with this completion code.
    Command(&'static str, u8),
    /// A device refused a request.
    Refused(Setup),
    /// A request has failed, with this completion code.
    Request(Setup, u8),
    /// A device did not answer a request.
    Unanswered(Setup),
    /// The device at a port cannot be reset.
    Reset,
    /// A device says what cannot be.
    Malformed(Malformed),
    /// A hub that tells nothing of its ports.
    NoHub,
    /// There are more devices than places.
    Full,
    /// There are more hubs one behind another than USB allows.
    TooDeep,
    /// A device's reports are of this size.
    LongReports(u16),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(why) => f.write_str(why),
            Self::Slow(what) => write!(f, "it does not {what} in time"),
            Self::Silent => f.write_str("the controller does not answer any more"),
            Self::Command(what, code) => write!(f, "{what} failed with code {code} (xHCI 1.2, table 6-90)"),
            Self::Refused(Setup { request, .. }) => write!(f, "it refuses request {request}"),
            Self::Request(Setup { request, .. }, code) => {
                write!(f, "request {request} failed with code {code} (xHCI 1.2, table 6-90)")
            }
            Self::Unanswered(Setup { request, .. }) => write!(f, "it does not answer request {request}"),
            Self::Reset => f.write_str("it does not come out of its reset"),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::NoHub => f.write_str("it calls itself a hub and says nothing of its ports"),
            Self::Full => write!(f, "there are {MAX_SLOTS} keyboards and hubs at this controller already"),
            Self::TooDeep => {
                f.write_str("no device can be behind so many hubs, or at a port of such a number")
            }
            Self::LongReports(bytes) => {
                write!(f, "its reports have up to {bytes} bytes; up to {MAX_REPORT_BYTES} are taken")
            }
        }
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// A device that the controller knows, by the number that it gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotId(u8);

/// Where a device is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) route: Route,
    pub(super) speed: Speed,
    /// For a slow device behind a fast hub: that hub, and which of its ports leads there. It translates (USB 2.0, 11.14).
    pub(super) translator: Option<(SlotId, u8)>,
}

/// What has happened.
pub(super) enum News {
    /// Something has changed at one of the controller's own ports.
    Port(u8),
    /// A device has sent a report.
    Report(SlotId, ArrayVec<u8, MAX_REPORT_BYTES>),
}

/// A controller that runs.
pub(super) struct Controller {
    registers: Registers,
    clock: Tsc,
    /// The address of each slot's device context, and behind them the table of event rings.
    contexts: DmaPage,
    /// What a command says about a device.
    input: DmaPage,
    commands: Ring,
    events: EventRing,
    /// What was told while something else was waited for. It cannot grow without end: the controller tells of what was asked for,
    /// and of each port until that was seen.
    told: VecDeque<Event>,
    slots: ArrayVec<Slot, MAX_SLOTS>,
    is_silent: bool,
}

impl Controller {
    /// Return what has happened next, if anything has.
    pub(super) fn news(&mut self) -> Option<News> {
        loop {
            let event = self.told.pop_front().or_else(|| self.events.next(&self.registers))?;
            match event {
                Event::Port(port) if self.has_port(port) => return Some(News::Port(port)),
                Event::Transfer { slot, endpoint, trb, code, n_left } => {
                    if let Some(report) = self.report(SlotId(slot), endpoint, trb, code, n_left) {
                        return Some(News::Report(SlotId(slot), report));
                    }
                }
                // A command whose answer nobody waits for any more; a port of USB 3.
                _ => {}
            }
        }
    }

    /// Wait for the event of which `wanted` returns something; others are kept. `None` when it does not come in time.
    fn wait_for<T>(&mut self, limit_ms: u64, mut wanted: impl FnMut(&Event) -> Option<T>) -> Option<T> {
        let Self { clock, events, registers, told, .. } = self;
        let mut found = None;
        clock.wait_until(limit_ms, || {
            while let Some(event) = events.next(registers) {
                found = wanted(&event);
                if found.is_some() {
                    return true;
                }
                told.push_back(event);
            }
            false
        });
        found
    }

    /// Return the clock by which everything is waited for.
    pub(super) fn clock(&self) -> Tsc {
        self.clock
    }

    fn slot(&mut self, SlotId(slot): SlotId) -> &mut Slot {
        &mut self.slots[usize::from(slot) - 1]
    }
}
