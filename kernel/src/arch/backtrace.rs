//! Who called whom: the frames above a failure, by the unwind tables that every function brings along (`.eh_frame`; System V ABI,
//! AMD64 supplement, 3.7).
//!
//! They cover prebuilt `core` too, and take no register away from the engine's inner loops, as frame pointers would. Where the tables
//! end (an entry in assembly) or the stack makes no sense, the walk ends.

use core::fmt;

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EndianSlice, LittleEndian, Register, RegisterRule, UnwindContext,
    UnwindContextStorage, UnwindSection, UnwindTableRow, X86_64,
};

use super::symbols::{self, Symbol};
use crate::memory;

/// So many frames tell enough.
const MAX_FRAMES: usize = 24;

// From the linker script. Only their addresses mean anything.
unsafe extern "C" {
    static frames_start: u8;
    static frames_end: u8;
}

/// What the table's rows are kept in: a rule for each of the 16 registers and the return address.
struct OnStack;

impl UnwindContextStorage<usize> for OnStack {
    type Rules = [(Register, RegisterRule<usize>); 17];
    type Stack = [UnwindTableRow<usize, Self>; 2];
}

/// The registers of a function in the midst of its work, as far as it has to give them back: what the walk begins with.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)] // `here` writes it
pub(crate) struct Registers {
    pub(crate) rip: u64,
    pub(crate) rsp: u64,
    pub(crate) rbp: u64,
    pub(crate) rbx: u64,
    pub(crate) r12_to_r15: [u64; 4],
}

impl Registers {
    /// Return those of the caller, or rather of this function in it.
    #[inline(always)]
    pub(crate) fn here() -> Self {
        let mut here = Self::default();
        // SAFETY: the instructions write to the registers that they name, and to those eight words.
        unsafe {
            core::arch::asm!(
                "lea {rip}, [rip]",
                "mov [{out}], {rip}",
                "mov [{out} + 8], rsp",
                "mov [{out} + 16], rbp",
                "mov [{out} + 24], rbx",
                "mov [{out} + 32], r12",
                "mov [{out} + 40], r13",
                "mov [{out} + 48], r14",
                "mov [{out} + 56], r15",
                rip = out(reg) _,
                out = in(reg) &raw mut here,
                options(nostack, preserves_flags),
            );
        }
        here
    }

    fn get(&mut self, register: Register) -> Option<&mut u64> {
        Some(match register {
            X86_64::RA => &mut self.rip,
            X86_64::RSP => &mut self.rsp,
            X86_64::RBP => &mut self.rbp,
            X86_64::RBX => &mut self.rbx,
            Register(number @ 12..=15) => &mut self.r12_to_r15[usize::from(number) - 12],
            _ => return None,
        })
    }

    /// Return the caller's registers; nothing where the walk ends.
    fn caller(mut self, is_return_address: bool) -> Option<Self> {
        if !symbols::is_code(self.rip) {
            // Who called what is no code has just pushed where it returns to.
            let rip = memory::read_word(self.rsp)?;
            return symbols::is_code(rip).then_some(Self {
                rip,
                rsp: self.rsp + size_of::<u64>() as u64,
                ..self
            });
        }
        let (start, end) = (&raw const frames_start, &raw const frames_end);
        // SAFETY: the linker put the unwind tables between these two, and nobody writes to them.
        let tables = unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) };
        let section = EhFrame::from(EndianSlice::new(tables, LittleEndian));
        let bases = BaseAddresses::default().set_eh_frame(start as u64);
        let mut context = UnwindContext::<usize, OnStack>::new_in();
        // A call may be its function's last instruction: what it returns to is another's.
        let at = self.rip.checked_sub(is_return_address.into())?;
        let row = section.unwind_info_for_address(&bases, &mut context, at, EhFrame::cie_from_offset).ok()?;
        let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else { return None };
        let cfa = self.get(register)?.checked_add_signed(offset)?;
        let mut caller = Self { rsp: cfa, ..self };
        for &(register, ref rule) in row.registers() {
            let (RegisterRule::Offset(offset), Some(value)) = (rule, caller.get(register)) else { continue };
            *value = memory::read_word(cfa.checked_add_signed(*offset)?)?;
        }
        (caller.rip != self.rip && symbols::is_code(caller.rip)).then_some(caller)
    }
}

/// The functions that led to a place, the innermost first, a line each.
pub(crate) struct Backtrace(pub(crate) Registers);

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut frame = Some(self.0);
        for number in 0..MAX_FRAMES {
            let Some(registers) = frame else { return Ok(()) };
            writeln!(f, "{number:>3}  {}", Symbol(registers.rip))?;
            frame = registers.caller(number > 0);
        }
        writeln!(f, "     and more")
    }
}
