//! The High Precision Event Timer (IA-PC HPET Specification 1.0a), which only tells how fast the time stamp counter is, where nothing
//! else does.

use core::cell::RefCell;

use ::acpi::{AcpiError, HpetInfo};
use clock::{Rate, Source, measure};
use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

use super::acpi;
use crate::arch::tsc;
use crate::memory::{Memory, page_offset};

/// Registers (2.3), as offsets in bytes: how long a tick is, in femtoseconds; bit 0: whether it counts; the count's low half.
const PERIOD: usize = 0x4;
const CONFIGURATION: usize = 0x10;
const COUNT: usize = 0xf0;

const FEMTOSECONDS: u64 = 1_000_000_000_000_000;
/// A tick may not be longer (2.3.4).
const MAX_PERIOD: u32 = 100_000_000;

/// Return the time stamp counter's rate measured beside the timer that the ACPI tables name, whose root pointer is at `rsdp`; `None`
/// where there is none.
pub(crate) fn rate(rsdp: Option<u64>, memory: &mut Memory) -> Option<Rate> {
    let address = address(rsdp, memory).inspect_err(|error| log::debug!("no HPET: {error:?}")).ok()?;
    let page = memory.map_device(PhysFrame::containing_address(PhysAddr::new(address)));
    let register = |offset: usize| {
        // SAFETY: the timer's registers begin where the tables say, aligned as a table of them is, and lie in one page.
        unsafe { page.add(page_offset(address) + offset).cast::<u32>() }
    };
    // SAFETY: these are the timer's registers, mapped for ever; reading them does nothing.
    let read = |offset| unsafe { register(offset).read_volatile() };
    let period = read(PERIOD);
    if !(1..=MAX_PERIOD).contains(&period) {
        return None;
    }
    // SAFETY: likewise; that it counts is all that is changed, and nobody waits for its interrupts.
    unsafe { register(CONFIGURATION).write_volatile(read(CONFIGURATION) | 1) };
    let (mut last, mut passed) = (read(COUNT), 0);
    let look = || {
        let next = read(COUNT);
        passed += u64::from(next.wrapping_sub(last));
        last = next;
        (passed, tsc::now())
    };
    measure(FEMTOSECONDS / u64::from(period), look).map(|hz| Rate { hz, source: Source::Hpet })
}

/// Return where its registers are.
fn address(rsdp: Option<u64>, memory: &mut Memory) -> Result<u64, AcpiError> {
    let memory = RefCell::new(memory);
    Ok(HpetInfo::new(&acpi::tables(rsdp, &memory)?)?.base_address as u64)
}
