//! What is plugged into the machine's PCI buses, by the configuration space that every PC has at two ports.
//!
//! The firmware has given all devices their addresses; nothing is moved here. Not here: buses that only a memory-mapped configuration
//! space reaches (segments of large servers), and interrupts, since the kernel polls. PCI Local Bus Specification 3.0 ("PCI 3.0").

use core::fmt;
use core::ops::Range;

use x86_64::instructions::port::Port;

/// The ports of configuration mechanism #1 (PCI 3.0, 3.2.2.3.2): which register, and what is in it.
const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// Registers of every function by their offset (PCI 3.0, figure 6-1).
const VENDOR: u8 = 0x00;
const COMMAND: u8 = 0x04;
const CLASS: u8 = 0x08;
const HEADER_TYPE: u8 = 0x0c;
const BAR_0: u8 = 0x10;

/// Bits of the command register (6.2.2): the device answers at its memory addresses; reads and writes memory by itself; its interrupt
/// line is silent.
const MEMORY_SPACE: u32 = 1 << 1;
const BUS_MASTER: u32 = 1 << 2;
const NO_INTERRUPTS: u32 = 1 << 10;
/// The command's half of its register. The other, the status, is cleared where ones are written.
const COMMAND_BITS: u32 = 0xffff;

/// Bit 7 of the header type: the device has more functions than the first.
const HAS_MORE_FUNCTIONS: u32 = 1 << 23;
/// What is read where nothing is.
const NOTHING: u32 = u32::MAX;

/// One function of a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    bus: u8,
    device: u8,
    function: u8,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.device, self.function)
    }
}

/// Return the functions of this class: class code, subclass and programming interface, a byte each.
///
/// All buses are looked at: which of them hang on a bridge, and which on the processor, only the firmware's tables would say. An
/// emulator takes 5 ms for that.
pub(crate) fn functions_of(class: u32) -> impl Iterator<Item = Function> {
    let has_ports = {
        // SAFETY: the port belongs to the configuration mechanism or to nothing.
        unsafe { Port::new(ADDRESS).write(ENABLE) };
        // SAFETY: as above.
        (unsafe { Port::<u32>::new(ADDRESS).read() }) == ENABLE
    };
    let buses = has_ports.then_some(0..=u8::MAX);
    buses
        .into_iter()
        .flatten()
        .flat_map(|bus| (0..32).map(move |device| Function { bus, device, function: 0 }))
        .filter(|first| first.is_there())
        .flat_map(|first| {
            let last = if first.read(HEADER_TYPE) & HAS_MORE_FUNCTIONS != 0 { 7 } else { 0 };
            (0..=last).map(move |function| Function { function, ..first })
        })
        .filter(move |function| function.is_there() && function.read(CLASS) >> 8 == class)
}

impl Function {
    fn is_there(self) -> bool {
        self.read(VENDOR) != NOTHING
    }

    /// Return the word at `offset`, a multiple of 4.
    fn read(self, offset: u8) -> u32 {
        self.select(offset);
        // SAFETY: the port gives the selected register; reading one of the standard header changes nothing.
        unsafe { Port::new(DATA).read() }
    }

    fn write(self, offset: u8, value: u32) {
        self.select(offset);
        // SAFETY: the port is the selected register; what is written here decides about one device, which has no other driver.
        unsafe { Port::new(DATA).write(value) };
    }

    fn select(self, offset: u8) {
        let place = u32::from(self.bus) << 16 | u32::from(self.device) << 11 | u32::from(self.function) << 8;
        // SAFETY: the port only chooses what the other one shows.
        unsafe { Port::new(ADDRESS).write(ENABLE | place | u32::from(offset)) };
    }

    /// Return the physical addresses of the memory behind the first base address register (PCI 3.0, 6.2.5.1); `None` when it has none.
    ///
    /// How much there is the device says by the bits that it does not keep. Meanwhile it must not answer.
    pub(crate) fn memory(self) -> Option<Range<u64>> {
        const IS_PORTS: u32 = 1 << 0;
        const KIND: u32 = 0b110;
        const IS_64_BIT: u32 = 0b100;
        const FLAGS: u64 = 0xf;

        let low = self.read(BAR_0);
        if low & IS_PORTS != 0 {
            return None;
        }
        let is_64_bit = low & KIND == IS_64_BIT;
        let command = self.read(COMMAND) & COMMAND_BITS;
        self.write(COMMAND, command & !(MEMORY_SPACE | BUS_MASTER));
        self.write(BAR_0, u32::MAX);
        let mut mask = u64::from(self.read(BAR_0)) | u64::from(u32::MAX) << 32;
        self.write(BAR_0, low);
        let mut start = u64::from(low);
        if is_64_bit {
            let high = self.read(BAR_0 + 4);
            self.write(BAR_0 + 4, u32::MAX);
            mask &= u64::from(self.read(BAR_0 + 4)) << 32 | u64::from(u32::MAX);
            self.write(BAR_0 + 4, high);
            start |= u64::from(high) << 32;
        }
        self.write(COMMAND, command);

        let (start, bytes) = (start & !FLAGS, (!(mask & !FLAGS)).checked_add(1)?);
        (start != 0 && bytes > FLAGS).then_some(())?;
        Some(start..start.checked_add(bytes)?)
    }

    /// Let the device answer at its addresses and read and write memory, and not interrupt.
    pub(crate) fn enable(self) {
        let command = self.read(COMMAND) & COMMAND_BITS;
        self.write(COMMAND, command | MEMORY_SPACE | BUS_MASTER | NO_INTERRUPTS);
    }
}
