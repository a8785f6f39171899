//! A controller's registers (xHCI 1.2, chapter 5), and the list of what else it can (chapter 7).

use core::ptr::NonNull;

use super::Error;

/// Capability registers by their offset (5.3), all of them to be read only.
const CAPLENGTH: usize = 0x00;
const HCSPARAMS1: usize = 0x04;
const HCSPARAMS2: usize = 0x08;
const HCCPARAMS1: usize = 0x10;
const DBOFF: usize = 0x14;
const RTSOFF: usize = 0x18;

/// A register that is written.
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
pub(super) enum Operational {
    /// 5.4.1
    UsbCmd = 0x00,
    /// 5.4.2
    UsbSts = 0x04,
    /// 5.4.3
    PageSize = 0x08,
    /// 5.4.5, 64 bits
    CommandRing = 0x18,
    /// 5.4.6, 64 bits
    Contexts = 0x30,
    /// 5.4.7
    Config = 0x38,
}

/// Where the ports' registers begin among the operational ones, and how far apart they are (5.4.8).
const PORTS: usize = 0x400;
const PORT_BYTES: usize = 0x10;

/// The registers of the first interrupter among the runtime ones (5.5.2), of which its event ring is of interest.
const ERSTSZ: usize = 0x28;
const ERSTBA: usize = 0x30;
const ERDP: usize = 0x38;
const RUNTIME_BYTES: usize = 0x40;
/// Bit 3 of ERDP, cleared by a one: events were taken in.
const EVENT_HANDLER_BUSY: u64 = 1 << 3;

/// How many extended capabilities are looked at: a list that goes on is a loop.
const MAX_CAPABILITIES: usize = 64;

/// The registers, in memory.
pub(super) struct Registers {
    start: NonNull<u8>,
    bytes: usize,
    operational: usize,
    runtime: usize,
    doorbells: usize,
}

// SAFETY: the registers are mapped on every core.
unsafe impl Send for Registers {}

impl Registers {
    /// Return the registers that begin at `start`, if they lie as the standard has it.
    ///
    /// # Safety
    /// So many bytes of registers are mapped there for ever, and nobody else uses them.
    ///
    /// # Errors
    /// When nothing answers, or a controller describes itself as it cannot be.
    pub(super) unsafe fn new(start: NonNull<u8>, bytes: usize) -> Result<Self, Error> {
        let mut registers = Self { start, bytes, operational: 0, runtime: 0, doorbells: 0 };
        if bytes < PORTS || registers.read(CAPLENGTH) == u32::MAX {
            return Err(Error::Unusable("it does not answer"));
        }
        registers.operational = (registers.read(CAPLENGTH) & 0xff) as usize;
        registers.runtime = (registers.read(RTSOFF) & !0x1f) as usize;
        registers.doorbells = (registers.read(DBOFF) & !0b11) as usize;
        let ends = [
            registers.operational + PORTS + usize::from(registers.n_ports()) * PORT_BYTES,
            registers.runtime + RUNTIME_BYTES,
            registers.doorbells + (usize::from(registers.n_slots()) + 1) * size_of::<u32>(),
        ];
        let is_aligned = registers.operational.is_multiple_of(size_of::<u32>());
        if !is_aligned || registers.n_slots() == 0 || ends.iter().any(|&end| end > bytes) {
            return Err(Error::Unusable("its registers lie outside its memory"));
        }
        Ok(registers)
    }

    fn read(&self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes, "register {offset:#x}");
        // SAFETY: so much is mapped, by `new`'s caller, and aligned.
        unsafe { self.start.add(offset).cast().read_volatile() }
    }

    fn write(&self, offset: usize, value: u32) {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes, "register {offset:#x}");
        // SAFETY: as above. What a controller does to memory, it does to the pages that it was given.
        unsafe { self.start.add(offset).cast().write_volatile(value) };
    }

    /// Write an address, its low half first (5.1): not every controller takes 64 bits at once.
    fn write_address(&self, offset: usize, address: u64) {
        self.write(offset, address as u32);
        self.write(offset + 4, (address >> 32) as u32);
    }

    /// Return how many devices it can have (5.3.3).
    pub(super) fn n_slots(&self) -> u8 {
        self.read(HCSPARAMS1).to_le_bytes()[0]
    }

    /// Return how many ports it has.
    pub(super) fn n_ports(&self) -> u8 {
        self.read(HCSPARAMS1).to_le_bytes()[3]
    }

    /// Return how many pages of memory it wants for itself (5.3.4).
    pub(super) fn n_scratchpads(&self) -> usize {
        let parameters = self.read(HCSPARAMS2);
        let (high, low) = (parameters >> 21 & 0x1f, parameters >> 27);
        (high << 5 | low) as usize
    }

    /// Return whether it reaches memory above 4 GiB (5.3.6, AC64).
    pub(super) fn is_64_bit(&self) -> bool {
        self.read(HCCPARAMS1) & 1 << 0 != 0
    }

    /// Return how many words a context has (5.3.6, CSZ).
    pub(super) fn context_words(&self) -> usize {
        if self.read(HCCPARAMS1) & 1 << 2 != 0 { 16 } else { 8 }
    }

    pub(super) fn get(&self, register: Operational) -> u32 {
        self.read(self.operational + register as usize)
    }

    pub(super) fn set(&self, register: Operational, value: u32) {
        self.write(self.operational + register as usize, value);
    }

    /// Set one of the registers of 64 bits.
    pub(super) fn set_address(&self, register: Operational, address: u64) {
        self.write_address(self.operational + register as usize, address);
    }

    /// Return the status of the port of this number, the first being 1.
    pub(super) fn port(&self, port: u8) -> u32 {
        self.read(self.port_offset(port))
    }

    pub(super) fn set_port(&self, port: u8, value: u32) {
        self.write(self.port_offset(port), value);
    }

    fn port_offset(&self, port: u8) -> usize {
        assert!((1..=self.n_ports()).contains(&port), "port {port}");
        self.operational + PORTS + usize::from(port - 1) * PORT_BYTES
    }

    /// Let the first interrupter's events come to the ring that the table at `table` names, of which `place` is looked at first (4.9.4).
    pub(super) fn set_event_ring(&self, table: u64, place: u64) {
        self.write(self.runtime + ERSTSZ, 1);
        self.set_event_place(place);
        self.write_address(self.runtime + ERSTBA, table);
    }

    /// Let the controller know which event is looked at next.
    pub(super) fn set_event_place(&self, place: u64) {
        self.write_address(self.runtime + ERDP, place | EVENT_HANDLER_BUSY);
    }

    /// Let the controller look at one of its rings: at an endpoint's of a slot, or, both being 0, at that of the commands (5.6).
    pub(super) fn ring_doorbell(&self, slot: u8, endpoint: u8) {
        assert!(slot <= self.n_slots(), "slot {slot}");
        self.write(self.doorbells + usize::from(slot) * size_of::<u32>(), endpoint.into());
    }

    /// Return where the extended capabilities of a kind are (7.1).
    pub(super) fn capabilities(&self, kind: u8) -> impl Iterator<Item = Capability<'_>> {
        let step = |words: u32| words as usize * size_of::<u32>();
        let capability = move |offset: usize| {
            let last = self.bytes - size_of::<[u32; 4]>();
            (offset <= last).then_some(Capability { registers: self, offset })
        };
        let first = step(self.read(HCCPARAMS1) >> 16);
        core::iter::successors(if first == 0 { None } else { capability(first) }, move |here| {
            let next = step(here.read(0) >> 8 & 0xff);
            if next == 0 { None } else { capability(here.offset + next) }
        })
        .take(MAX_CAPABILITIES)
        .filter(move |capability| capability.read(0).to_le_bytes()[0] == kind)
    }
}

/// An extended capability, of which four words can be looked at.
pub(super) struct Capability<'r> {
    registers: &'r Registers,
    offset: usize,
}

impl Capability<'_> {
    /// Return the word of this number.
    pub(super) fn read(&self, word: usize) -> u32 {
        assert!(word < 4, "word {word} of an extended capability");
        self.registers.read(self.offset + word * size_of::<u32>())
    }

    /// Set the word of this number.
    pub(super) fn write(&self, word: usize, value: u32) {
        assert!(word < 4, "word {word} of an extended capability");
        self.registers.write(self.offset + word * size_of::<u32>(), value);
    }
}
