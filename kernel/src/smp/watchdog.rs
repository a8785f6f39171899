//! The watch that the first core keeps over the others while it waits for them: one that does not come to the end of its part is
//! reported, instead of a machine that stands still without a word.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use super::SHARED;
use crate::arch::backtrace::Registers;
use crate::panic::{self, Failure};

/// How often a core that waits looks.
pub(super) const LOOK_MS: u32 = 1_000;

/// For how long no core may come to an end. A part of a matrix product takes milliseconds, and a host that is very busy some
/// seconds for it.
static LIMIT_NS: AtomicU64 = AtomicU64::new(120_000_000_000);

/// Be patient for so long from now on.
pub(crate) fn set_limit(limit_ns: u64) {
    LIMIT_NS.store(limit_ns, Ordering::Relaxed);
}

/// How much a look counts at most: a host that lets its machine stand still for an hour has not waited for a core that long.
const MOST_NS: u64 = 2 * LOOK_MS as u64 * 1_000_000;

/// One wait.
#[derive(Default)]
pub(super) struct Watchdog {
    /// How many cores were busy at the last look, and when that was.
    last: Option<(usize, u64)>,
    /// For how long none has come to an end.
    waited_ns: u64,
}

impl Watchdog {
    /// Look whether any of `n_others` cores has ended its part, and report those that have not when this lasts too long.
    pub(super) fn look(&mut self, now_ns: u64, n_others: usize) {
        let busy = SHARED.busy.load(Ordering::Relaxed);
        match self.last.replace((busy, now_ns)) {
            Some((was_busy, last_ns)) if was_busy == busy => {
                self.waited_ns += (now_ns - last_ns).min(MOST_NS)
            }
            _ => self.waited_ns = 0,
        }
        if self.waited_ns > LIMIT_NS.load(Ordering::Relaxed) {
            let hang = Hang { seconds: self.waited_ns / 1_000_000_000, n_others };
            panic::stop_with(Failure::Hang, &hang, Registers::here());
        }
    }
}

/// What a person reads.
struct Hang {
    seconds: u64,
    n_others: usize,
}

impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let round = SHARED.round.load(Ordering::Relaxed);
        write!(f, "hang: for {} s, no end of the work came from", self.seconds)?;
        for worker in 1..=self.n_others {
            if SHARED.ended[worker].load(Ordering::Relaxed) != round {
                write!(f, " core {}", SHARED.core_numbers[worker].load(Ordering::Relaxed))?;
            }
        }
        Ok(())
    }
}
