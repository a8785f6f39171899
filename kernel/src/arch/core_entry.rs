//! The first instructions of the other cores: from wherever they were kept to the first line of Rust.
//!
//! A loader that speaks Limine's protocol lets them jump to [`core_entry`] in 64-bit mode. Elsewhere they sleep, and a startup
//! interrupt lets them begin in real mode at a page below 1 MiB (Intel SDM vol. 3, 10.4.4): [`put_trampoline`] puts code there that leads
//! to the same place. Each takes a number, leaves the loader's page tables for the kernel's own, and waits for a stack.

use core::arch::{global_asm, naked_asm};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use engine::platform::Clock;
use limine::mp::Cpu;
use x86_64::VirtAddr;

use super::apic::Apic;
use super::entry::enable_vector_units;
use super::gdt::{ExceptionStack, Segments};
use crate::memory::{DIRECT_MAP, KERNEL_BASE};
use crate::smp;

/// Cores that can be started beside the first; further ones halt. The engine shares its work among at most 64.
pub(crate) const MAX_OTHERS: usize = 63;

/// Where the code for real mode is put. The kernel uses nothing else below 1 MiB.
const TRAMPOLINE: u64 = 0x8000;

/// The startup interrupt's vector: the number of that page.
pub(crate) const TRAMPOLINE_PAGE: u8 = (TRAMPOLINE >> 12) as u8;

/// How many cores have come.
static ARRIVED: AtomicU32 = AtomicU32::new(0);
/// The kernel's page tables as CR3 has them; 0 as long as there are none.
static PAGE_TABLES: AtomicU64 = AtomicU64::new(0);
/// What these page tables need in the extended feature register.
static FEATURES: AtomicU32 = AtomicU32::new(0);
/// How many cores use them.
static ADOPTED: AtomicU32 = AtomicU32::new(0);
/// What each core begins with, by its number from 0.
static STARTS: [AtomicPtr<CoreStart>; MAX_OTHERS] = [const { AtomicPtr::new(ptr::null_mut()) }; _];

/// What a core begins with.
#[repr(C)]
pub(crate) struct CoreStart {
    /// The top of its stack; the entry reads it.
    pub(crate) stack_top: VirtAddr,
    pub(crate) exception_stacks: [VirtAddr; ExceptionStack::COUNT],
    pub(crate) segments: Segments,
    pub(crate) apic: Apic,
}

/// Return how many cores have come.
pub(crate) fn arrived() -> usize {
    ARRIVED.load(Ordering::Acquire) as usize
}

/// Let all cores that come use these page tables, with these bits of the extended feature register.
pub(crate) fn give_page_tables(root: u64, features: u32) {
    FEATURES.store(features, Ordering::Relaxed);
    PAGE_TABLES.store(root, Ordering::Release);
}

/// Wait until `count` cores use the kernel's page tables, at most so long, and return whether they do.
pub(crate) fn wait_for_adoption(count: usize, clock: &dyn Clock, limit_ns: u64) -> bool {
    let deadline_ns = clock.now_ns() + limit_ns;
    while (ADOPTED.load(Ordering::Acquire) as usize) < count {
        if clock.now_ns() > deadline_ns {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Let core `number`, from 0, begin with `start`.
pub(crate) fn start(number: usize, start: &'static mut CoreStart) {
    STARTS[number].store(start, Ordering::Release);
}

/// The first code of a core in 64-bit mode, with the kernel's image mapped, and no stack that it may use.
///
/// # Safety
/// For a core that nobody uses.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn core_entry(_: &Cpu) -> ! {
    naked_asm!(
        "cli",
        "cld",
        "mov ebx, 1",
        "lock xadd [rip + {arrived}], ebx", // EBX: this core's number
        "2:",
        "pause",
        "mov rdi, [rip + {page_tables}]",
        "test rdi, rdi",
        "jz 2b",
        "mov ecx, 0xc0000080", // EFER
        "rdmsr",
        "or eax, [rip + {features}]",
        "wrmsr",
        "mov cr3, rdi",
        "lock inc dword ptr [rip + {adopted}]",
        "cmp ebx, {max_others}",
        "jae 4f",
        "lea rsi, [rip + {starts}]",
        "3:",
        "pause",
        "mov rdi, [rsi + 8 * rbx]",
        "test rdi, rdi",
        "jz 3b",
        "mov rsp, [rdi]",
        "push rbx",
        "push rdi",
        "call {enable_vector_units}",
        "pop rdi",
        "pop rsi",
        "xor ebp, ebp",
        "call {join}",
        "ud2",
        "4:",
        "hlt",
        "jmp 4b",
        arrived = sym ARRIVED,
        page_tables = sym PAGE_TABLES,
        features = sym FEATURES,
        adopted = sym ADOPTED,
        starts = sym STARTS,
        max_others = const MAX_OTHERS,
        enable_vector_units = sym enable_vector_units,
        join = sym smp::join,
    )
}

// From real mode to `core_entry`, with the page tables of the PVH entry: they map the page where this is copied to, and the image.
// What is in this page is addressed from its start, which is the segment's.
global_asm!(
    ".pushsection .rodata",
    ".code16",
    "core_trampoline:",
    "jmp 2f",
    ".balign 8",
    ".word 15", // at offset 8: limit and address of the descriptor table
    ".long pvh_gdt - {base}",
    "2:",
    "cli",
    "cld",
    "mov ax, cs",
    "mov ds, ax",
    ".byte 0x66", // the whole 32 bits of the table's address
    "lgdt [8]",
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
    "and eax, ~(1 << 29 | 1 << 30)", // CD, NW: caches on; they are off after the reset of a core
    "or eax, 1 << 31 | 1",           // PG and PE at once
    "mov cr0, eax",
    ".byte 0x66, 0xea", // a far jump, 32 bits wide, to core_long_mode in the 64-bit code segment
    ".long {trampoline} + core_long_mode - core_trampoline",
    ".word 8",
    ".code64",
    "core_long_mode:",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "movabs rax, offset {core_entry}",
    "jmp rax",
    "core_trampoline_end:",
    ".popsection",
    base = const KERNEL_BASE,
    trampoline = const TRAMPOLINE,
    core_entry = sym core_entry,
);

// The bounds of the code above.
unsafe extern "C" {
    static core_trampoline: u8;
    static core_trampoline_end: u8;
}

/// Put the code for real mode where a startup interrupt finds it.
///
/// # Safety
/// The first MiB is RAM that nobody uses, and in the direct map; the kernel's image is where it is linked.
pub(crate) unsafe fn put_trampoline() {
    let (start, end) = (&raw const core_trampoline, &raw const core_trampoline_end);
    // SAFETY: the code lies between these symbols; the rest is the caller's.
    unsafe {
        ptr::copy_nonoverlapping(start, (DIRECT_MAP + TRAMPOLINE) as *mut u8, end.addr() - start.addr())
    };
}
