//! What `selftest=NAME` on the command line does instead of a chat, for the tests and for `make run`'s choice of an accelerator.

use core::arch::x86_64::*;
use core::fmt::Write;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use engine::platform::{Clock, Workers};
use x86_64::structures::DescriptorTablePointer;

use crate::arch::core_entry::MAX_OTHERS;
use crate::arch::features;
use crate::arch::tsc::Tsc;
use crate::boot::BootInfo;
use crate::console::Console;
use crate::memory::DIRECT_MAP;
use crate::smp::{self, Cores};
use crate::step;

/// Run the self-test of this name. An unknown name is said and is no failure.
pub(crate) fn run(name: &str, boot: &BootInfo, cores: &Cores, clock: &Tsc, console: &mut Console) {
    step::begin(format_args!("selftest={name}"));
    let result = match name {
        "cpu" => cpu(console),
        "cores" => meet(cores, clock, console),
        "page-fault" => page_fault(),
        "ap-fault" => fault_on_other_core(cores),
        "stack-overflow" => stack_overflow(0),
        "double-fault" => double_fault(),
        "oom" => out_of_memory(),
        "write-text" => write_to(run as *mut u8),
        "write-text-as-data" => write_to((DIRECT_MAP + boot.kernel_physical) as *mut u8),
        "write-model" => write_to(
            boot.modules
                .first()
                .map_or(ptr::null_mut(), |module| (DIRECT_MAP + module.range.start) as *mut u8),
        ),
        "execute-heap" => execute_heap(),
        "hang" => hang(cores),
        _ => {
            writeln!(
                console,
                "selftest={name} is not known; there are: cpu, cores, page-fault, ap-fault, stack-overflow, \
                 early-stack-overflow, boot-stack-overflow, double-fault, oom, hang, write-text, write-text-as-data, \
                 write-model, execute-heap"
            )
        }
    };
    debug_assert!(result.is_ok(), "the console cannot fail");
}

/// Use up the boot's stack if the self-test `name` is asked for.
pub(crate) fn overflow_boot_stack(boot: &BootInfo, name: &str) {
    if boot.option("selftest") == Some(name) {
        step::begin(format_args!("selftest={name}"));
        let result = stack_overflow(0);
        debug_assert!(result.is_ok(), "nothing is written");
    }
}

/// Compute with the vector instructions that the engine lives by. An accelerator that says it has them but cannot run them stops here.
fn cpu(console: &mut Console) -> core::fmt::Result {
    if features::has_avx2_and_fma() {
        // SAFETY: CPUID has AVX2 and FMA, and the entry enabled their registers.
        let (bytes, floats) = unsafe { (dot_bytes(), dot_floats()) };
        assert_eq!(bytes, 32 * 2 * -3, "vpmaddubsw and vpmaddwd on 32 products of 2 and -3");
        assert_eq!(floats, [1.5 * 4.0 + 0.25; 8], "vfmadd231ps on 1.5 * 4 + 0.25");
        writeln!(console, "selftest cpu: ok")
    } else {
        writeln!(console, "selftest cpu: ok (no AVX2 and FMA here)")
    }
}

/// Return 32 products of 2 and -3, summed the way the engine's integer kernels do it.
#[target_feature(enable = "avx2,fma")]
fn dot_bytes() -> i32 {
    let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(2), _mm256_set1_epi8(-3));
    let sums = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    let mut lanes = [0i32; 8];
    // SAFETY: `lanes` has room for 8 lanes of 4 bytes.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sums) };
    lanes.iter().sum()
}

/// Return 1.5 * 4 + 0.25 in each lane.
#[target_feature(enable = "avx2,fma")]
fn dot_floats() -> [f32; 8] {
    let one_and_a_half = core::hint::black_box(1.5);
    let sums = _mm256_fmadd_ps(_mm256_set1_ps(one_and_a_half), _mm256_set1_ps(4.0), _mm256_set1_ps(0.25));
    let mut lanes = [0.0; 8];
    // SAFETY: `lanes` has room for 8 lanes of 4 bytes.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sums) };
    lanes
}

/// Let the cores meet often, with pauses in which they halt, and say how long a meeting takes.
fn meet(cores: &Cores, clock: &Tsc, console: &mut Console) -> core::fmt::Result {
    const MAX_MEETINGS: u64 = 10_000;
    const LIMIT_NS: u64 = 1_000_000_000;
    let counts: [AtomicU64; MAX_OTHERS + 1] = [const { AtomicU64::new(0) }; _];
    let count = |core: usize| {
        // No atomic addition: that each core counts for itself, and that the first one sees it, is what is tested.
        counts[core].store(counts[core].load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    };
    let start_ns = clock.now_ns();
    let mut n_meetings = 0;
    while n_meetings < MAX_MEETINGS && clock.now_ns() - start_ns < LIMIT_NS {
        cores.run(&count);
        n_meetings += 1;
    }
    let meeting_ns = (clock.now_ns() - start_ns) / n_meetings;
    for _ in 0..10 {
        let wake_ns = clock.now_ns() + 20_000_000;
        while clock.now_ns() < wake_ns {
            core::hint::spin_loop();
        }
        cores.run(&count);
    }
    for (core, count) in counts.iter().take(cores.count()).enumerate() {
        assert_eq!(count.load(Ordering::Relaxed), n_meetings + 10, "the meetings of core {core}");
    }
    writeln!(console, "selftest cores: {} meet in {meeting_ns} ns: ok", cores.count())
}

/// Fault on every core but the first.
fn fault_on_other_core(cores: &Cores) -> core::fmt::Result {
    cores.run(&|core| {
        if core > 0 {
            let _ = page_fault();
        }
    });
    panic!("the fault self-test needs a second core, and this machine has {}", cores.count());
}

/// Read an address of the lower half, where nothing is mapped.
fn page_fault() -> core::fmt::Result {
    let unmapped = 0xdead_b000 as *const u8;
    // SAFETY: it is not safe, and meant so: the read faults before it yields anything.
    let byte = unsafe { unmapped.read_volatile() };
    panic!("the page fault self-test read {byte:#x} from an address that should not be mapped");
}

/// Fault where the processor finds no way to report it: in an interrupt table that ends before the page fault's entry, and then before
/// that of the general protection fault which comes of it.
fn double_fault() -> core::fmt::Result {
    let whole = x86_64::instructions::tables::sidt();
    let limit = size_of::<u128>() as u16 * 9 - 1; // up to the double fault's entry
    // SAFETY: the table is the one in use, and what is left out of it is left out on purpose.
    unsafe { x86_64::instructions::tables::lidt(&DescriptorTablePointer { limit, ..whole }) };
    page_fault()
}

/// Let the last core never come to an end.
fn hang(cores: &Cores) -> core::fmt::Result {
    smp::set_limit(2_000_000_000);
    let last = cores.count() - 1;
    assert!(last > 0, "the hang self-test needs a second core");
    cores.run(&|core| {
        if core == last {
            loop {
                core::hint::spin_loop();
            }
        }
    });
    panic!("the hang self-test went on without core {last}");
}

/// Write to where nobody may.
fn write_to(address: *mut u8) -> core::fmt::Result {
    // SAFETY: it is not safe, and meant so: the write faults before anything is changed.
    unsafe { address.write_volatile(0) };
    panic!("the self-test wrote to {address:?}");
}

/// Run an instruction that lies in the heap.
fn execute_heap() -> core::fmt::Result {
    const RETURN: u8 = 0xc3;
    let code = core::hint::black_box(alloc::vec![RETURN; 16]);
    // SAFETY: it is not safe, and meant so: fetching the instruction faults.
    let function = unsafe { core::mem::transmute::<*const u8, extern "C" fn()>(code.as_ptr()) };
    function();
    panic!("the self-test ran code in the heap");
}

/// Use the stack up, some 500 bytes a call.
fn stack_overflow(calls: u64) -> core::fmt::Result {
    let frame = core::hint::black_box([calls; 64]);
    if calls == u64::MAX {
        panic!("the stack overflow self-test found no end of the stack");
    }
    stack_overflow(calls + 1)?;
    core::hint::black_box(frame);
    Ok(())
}

/// Ask for more memory than any machine has.
fn out_of_memory() -> core::fmt::Result {
    let bytes = alloc::vec![0u8; 1 << 60];
    panic!("the out-of-memory self-test got {} bytes", core::hint::black_box(bytes).len());
}
