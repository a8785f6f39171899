//! How this machine is switched off and started again, as its FADT says (ACPI 6.5, 4.8.3 and 5.2.9).

use core::cell::RefCell;
use core::ptr::NonNull;

use acpi::AcpiError;
use acpi::address::{AddressSpace, GenericAddress};
use acpi::fadt::Fadt;
use x86_64::PhysAddr;
use x86_64::instructions::port::Port;
use x86_64::structures::paging::PhysFrame;

use super::s5;
use crate::memory::{Memory, page_offset};

/// Fields of a PM1 control register (table 4.13): ACPI mode is on; the sleep type; sleep now.
const SCI_ENABLED: u16 = 1 << 0;
const SLEEP_TYPE_SHIFT: u32 = 10;
const SLEEP_TYPE: u16 = 0b111 << SLEEP_TYPE_SHIFT;
const SLEEP_NOW: u16 = 1 << 13;

/// The same in the sleep control register of machines without those (table 4.20).
const REDUCED_SLEEP_TYPE_SHIFT: u32 = 2;
const REDUCED_SLEEP_NOW: u8 = 1 << 5;

/// How often is looked whether ACPI mode is on: for some seconds at most, which is what the specification's own users grant.
const MODE_LOOKS: usize = 3_000_000;

/// What the tables say about power; each part may be missing.
#[derive(Default)]
pub(crate) struct Power {
    sleep: Option<Sleep>,
    /// The reset register and what starts the machine again there.
    reset: Option<(Register, u8)>,
}

/// The way to S5, which is off.
enum Sleep {
    /// By one or two PM1 control registers.
    Full { controls: [Option<(Register, u8)>; 2], mode: Option<AcpiMode> },
    /// By the sleep control register.
    Reduced { control: Register, sleep_type: u8 },
}

/// The port and the byte by which the firmware is asked to leave power to us (SMI_CMD, ACPI_ENABLE).
struct AcpiMode {
    port: u16,
    enable: u8,
}

/// A register of the chipset.
#[derive(Clone, Copy)]
enum Register {
    Port(u16),
    Memory(NonNull<u8>),
}

impl Power {
    /// Return what the tables say whose root pointer is at `rsdp`. The log tells what is missing.
    pub(crate) fn find(rsdp: Option<u64>, memory: &mut Memory) -> Self {
        Self::read(rsdp, memory).unwrap_or_else(|error| {
            log::warn!("the ACPI tables do not tell how to switch this machine off: {error:?}");
            Self::default()
        })
    }

    fn read(rsdp: Option<u64>, memory: &mut Memory) -> Result<Self, AcpiError> {
        let memory = RefCell::new(memory);
        let tables = super::tables(rsdp, &memory)?;
        let fadt = tables.find_table::<Fadt>()?;
        let mut programs = tables.dsdt().into_iter().chain(tables.ssdts());
        let sleep_types = programs.find_map(|table| {
            let start = table.address as u64;
            let mapped = memory.borrow_mut().map_firmware(&(start..start + u64::from(table.length)));
            // SAFETY: so much was mapped, and the firmware is done with it.
            s5::sleep_types(unsafe { core::slice::from_raw_parts(mapped.as_ptr(), table.length as usize) })
        });
        let register = |address: GenericAddress| Register::map(address, &mut memory.borrow_mut());
        let flags = fadt.flags; // a copy: the table is packed
        let reset = if flags.supports_system_reset_via_fadt() {
            register(fadt.reset_register()?).map(|register| (register, fadt.reset_value))
        } else {
            None
        };
        let sleep = match sleep_types {
            None => None,
            Some([sleep_type, _]) if flags.system_is_hw_reduced_acpi() => fadt
                .sleep_control_register()?
                .and_then(register)
                .map(|control| Sleep::Reduced { control, sleep_type }),
            Some([first, second]) => {
                let controls = [
                    register(fadt.pm1a_control_block()?).map(|control| (control, first)),
                    fadt.pm1b_control_block()?.and_then(register).map(|control| (control, second)),
                ];
                let port = fadt.smi_cmd_port as u16;
                let mode = (port != 0).then_some(AcpiMode { port, enable: fadt.acpi_enable });
                Some(Sleep::Full { controls, mode })
            }
        };
        log::info!(
            "power: {}, {}",
            match sleep {
                Some(Sleep::Full { .. }) => "off by PM1 control registers",
                Some(Sleep::Reduced { .. }) => "off by the sleep control register",
                None => "no way to switch it off",
            },
            if reset.is_some() { "started again by its reset register" } else { "no reset register" },
        );
        Ok(Self { sleep, reset })
    }

    /// Switch the machine off, if it is known how.
    pub(crate) fn off(&self) {
        match &self.sleep {
            None => {}
            Some(Sleep::Full { controls, mode }) => {
                if let (Some(mode), [Some((first, _)), _]) = (mode, controls) {
                    mode.enter(*first);
                }
                // The type first, and then both at once (4.8.3.2.1).
                for now in [0, SLEEP_NOW] {
                    for &(control, sleep_type) in controls.iter().flatten() {
                        let kept = control.read_u16() & !(SLEEP_TYPE | SLEEP_NOW);
                        control.write_u16(kept | u16::from(sleep_type) << SLEEP_TYPE_SHIFT | now);
                    }
                }
            }
            Some(Sleep::Reduced { control, sleep_type }) => {
                control.write_u8(sleep_type << REDUCED_SLEEP_TYPE_SHIFT | REDUCED_SLEEP_NOW);
            }
        }
    }

    /// Start the machine again, if it has a register for that.
    pub(crate) fn reset(&self) {
        if let Some((register, value)) = self.reset {
            register.write_u8(value);
        }
    }
}

impl AcpiMode {
    /// Let the firmware leave power to us, unless it has done so.
    fn enter(&self, control: Register) {
        if control.read_u16() & SCI_ENABLED != 0 {
            return;
        }
        // SAFETY: the FADT names port and byte for this.
        unsafe { Port::new(self.port).write(self.enable) };
        (0..MODE_LOOKS).find(|_| control.read_u16() & SCI_ENABLED != 0);
    }
}

impl Register {
    /// Return the register at `address`, if it is one that can be reached here.
    fn map(address: GenericAddress, memory: &mut Memory) -> Option<Self> {
        match address.address_space {
            _ if address.address == 0 => None,
            AddressSpace::SystemIo => address.address.try_into().ok().map(Self::Port),
            AddressSpace::SystemMemory => {
                let page = memory.map_device(PhysFrame::containing_address(PhysAddr::new(address.address)));
                // SAFETY: the offset lies within the page.
                Some(Self::Memory(unsafe { page.add(page_offset(address.address)) }))
            }
            _ => None,
        }
    }

    fn read_u16(self) -> u16 {
        match self {
            // SAFETY: the FADT says that this is a register of the chipset; reading it does nothing.
            Self::Port(port) => unsafe { Port::new(port).read() },
            // SAFETY: likewise, mapped for ever.
            Self::Memory(address) => unsafe { address.cast().read_volatile() },
        }
    }

    fn write_u16(self, value: u16) {
        match self {
            // SAFETY: the FADT says that this is a register of the chipset, and the machine is about to end.
            Self::Port(port) => unsafe { Port::new(port).write(value) },
            // SAFETY: likewise, mapped for ever.
            Self::Memory(address) => unsafe { address.cast().write_volatile(value) },
        }
    }

    fn write_u8(self, value: u8) {
        match self {
            // SAFETY: as above.
            Self::Port(port) => unsafe { Port::new(port).write(value) },
            // SAFETY: as above.
            Self::Memory(address) => unsafe { address.write_volatile(value) },
        }
    }
}
