//! Rings: how kernel and controller hand each other work (xHCI 1.2, 4.9).
//!
//! A ring is a page of transfer request blocks (TRBs) of four words. Who fills it goes round and round; a bit of each block, the cycle
//! bit, changes its meaning with every round and so says which blocks are new. Neither side has to look at the other's place.

use crate::memory::dma::DmaPage;

use super::registers::Registers;

/// A transfer request block, the cycle bit not set.
pub(super) type Trb = [u32; 4];

const TRB_WORDS: usize = 4;
const TRB_BYTES: u64 = 16;
/// How many blocks a page holds.
const N_TRBS: usize = DmaPage::WORDS / TRB_WORDS;
/// Where the last block of a ring that we fill lies, which leads back to the first.
const LINK: usize = N_TRBS - 1;

const CYCLE: u32 = 1 << 0;
/// The link is where the cycle bit changes its meaning (6.4.4.1).
const TOGGLE_CYCLE: u32 = 1 << 1;

/// Types of blocks, as bits 10 to 15 of the last word have them (table 6-91). First what is asked for ...
pub(super) const NORMAL: u32 = 1 << 10;
pub(super) const SETUP_STAGE: u32 = 2 << 10;
pub(super) const DATA_STAGE: u32 = 3 << 10;
pub(super) const STATUS_STAGE: u32 = 4 << 10;
const LINK_TYPE: u32 = 6 << 10;
pub(super) const ENABLE_SLOT: u32 = 9 << 10;
pub(super) const DISABLE_SLOT: u32 = 10 << 10;
pub(super) const ADDRESS_DEVICE: u32 = 11 << 10;
pub(super) const CONFIGURE_ENDPOINT: u32 = 12 << 10;
pub(super) const EVALUATE_CONTEXT: u32 = 13 << 10;
pub(super) const RESET_ENDPOINT: u32 = 14 << 10;
pub(super) const STOP_ENDPOINT: u32 = 15 << 10;
pub(super) const SET_TR_DEQUEUE: u32 = 16 << 10;
/// ... then what the controller tells.
const TRANSFER_EVENT: u32 = 32 << 10;
const COMMAND_COMPLETION_EVENT: u32 = 33 << 10;
const PORT_STATUS_CHANGE_EVENT: u32 = 34 << 10;
const TYPE: u32 = 0x3f << 10;

/// A ring that we fill: with commands, or with the transfers of one endpoint.
pub(super) struct Ring {
    page: DmaPage,
    next: usize,
    cycle: u32,
}

impl Ring {
    /// Return an empty ring.
    pub(super) fn new(page: DmaPage) -> Self {
        let mut ring = Self { page, next: 0, cycle: CYCLE };
        ring.clear();
        ring
    }

    /// Make the ring as if it were new. The controller must have no part of it.
    pub(super) fn clear(&mut self) {
        self.page.clear();
        (self.next, self.cycle) = (0, CYCLE);
    }

    /// Return the place of the next block for the controller, and with it what a set cycle bit means there.
    pub(super) fn place(&self) -> u64 {
        (self.page.physical() + self.next as u64 * TRB_BYTES) | u64::from(self.cycle)
    }

    /// Add a block, and return where the controller finds it. It looks when its doorbell rings.
    pub(super) fn push(&mut self, trb: Trb) -> u64 {
        let address = self.page.physical() + self.next as u64 * TRB_BYTES;
        self.put(trb);
        self.next += 1;
        if self.next == LINK {
            let start = self.page.physical();
            self.put([start as u32, (start >> 32) as u32, 0, LINK_TYPE | TOGGLE_CYCLE]);
            (self.next, self.cycle) = (0, self.cycle ^ CYCLE);
        }
        address
    }

    /// Write a block, and last of it the word with the cycle bit: from then on it is the controller's.
    fn put(&mut self, [first, second, third, last]: Trb) {
        let at = self.next * TRB_WORDS;
        for (index, word) in [first, second, third, last | self.cycle].into_iter().enumerate() {
            self.page.write(at + index, word);
        }
    }

    /// Return the block that a controller says it has done; `None` when it is none of this ring.
    pub(super) fn at(&self, address: u64) -> Option<Trb> {
        let offset = address.checked_sub(self.page.physical())?;
        let number = usize::try_from(offset / TRB_BYTES).ok().filter(|number| *number < LINK)?;
        Some([0, 1, 2, 3].map(|index| self.page.read(number * TRB_WORDS + index)))
    }
}

/// What a controller tells (6.4.2).
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// A transfer has ended, or a part of it that was to be told of.
    Transfer { slot: u8, endpoint: u8, trb: u64, code: u8, n_left: u32 },
    /// A command has ended.
    Command { slot: u8, trb: u64, code: u8 },
    /// Something has changed at one of the controller's own ports.
    Port(u8),
    /// Something that nobody here asks for.
    Other,
}

impl Event {
    fn decode([low, high, status, control]: Trb) -> Self {
        let trb = u64::from(low) | u64::from(high) << 32;
        let [.., code] = status.to_le_bytes();
        let [_, _, endpoint, slot] = control.to_le_bytes();
        match control & TYPE {
            TRANSFER_EVENT => {
                Self::Transfer { slot, endpoint: endpoint & 0x1f, trb, code, n_left: status & 0xff_ffff }
            }
            COMMAND_COMPLETION_EVENT => Self::Command { slot, trb, code },
            PORT_STATUS_CHANGE_EVENT => Self::Port(low.to_le_bytes()[3]),
            _ => Self::Other,
        }
    }
}

/// The ring that the controller fills.
pub(super) struct EventRing {
    page: DmaPage,
    next: usize,
    cycle: u32,
}

impl EventRing {
    /// How many blocks the controller may fill.
    pub(super) const LENGTH: u32 = N_TRBS as u32;

    /// Return an empty ring.
    pub(super) fn new(page: DmaPage) -> Self {
        Self { page, next: 0, cycle: CYCLE }
    }

    /// Return where the controller finds the block that is looked at next.
    pub(super) fn place(&self) -> u64 {
        self.page.physical() + self.next as u64 * TRB_BYTES
    }

    /// Return the next event if there is one, and let the controller know that its block is free again.
    pub(super) fn next(&mut self, registers: &Registers) -> Option<Event> {
        let word = |index| self.page.read(self.next * TRB_WORDS + index);
        // Its last word tells that the others are written.
        let control = word(3);
        if control & CYCLE != self.cycle {
            return None;
        }
        let event = Event::decode([word(0), word(1), word(2), control]);
        self.next += 1;
        if self.next == N_TRBS {
            (self.next, self.cycle) = (0, self.cycle ^ CYCLE);
        }
        registers.set_event_place(self.place());
        Some(event)
    }
}
