//! The clock: the time stamp counter, which counts from the kernel's entry.
//!
//! Its rate comes from CPUID leaf 15h, else from the hypervisor, else from a measurement against the PIT; the boot line says which.
//! Taken as given: the counter runs at one rate (every x86_64 processor since about 2008) and is in step on all cores.

use core::arch::x86_64::_rdtsc;
use core::fmt;

use engine::platform::Clock;
use x86_64::instructions::port::Port;

use super::features::cpuid;

/// A clock over the time stamp counter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tsc {
    entry: u64,
    hz: u64,
    source: Source,
}

/// Where the rate of the counter is known from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Cpuid,
    Hypervisor,
    Pit,
    Guess,
}

impl Tsc {
    /// Return the clock that showed 0 when the counter showed `entry`.
    pub(crate) fn since(entry: u64) -> Self {
        let (hz, source) = cpuid_hz()
            .map(|hz| (hz, Source::Cpuid))
            .or_else(|| hypervisor_hz().map(|hz| (hz, Source::Hypervisor)))
            .or_else(|| pit_hz().map(|hz| (hz, Source::Pit)))
            .unwrap_or((1_000_000_000, Source::Guess));
        Self { entry, hz, source }
    }

    /// Look until it is `done`, for some milliseconds at most, and return whether it is.
    pub(crate) fn wait_until(&self, limit_ms: u64, mut done: impl FnMut() -> bool) -> bool {
        let deadline_ns = self.now_ns() + limit_ms * 1_000_000;
        loop {
            // The clock first: who was not running for long looks once more.
            let is_late = self.now_ns() >= deadline_ns;
            if done() {
                return true;
            }
            if is_late {
                return false;
            }
            core::hint::spin_loop();
        }
    }

    /// Do nothing for some milliseconds.
    pub(crate) fn pause(&self, milliseconds: u64) {
        self.wait_until(milliseconds, || false);
    }
}

impl Clock for Tsc {
    fn now_ns(&self) -> u64 {
        let ticks = u128::from(now().wrapping_sub(self.entry));
        (ticks * 1_000_000_000 / u128::from(self.hz)) as u64
    }
}

impl fmt::Display for Tsc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::Cpuid => "CPUID",
            Source::Hypervisor => "hypervisor",
            Source::Pit => "PIT",
            Source::Guess => "a guess: times are wrong",
        };
        write!(f, "{} MHz ({source})", self.hz / 1_000_000)
    }
}

/// Return the counter.
pub(crate) fn now() -> u64 {
    // SAFETY: RDTSC exists on every x86_64 and CR4.TSD does not concern ring 0.
    unsafe { _rdtsc() }
}

/// Return the rate by CPUID leaf 15h (Intel SDM vol. 3, 19.7.3), where the crystal's frequency is given too.
fn cpuid_hz() -> Option<u64> {
    cpuid().get_tsc_info()?.tsc_frequency()
}

/// Return the rate by the hypervisor's timing leaf 4000_0010h (VMware's, which KVM has as well).
fn hypervisor_hz() -> Option<u64> {
    let khz = cpuid().get_hypervisor_info()?.tsc_frequency()?;
    (khz > 0).then_some(u64::from(khz) * 1000)
}

/// The PIT's input clock in Hz (Intel 8254).
const PIT_HZ: u64 = 1_193_182;

/// How long one measurement takes.
const PIT_TICKS: u16 = (PIT_HZ / 200) as u16;

/// A PIT that has not counted so far after so many looks is not there. A look takes some 100 ns at least.
const PIT_PATIENCE: usize = 1_000_000;

/// Return the rate measured against the PIT.
///
/// A disturbance (a host that schedules another process) only ever makes a measurement too high, so the lowest of three is the
/// best.
fn pit_hz() -> Option<u64> {
    [measure()?, measure()?, measure()?].into_iter().min()
}

/// Return how far the counter moves in a second, from [`PIT_TICKS`] of the PIT's channel 0; `None` if it does not count.
fn measure() -> Option<u64> {
    let mut command = Port::<u8>::new(0x43);
    let mut channel_0 = Port::<u8>::new(0x40);

    // SAFETY: these are the PIT's ports or nothing. Nobody waits for channel 0's interrupt.
    unsafe {
        command.write(0b0011_0000); // channel 0; low, then high byte; mode 0: count down once
        channel_0.write(0xff);
        let begin = now();
        channel_0.write(0xff);
        for _ in 0..PIT_PATIENCE {
            command.write(0b0000_0000); // channel 0: hold the count for reading
            let end = now();
            let count = u16::from_le_bytes([channel_0.read(), channel_0.read()]);
            let ticks = u16::MAX - count;
            if ticks >= PIT_TICKS {
                return Some((end - begin) * PIT_HZ / u64::from(ticks));
            }
        }
    }
    None
}
