//! Keyboards on USB, from the port to the key.
//!
//! 1. A host controller ([`xhci`]) is found on the PCI bus, taken from the firmware and started. It says which of its ports have something.
//! 2. Each of those is reset, gets an address and is asked what it is ([`device`]). What is neither a keyboard nor a hub is left alone.
//! 3. A hub's ports get power, and the same goes for what is plugged in there ([`hub`]).
//! 4. A keyboard is told to speak the boot protocol, which every one knows; from then on it sends a report when a key has changed
//!    ([`keyboard`]), and [`screen::Keys`] makes of it what a terminal would send.
//! 5. What is plugged in and pulled out later the ports and hubs tell, and the same happens then ([`bus`]).
//!
//! All of it is polled: the console asks whenever it looks for something typed. Then what has come is taken in from memory; only a device
//! that is plugged in holds the machine up, for some tenths of a second. Requests and descriptors are the [`usb`] crate's business.
//!
//! Not here: USB 1.1 and 2.0 host controllers (machines since 2015 have none), other devices, and the report protocol.

mod bus;
mod device;
mod hub;
mod keyboard;
mod xhci;

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use screen::Keys;

use super::pci::{self, Function};
use crate::arch::tsc::Tsc;
use crate::memory::Memory;
use bus::Bus;

/// How many controllers are used.
const MAX_CONTROLLERS: usize = 8;

/// The controllers that the machine has.
#[derive(Default)]
pub(crate) struct Controllers(ArrayVec<(Function, xhci::Found), MAX_CONTROLLERS>);

impl Controllers {
    /// Find the controllers, and memory for them.
    pub(crate) fn find(memory: &mut Memory) -> Self {
        let mut found = ArrayVec::new();
        for function in pci::functions_of(xhci::CLASS) {
            match xhci::Found::new(function, memory) {
                Ok(_) if found.is_full() => {
                    log::warn!("usb {function}: left out: {MAX_CONTROLLERS} controllers are used already");
                }
                Ok(controller) => found.push((function, controller)),
                Err(error) => log::warn!("usb {function}: left out: {error}"),
            }
        }
        Self(found)
    }
}

/// All that is on USB.
pub(crate) struct Usb(Vec<Bus>);

impl Usb {
    /// Start the controllers, and see what is plugged in.
    pub(crate) fn open(controllers: Controllers, clock: Tsc) -> Self {
        let start = |(function, found): (Function, xhci::Found)| {
            found
                .start(clock)
                .map(|controller| Bus::open(function, controller))
                .map_err(|error| log::warn!("usb {function}: left out: {error}"))
                .ok()
        };
        Self(controllers.0.into_iter().filter_map(start).collect())
    }

    /// Return whether a keyboard is there or can be plugged in.
    pub(crate) fn is_there(&self) -> bool {
        !self.0.is_empty()
    }

    /// Let `keys` have what has been done at the keyboards, and see what was plugged in and pulled out.
    pub(crate) fn poll(&mut self, keys: &mut Keys) {
        self.0.iter_mut().for_each(|bus| bus.poll(keys));
    }
}
