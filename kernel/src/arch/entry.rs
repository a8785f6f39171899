//! The first instructions: from the loader's machine to the first line of Rust.
//!
//! Two doors lead in. Limine jumps to [`limine_entry`] in 64-bit mode with the higher half mapped (Limine boot protocol, "Entry
//! machine state"). A PVH loader jumps to `pvh_entry` in 32-bit protected mode without paging, EBX holding the physical address
//! of its start info (Xen, docs/misc/pvh.pandoc); it is found by an ELF note. Both take the time, enable the vector units,
//! take the boot stack and call Rust.
//!
//! No Rust may run before [`enable_vector_units`]: the compiler uses SSE registers wherever it likes, and loaders leave them off.

use core::arch::{global_asm, naked_asm};

use crate::{boot, start};

/// The stack until the one in our own page tables is mapped. Boot information, memory and devices are moved by value there, some 100 KB
/// in one function, so it is several times that. The page below it is in no segment (linker.ld), so that no page tables map it: not
/// Limine's, not those below, and not ours.
const BOOT_STACK_BYTES: usize = 512 * 1024;

#[repr(C, align(4096))]
struct BootStack([u8; BOOT_STACK_BYTES]);

#[unsafe(link_section = ".bss.boot_stack")]
static mut BOOT_STACK: BootStack = BootStack([0; BOOT_STACK_BYTES]);

/// Limine's door: the ELF entry point.
///
/// # Safety
/// Only a Limine-compatible loader may jump here.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn limine_entry() -> ! {
    naked_asm!(
        "cli",
        "cld",
        "rdtsc",
        "shl rdx, 32",
        "lea rdi, [rax + rdx]",
        "lea rsp, [rip + {stack} + {stack_bytes}]",
        "push rdi",
        "call {enable_vector_units}",
        "pop rdi",
        "xor ebp, ebp", // where a walk along the frame pointers ends
        "call {start}",
        "ud2",
        stack = sym BOOT_STACK,
        stack_bytes = const BOOT_STACK_BYTES,
        enable_vector_units = sym enable_vector_units,
        start = sym start_from_limine,
    )
}

/// The PVH door's second half, in 64-bit mode and at its linked address. EBX still holds the start info's address.
///
/// # Safety
/// Only `pvh_entry` may jump here.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn pvh_entry_64() -> ! {
    naked_asm!(
        "rdtsc",
        "shl rdx, 32",
        "lea rdi, [rax + rdx]",
        "lea rsp, [rip + {stack} + {stack_bytes}]",
        "mov esi, ebx",
        "push rdi",
        "push rsi",
        "call {enable_vector_units}",
        "pop rsi",
        "pop rdi",
        "xor ebp, ebp",
        "call {start}",
        "ud2",
        stack = sym BOOT_STACK,
        stack_bytes = const BOOT_STACK_BYTES,
        enable_vector_units = sym enable_vector_units,
        start = sym start_from_pvh,
    )
}

extern "C" fn start_from_limine(entry_tsc: u64) -> ! {
    start(entry_tsc, boot::limine::boot_info)
}

extern "C" fn start_from_pvh(entry_tsc: u64, start_info: u64) -> ! {
    // SAFETY: `start_info` is what the loader left in EBX, and the entry mapped the first 4 GiB at the direct map's address.
    start(entry_tsc, || unsafe { boot::pvh::boot_info(start_info) })
}

/// Enable x87, SSE and, as far as CPUID has them, AVX and AVX-512 on this core, with the C calling convention's initial state.
///
/// Intel SDM vol. 1, 13.3 (enabling XSAVE and its state components) and vol. 3, 15.1 (SSE). Clobbers RAX, RBX, RCX and RDX.
///
/// # Safety
/// Only for the entry of a core, before any Rust runs on it. It does not keep RBX, which Rust's callers expect.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enable_vector_units() {
    naked_asm!(
        "mov rax, cr0",
        "and eax, ~(1 << 2 | 1 << 3)", // no EM (emulation), no TS (task switched)
        "or eax, 1 << 1 | 1 << 5 | 1 << 16", // MP, NE; WP: read-only pages hold for the kernel too
        "mov cr0, rax",
        "mov rax, cr4",
        "or eax, 1 << 9 | 1 << 10", // OSFXSR, OSXMMEXCPT
        "mov cr4, rax",
        "fninit",
        "push 0x1f80", // all exceptions masked, round to nearest
        "ldmxcsr [rsp]",
        "pop rax",
        "mov eax, 1",
        "cpuid",
        "bt ecx, 26", // XSAVE
        "jnc 2f",
        "mov rax, cr4",
        "or eax, 1 << 18", // OSXSAVE
        "mov cr4, rax",
        "mov eax, 0xd",
        "xor ecx, ecx",
        "cpuid",         // EAX: the state components that this CPU has
        "and eax, 0xe7", // x87, SSE, AVX; opmask, ZMM_Hi256, Hi16_ZMM
        "xor edx, edx",
        "xor ecx, ecx",
        "xsetbv",
        "2:",
        "ret",
    )
}

// The PVH door. Everything before paging is addressed physically: symbol - KERNEL_BASE.
//
// The page tables map the first 4 GiB in 2 MiB pages three times: at 0 for the instructions around the switch, at the direct map's
// address for reading the loader's structures, and at KERNEL_BASE (its first 1 GiB) for the kernel itself; there, the image has pages
// of 4 KiB, of which the one below the boot's stack is taken out.
global_asm!(
    ".pushsection .note.Xen, \"a\", @note",
    ".align 4",
    ".long 4, 4, 18", // sizes of name and value; XEN_ELFNOTE_PHYS32_ENTRY
    ".asciz \"Xen\"",
    ".long pvh_entry - {base}",
    ".popsection",

    ".pushsection .data",
    ".align 4096",
    "pvh_pml4:",
    ".quad pvh_pdpt - {base} + 3", // present, writable
    ".fill 255, 8, 0",
    ".quad pvh_pdpt - {base} + 3",
    ".fill 254, 8, 0",
    ".quad pvh_pdpt_kernel - {base} + 3",
    "pvh_pdpt:",
    ".quad pvh_pd - {base} + 0x0003",
    ".quad pvh_pd - {base} + 0x1003",
    ".quad pvh_pd - {base} + 0x2003",
    ".quad pvh_pd - {base} + 0x3003",
    ".fill 508, 8, 0",
    "pvh_pdpt_kernel:",
    ".fill 510, 8, 0",
    ".quad pvh_pd_kernel - {base} + 3",
    ".quad 0",
    "pvh_pd_kernel:",
    ".quad 0x83",
    ".quad pvh_pt - {base} + 0x0003",
    ".quad pvh_pt - {base} + 0x1003",
    ".set page, 0x600000",
    ".rept 509",
    ".quad page + 0x83",
    ".set page, page + 0x200000",
    ".endr",
    "pvh_pt:", // from KERNEL_PHYSICAL on
    ".set page, 0x200000",
    ".rept 1024",
    ".quad page + 3",
    ".set page, page + 0x1000",
    ".endr",
    "pvh_pd:",
    ".set page, 0",
    ".rept 2048",
    ".quad page + 0x83", // present, writable, 2 MiB
    ".set page, page + 0x200000",
    ".endr",
    "pvh_gdt:", // the other cores use it too, and the tables above
    ".quad 0",
    ".quad 0x00af9b000000ffff", // 64-bit code
    "pvh_gdt_pointer:",
    ".word 15",
    ".long pvh_gdt - {base}",
    ".popsection",

    ".pushsection .text",
    ".code32",
    "pvh_entry:",
    "cli",
    "cld",
    "lgdt [pvh_gdt_pointer - {base}]",
    "mov eax, offset boot_stack_guard - {base}",
    "shr eax, 12 - 3", // an entry of 8 bytes for each page
    "mov dword ptr [eax + pvh_pt - {base} - (0x200000 >> 9)], 0",
    "mov eax, cr4",
    "or eax, 1 << 5", // PAE
    "mov cr4, eax",
    "mov eax, offset pvh_pml4 - {base}",
    "mov cr3, eax",
    "mov ecx, 0xc0000080", // EFER
    "rdmsr",
    "or eax, 1 << 8", // LME
    "wrmsr",
    "mov eax, cr0",
    "or eax, 1 << 31", // PG
    "mov cr0, eax",
    ".byte 0xea", // a far jump to pvh_long_mode in the 64-bit code segment, which Intel syntax has no word for
    ".long pvh_long_mode - {base}",
    ".word 8",
    ".code64",
    "pvh_long_mode:",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "movabs rax, offset pvh_entry_64",
    "jmp rax",
    ".popsection",
    base = const crate::memory::KERNEL_BASE,
);
