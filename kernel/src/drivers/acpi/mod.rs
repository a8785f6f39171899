//! What the firmware's ACPI tables tell (ACPI 6.5): the cores, and how the machine is switched off and started again.
//!
//! All of it is read once at boot, while memory can still be mapped.

pub(crate) mod power;
mod s5;

use core::cell::RefCell;
use core::ptr::NonNull;

use acpi::{AcpiError, AcpiHandler, PhysicalMapping};

use crate::memory::Memory;

/// The tables.
pub(crate) type AcpiTables<'m> = acpi::AcpiTables<Tables<'m>>;

/// Return the tables, whose root pointer is at `rsdp`, if the loader knows.
pub(crate) fn tables<'m>(
    rsdp: Option<u64>,
    memory: &'m RefCell<&'m mut Memory>,
) -> Result<AcpiTables<'m>, AcpiError> {
    let tables = Tables(memory);
    // SAFETY: the loader's address is that of the root pointer, and where there is none the tables are looked for where the BIOS
    // has them.
    unsafe {
        match rsdp {
            Some(rsdp) => acpi::AcpiTables::from_rsdp(tables, rsdp as usize),
            None => acpi::AcpiTables::search_for_rsdp_bios(tables),
        }
    }
}

/// The machine's memory, as the ACPI tables are read in it.
#[derive(Clone)]
pub(crate) struct Tables<'m>(&'m RefCell<&'m mut Memory>);

impl AcpiHandler for Tables<'_> {
    unsafe fn map_physical_region<T>(&self, address: usize, size: usize) -> PhysicalMapping<Self, T> {
        let start = address as u64;
        let mapped: NonNull<u8> = self.0.borrow_mut().map_firmware(&(start..start + size as u64));
        // SAFETY: so much was mapped.
        unsafe { PhysicalMapping::new(address, mapped.cast(), size, size, self.clone()) }
    }

    /// Tables are read once, at boot; a few pages of addresses stay mapped.
    fn unmap_physical_region<T>(_: &PhysicalMapping<Self, T>) {}
}
