//! What a host must give the engine: a clock, cores, and a seed.
//!
//! The kernel implements these over the TSC, the other cores and RDRAND; the host tools over `std`.

/// A monotonic clock.
pub trait Clock {
    /// Return the nanoseconds since the host started (the kernel's entry, the process's start).
    fn now_ns(&self) -> u64;
}

/// The cores that share one forward pass.
pub trait Workers: Sync {
    /// Return how many cores take part, at least 1.
    fn count(&self) -> usize;

    /// Run `task(core)` once for each core in `0..count()`, in parallel, and return when all are done.
    ///
    /// What a core wrote before the end of `task` is visible to the caller afterwards.
    fn run(&self, task: &(dyn Fn(usize) + Sync));
}

/// The one core that calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneCore;

impl Workers for OneCore {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        task(0);
    }
}

/// A source of seeds for sampling.
pub trait Entropy {
    /// Return 64 bits that differ from run to run.
    fn seed(&self) -> u64;
}
