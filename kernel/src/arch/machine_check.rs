//! The machine check: what the processor found wrong with itself, with memory or with a bus. Intel SDM vol. 3, chapter 17.
//!
//! Without its bit in CR4 such a machine would be switched off without a word.

use core::fmt;

use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::model_specific::Msr;

use super::features;

/// How many banks of registers there are, in the low byte; whether there are all-or-nothing switches for them.
const IA32_MCG_CAP: u32 = 0x179;
/// The status of the first bank; each has four registers.
const IA32_MC0_STATUS: u32 = 0x401;
const REGISTERS_OF_A_BANK: u32 = 4;

/// Bits of a bank's status: it holds an error, and its address is in the next register.
const VALID: u64 = 1 << 63;
const HAS_ADDRESS: u64 = 1 << 58;

/// Let this core report machine checks, if it can.
pub(crate) fn enable() {
    if features::has_machine_check() {
        // SAFETY: CPUID has machine checks, whose vector has a handler.
        unsafe { Cr4::update(|cr4| cr4.insert(Cr4Flags::MACHINE_CHECK_EXCEPTION)) };
    }
}

/// The errors that this core's banks hold, a line each.
pub(super) struct Banks;

impl fmt::Display for Banks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: a machine check came, so that the processor has these registers.
        let n_banks = unsafe { Msr::new(IA32_MCG_CAP).read() } as u8;
        for bank in 0..u32::from(n_banks) {
            let register = IA32_MC0_STATUS + REGISTERS_OF_A_BANK * bank;
            // SAFETY: the bank is one of those that there are.
            let status = unsafe { Msr::new(register).read() };
            if status & VALID == 0 {
                continue;
            }
            write!(f, "bank {bank}: status {status:#018x}")?;
            if status & HAS_ADDRESS != 0 {
                // SAFETY: the status says that the address is there.
                write!(f, ", address {:#x}", unsafe { Msr::new(register + 1).read() })?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
