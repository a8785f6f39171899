//! The cores of this host as the engine's [`Workers`]: a few threads that wait for the next task.
//!
//! A forward pass hands out hundreds of tasks of some microseconds each, so a helper spins for the next one before it
//! goes to sleep; between answers all of them sleep. It is no general thread pool: one task at a time, run by all.

use std::hint;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use engine::platform::Workers;

/// How often a helper looks for the next task before it sleeps: about a millisecond, more than the sampling between
/// two tokens takes.
const SPINS_BEFORE_SLEEP: u32 = 20_000;

/// How often the caller looks whether the helpers are done before it lets other threads of the host run.
const SPINS_BEFORE_YIELD: u32 = 2_000;

type Task = &'static (dyn Fn(usize) + Sync);

/// The calling thread and `count() - 1` helpers.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held while a task runs, so that callers on several threads take turns.
    turn: Mutex<()>,
}

/// What the caller and the helpers share.
#[derive(Default)]
struct Shared {
    /// The task of the current round.
    task: RwLock<Option<Task>>,
    /// Counts the rounds; a helper that sees it grow has a task to run.
    round: AtomicUsize,
    /// How many helpers are not yet done with the current round.
    busy: AtomicUsize,
    /// Whether a helper's task panicked in the current round.
    panicked: AtomicBool,
    /// Whether the helpers are to end.
    ended: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("round", &self.round).field("busy", &self.busy).finish_non_exhaustive()
    }
}

impl Pool {
    /// Return a pool of `count` cores, the caller's among them, so at least 1.
    pub fn new(count: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let helper = |core| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.help(core))
        };
        let helpers = (1..count).map(helper).collect();
        Self { shared, helpers, turn: Mutex::new(()) }
    }

    /// Return a pool of as many cores as this process may use.
    pub fn of_this_host() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Workers for Pool {
    fn count(&self) -> usize {
        self.helpers.len() + 1
    }

    fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        // A caller that panicked in its turn has waited for its helpers before, so the next turn starts clean.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. Helpers call the task only between the growth of `round` and their decrement
        // of `busy`; this function does not return or unwind before `busy` is 0 again, so every call ends
        // while `task` is borrowed. Afterwards the reference may dangle in `shared.task`, so it is taken out.
        let task_for_helpers = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Task>(task) };
        shared.set_task(Some(task_for_helpers));
        shared.busy.store(self.helpers.len(), Ordering::Relaxed);
        shared.round.fetch_add(1, Ordering::Release);
        for helper in &self.helpers {
            helper.thread().unpark();
        }

        let own = panic::catch_unwind(AssertUnwindSafe(|| task(0)));
        let mut spins = 0;
        // Acquire: what the helpers wrote before their decrement is visible from here on.
        while shared.busy.load(Ordering::Acquire) != 0 {
            if spins < SPINS_BEFORE_YIELD {
                spins += 1;
                hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
        shared.set_task(None);

        let helper_panicked = shared.panicked.swap(false, Ordering::Relaxed);
        if let Err(payload) = own {
            panic::resume_unwind(payload);
        }
        assert!(!helper_panicked, "a task panicked on another core; its message is above");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.shared.round.fetch_add(1, Ordering::Release);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // A helper catches its tasks' panics, so there is nothing that its end could tell.
            let _ = helper.join();
        }
    }
}

impl Shared {
    fn set_task(&self, task: Option<Task>) {
        *self.task.write().unwrap_or_else(PoisonError::into_inner) = task;
    }

    /// Run each round's task as `core`, until the pool ends.
    fn help(&self, core: usize) {
        let mut seen = 0;
        loop {
            seen = self.next_round(seen);
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let task = *self.task.read().unwrap_or_else(PoisonError::into_inner);
            let task = task.expect("a round starts after its task is set and ends before it is taken out");
            if panic::catch_unwind(AssertUnwindSafe(|| task(core))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.busy.fetch_sub(1, Ordering::Release);
        }
    }

    /// Wait until the round is another one than `seen` and return it.
    fn next_round(&self, seen: usize) -> usize {
        let mut spins = 0;
        loop {
            // Acquire: the task, and all that the caller wrote before it, is visible from here on.
            let round = self.round.load(Ordering::Acquire);
            if round != seen {
                return round;
            }
            if spins < SPINS_BEFORE_SLEEP {
                spins += 1;
                hint::spin_loop();
            } else {
                thread::park(); // an unpark that came before makes it return at once, so no round is slept through
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_core_runs_each_task_once_and_its_writes_are_seen() {
        let pool = Pool::new(4);
        let counts: [AtomicUsize; 4] = Default::default();
        for round in 1..=2_000 {
            // Relaxed on purpose: `run` itself must order these.
            pool.run(&|core| counts[core].store(counts[core].load(Ordering::Relaxed) + 1, Ordering::Relaxed));
            assert_eq!(counts.each_ref().map(|count| count.load(Ordering::Relaxed)), [round; 4]);
        }
    }

    #[test]
    fn callers_on_several_threads_take_turns() {
        let pool = Pool::new(3);
        let running = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(&|core| {
                            if core == 0 {
                                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                                running.fetch_sub(1, Ordering::SeqCst);
                            }
                        });
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_on_any_core_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2);
        for bad in 0..2 {
            let result = panic::catch_unwind(AssertUnwindSafe(|| pool.run(&|core| assert_ne!(core, bad))));
            assert!(result.is_err());
        }
        let ran = AtomicUsize::new(0);
        pool.run(&|_| {
            ran.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn helpers_that_sleep_wake_up_for_the_next_task() {
        let pool = Pool::new(2);
        thread::sleep(std::time::Duration::from_millis(50));
        let ran = AtomicUsize::new(0);
        pool.run(&|_| {
            ran.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    }
}
