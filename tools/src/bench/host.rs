//! What this host can do at most, to hold the speed of a model against: measured in this process and on the same threads.

use std::fs;
use std::hint::black_box;
use std::time::Instant;

use engine::platform::Workers;

/// How many 64-bit words are read from the memory: 256 MiB, more than most caches hold.
const N_WORDS: usize = 1 << 25;

/// What a cache line holds.
const WORDS_PER_LINE: usize = 8;

/// How often everything is read; the best counts.
const N_READS: usize = 5;

/// How often the cores meet, to tell what one meeting takes.
const N_MEETINGS: u32 = 10_000;

/// What some threads of this host can do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    /// The bytes per second that all of them together read from the memory, in GB.
    pub(super) read_gb_s: f64,
    /// The time to hand out a task that does nothing and to wait until all have done it.
    pub(super) meeting_ns: f64,
}

impl Host {
    /// Measure `workers`, which takes a fraction of a second.
    pub(super) fn measure(workers: &dyn Workers) -> Self {
        let words = vec![1; N_WORDS];
        let share = words.len() / workers.count();
        let read_s = best_s(N_READS, || {
            workers.run(&|core| {
                black_box(sums(&words[core * share..][..share]));
            });
        });
        let meetings_s = best_s(N_READS, || {
            for _ in 0..N_MEETINGS {
                workers.run(&|core| {
                    black_box(core);
                });
            }
        });
        Self {
            read_gb_s: size_of_val(&words[..]) as f64 / read_s / 1e9,
            meeting_ns: meetings_s * 1e9 / f64::from(N_MEETINGS),
        }
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

/// Return sums of `words`, read in four streams, as it takes to keep the memory busy.
fn sums(words: &[u64]) -> [u64; WORDS_PER_LINE] {
    let lines = words.as_chunks::<WORDS_PER_LINE>().0;
    let mut streams = lines.chunks_exact(lines.len() / 4);
    let mut next = || streams.next().unwrap_or_default();
    let mut sums = [0; WORDS_PER_LINE];
    for (((a, b), c), d) in next().iter().zip(next()).zip(next()).zip(next()) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += a[i] + b[i] + c[i] + d[i];
        }
    }
    sums
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
    fn every_word_is_read() {
        assert_eq!(sums(&[1; 1024]).iter().sum::<u64>(), 1024);
    }

    #[test]
    fn the_peak_counts_what_was_given_back() {
        let before = peak_bytes();
        drop(black_box(vec![1_u8; 64 << 20]));
        assert!(peak_bytes() >= before.max(64 << 20));
    }
}
