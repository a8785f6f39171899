//! The other cores as the engine's [`Workers`]: they wait for a task, run their part of it, and wait again.
//!
//! A forward pass hands out hundreds of tasks of some microseconds, so that who waits looks for a while; then it halts, and costs
//! nothing until another core's interrupt wakes it. That also lets a host that has fewer processors than this machine run those that
//! are waited for. There is one task at a time, run by all.

mod team;
pub(crate) mod wake;
mod watchdog;

use core::cell::UnsafeCell;
use core::hint;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use engine::platform::{Clock, Workers};
use spin::Once;

use crate::arch::apic::Apic;
use crate::arch::core_entry::{CoreStart, MAX_OTHERS};
use crate::arch::tsc::Tsc;
use crate::arch::{self, features, idt, machine_check};
use crate::memory;
use team::TEAM;
use watchdog::Watchdog;
pub(crate) use watchdog::set_limit;

/// The most cores that there can be.
pub(crate) const MAX_CORES: usize = MAX_OTHERS + 1;

/// How often a core looks before it halts: some 100 µs, a hundred times what a halt and a waking cost.
const LOOKS_BEFORE_HALT: u32 = 2_000;

type Task = &'static (dyn Fn(usize) + Sync);

/// What the first core and the others share.
struct Shared {
    /// The task of the current round.
    task: UnsafeCell<Option<Task>>,
    /// Counts the rounds; a core that sees it grow has a task to run.
    round: AtomicUsize,
    /// How many cores are not yet done with the current round.
    busy: AtomicUsize,
    /// Which cores have halted, or are about to.
    halted: [AtomicBool; MAX_CORES],
    /// The last round that each worker has ended, and which core it is.
    ended: [AtomicUsize; MAX_CORES],
    core_numbers: [AtomicUsize; MAX_CORES],
}

// SAFETY: only the first core writes the task, before a round begins and after it has ended; the others read it in between.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared {
    task: UnsafeCell::new(None),
    round: AtomicUsize::new(0),
    busy: AtomicUsize::new(0),
    halted: [const { AtomicBool::new(false) }; _],
    ended: [const { AtomicUsize::new(0) }; _],
    core_numbers: [const { AtomicUsize::new(0) }; _],
};

/// All cores that compute, once they are known.
static CORES: Once<Cores> = Once::new();

/// All cores that compute. Only the first core hands tasks out.
pub(crate) struct Cores {
    /// This core's, to wake the others with.
    apic: Apic,
    clock: Tsc,
    /// The first core's number for interrupts.
    first_apic_id: u32,
    /// The others'.
    apic_ids: &'static [u32],
}

impl Workers for Cores {
    fn count(&self) -> usize {
        self.apic_ids.len() + 1
    }

    fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        if self.apic_ids.is_empty() {
            return task(0);
        }
        // SAFETY: only the lifetime changes. The others call the task only between the growth of `round` and their decrement of
        // `busy`, and this function does not return before `busy` is 0 again.
        let for_others = unsafe { core::mem::transmute::<&(dyn Fn(usize) + Sync), Task>(task) };
        // SAFETY: no round runs, so that nobody reads the task: only the first core runs what calls this, and a task does not.
        unsafe { *SHARED.task.get() = Some(for_others) };
        SHARED.busy.store(self.apic_ids.len(), Ordering::Relaxed);
        SHARED.round.fetch_add(1, Ordering::SeqCst);
        for (core, &apic_id) in (1..).zip(self.apic_ids) {
            wake_if_halted(core, apic_id, &self.apic);
        }
        task(0);
        self.wait_for_others();
    }
}

impl Cores {
    /// Wait until all others are done with the round. One that never is, is reported.
    fn wait_for_others(&self) {
        let is_over = || SHARED.busy.load(Ordering::SeqCst) == 0;
        let mut watchdog = Watchdog::default();
        wait_until(0, is_over, || {
            self.apic.wait(watchdog::LOOK_MS);
            if !is_over() {
                watchdog.look(self.clock.now_ns(), self.apic_ids.len());
            }
        });
    }
}

/// Stop all cores but this one for ever, for a report that they must not disturb. Each halts when it comes to report the interrupt.
pub(crate) fn stop_others() {
    let Some(Cores { apic, first_apic_id, apic_ids, .. }) = CORES.get() else { return };
    for &apic_id in apic_ids.iter().chain([first_apic_id]).filter(|&&apic_id| apic_id != features::apic_id())
    {
        apic.interrupt(apic_id);
    }
}

/// Return how many cores [`stop_others`] stops.
pub(crate) fn n_others() -> usize {
    CORES.get().map_or(0, |cores| cores.apic_ids.len())
}

/// Make a core that has come one of ours, and let it work for ever, or halt when it is not needed.
pub(crate) extern "C" fn join(start: &'static mut CoreStart, number: u64) -> ! {
    let CoreStart { exception_stacks, segments, apic, .. } = start;
    memory::set_up_core();
    arch::set_core_number(number as usize + 1);
    segments.load(*exception_stacks);
    idt::load();
    machine_check::enable();
    apic.take_this_core();
    let worker = TEAM.lock().join(features::physical_core(), features::apic_id());
    match worker {
        Some(worker) => help(worker, apic),
        None => arch::halt(),
    }
}

/// Run each round's task as `worker`, counted from 1.
fn help(worker: usize, apic: &Apic) -> ! {
    SHARED.core_numbers[worker].store(arch::core_number(), Ordering::Relaxed);
    let mut seen = 0;
    loop {
        wait_until(worker, || SHARED.round.load(Ordering::SeqCst) != seen, || apic.halt());
        seen += 1; // the next round begins when this core is done with the one before
        // SAFETY: the round was seen to grow, so that the task is there and stays until this core is done.
        let task = unsafe { *SHARED.task.get() }.expect("a round begins after its task is there");
        task(worker);
        SHARED.ended[worker].store(seen, Ordering::Relaxed);
        if SHARED.busy.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some(cores) = CORES.get()
        {
            wake_if_halted(0, cores.first_apic_id, apic);
        }
    }
}

/// Let core `core` wait, looking and then halted by `halt`, until `is_over`.
///
/// What is looked at, and whether the core has halted, is read and written in one order that all cores see: either this core sees
/// that it is over, or who ends it sees that this core has halted. What others wrote before is visible then.
fn wait_until(core: usize, is_over: impl Fn() -> bool, mut halt: impl FnMut()) {
    for _ in 0..LOOKS_BEFORE_HALT {
        if is_over() {
            return;
        }
        hint::spin_loop();
    }
    while !is_over() {
        SHARED.halted[core].store(true, Ordering::SeqCst);
        if !is_over() {
            // Interrupts were off until here, so that one that has come already ends the halt.
            halt();
        }
        SHARED.halted[core].store(false, Ordering::Relaxed);
    }
}

/// Wake core `core` if it waits halted.
fn wake_if_halted(core: usize, apic_id: u32, apic: &Apic) {
    if SHARED.halted[core].load(Ordering::SeqCst) {
        apic.wake(apic_id);
    }
}
