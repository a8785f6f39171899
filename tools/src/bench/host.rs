//! What this host can do at most, to hold the speed of a model against: measured in this process and on the same threads.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result};
use engine::cpu::{Kernels, LINE_BYTES, Numbers};
use engine::platform::Workers;
use memmap2::{Advice, MmapMut};

/// How many bytes are read from the memory: 256 MiB, more than most caches hold.
const N_BYTES: usize = 1 << 28;

/// How often everything is measured; the best counts.
const N_TIMES: usize = 5;

/// How often the cores meet, to tell what one meeting takes.
const N_MEETINGS: u32 = 10_000;

/// How many rounds of multiply-adds are timed: some milliseconds.
const N_ROUNDS: usize = 1 << 20;

/// What some threads of this host can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    /// How many threads.
    pub(crate) n_threads: usize,
    /// The bytes per second that all of them together read from the memory, in GB.
    pub(crate) read_gb_s: f64,
    /// The time to hand out a task that does nothing and to wait until all have done it.
    pub(crate) meeting_ns: f64,
    /// What all of them together multiply and add of each of [`Numbers::ALL`] with nothing to load, a multiply-add being two
    /// operations: in thousand millions a second.
    pub(crate) gop_s: [f64; 3],
}

impl Host {
    /// Measure `workers` with the instruction set of `kernels`, which takes a fraction of a second.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn measure(workers: &dyn Workers, kernels: &Kernels) -> Result<Self> {
        let mut bytes = MmapMut::map_anon(N_BYTES).context("memory to be read")?;
        // In huge pages, as a model lies; where the host has none, it goes without.
        let _ = bytes.advise(Advice::HugePage);
        bytes.fill(1);
        let lines = bytes.as_chunks::<LINE_BYTES>().0;
        let share = lines.len() / workers.count();
        let read_s = best_s(N_TIMES, || {
            workers.run(&|core| {
                black_box(kernels.read(&lines[core * share..][..share]));
            });
        });
        let meetings_s = best_s(N_TIMES, || {
            for _ in 0..N_MEETINGS {
                workers.run(&|core| {
                    black_box(core);
                });
            }
        });
        let gop_s = Numbers::ALL.map(|numbers| {
            let n_done = 2 * kernels.multiply_add(numbers, 1) * N_ROUNDS * workers.count();
            let seconds = best_s(N_TIMES, || {
                workers.run(&|_| {
                    black_box(kernels.multiply_add(numbers, N_ROUNDS));
                });
            });
            n_done as f64 / seconds / 1e9
        });
        Ok(Self {
            n_threads: workers.count(),
            read_gb_s: N_BYTES as f64 / read_s / 1e9,
            meeting_ns: meetings_s * 1e9 / f64::from(N_MEETINGS),
            gop_s,
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_threads, read_gb_s, meeting_ns, gop_s: [floats, halves, bytes] } = self;
        write!(
            f,
            "threads {n_threads}: memory is read at {read_gb_s:.1} GB/s, a meeting takes {meeting_ns:.0} ns; \
             arithmetic does {floats:.0} GFLOP/s of floats, {halves:.0} of halves, {bytes:.0} GOP/s of bytes"
        )
    }
}

/// Return how many seconds `work` takes at least, of `n` times.
fn best_s(n: usize, mut work: impl FnMut()) -> f64 {
    let seconds = (0..n).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min)
}

/// Return the most memory that this process has had, in bytes (`VmHWM`, proc_pid_status(5)); 0 where the host does not say.
pub(super) fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
    kib.unwrap_or(0_u64) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_counts_what_was_given_back() {
        let before = peak_bytes();
        drop(black_box(vec![1_u8; 64 << 20]));
        assert!(peak_bytes() >= before.max(64 << 20));
    }
}
