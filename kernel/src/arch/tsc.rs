//! The clock: the time stamp counter, which counts from the kernel's entry.
//!
//! Its rate comes from what the machine states (CPUID, the hypervisor) and from a measurement beside another timer, at every boot: an
//! emulator or a firmware that states a wrong one is found out. `/log` tells what was found; the boot line says which counts.
//! Taken as given: the counter runs at one rate (every x86_64 processor since about 2008) and is in step on all cores.

use core::arch::x86_64::_rdtsc;
use core::fmt;

use clock::{Rate, Rates, Source};
use engine::platform::Clock;

use super::features::cpuid;
use super::pit;

/// A clock over the time stamp counter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tsc {
    entry: u64,
    rates: Rates,
    /// The best of them.
    hz: u64,
}

impl Tsc {
    /// Return the clock that showed 0 when the counter showed `entry`.
    pub(crate) fn since(entry: u64) -> Self {
        Self::with(entry, Rates { stated: stated(), measured: pit::rate() })
    }

    fn with(entry: u64, rates: Rates) -> Self {
        Self { entry, rates, hz: rates.best().hz }
    }

    /// Return whether its rate was measured.
    pub(crate) fn is_measured(&self) -> bool {
        self.rates.measured.is_some()
    }

    /// Return the same clock with the rate that was measured later, if any was.
    pub(crate) fn measured(self, measured: Option<Rate>) -> Self {
        Self::with(self.entry, Rates { measured, ..self.rates })
    }

    /// Write to the log how fast it is, and who says otherwise.
    pub(crate) fn log(&self) {
        match self.rates {
            Rates { stated: Some(stated), measured: Some(measured) } if self.rates.disagree() => log::warn!(
                "the clock: stated are {stated}, measured {measured}, more than 1 % apart; the measurement counts"
            ),
            Rates { stated: Some(stated), measured: Some(measured) } => {
                log::info!("the clock runs at {stated}; measured {measured}");
            }
            _ => log::info!("the clock runs at {self}"),
        }
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
        self.rates.best().fmt(f)
    }
}

/// Return the counter.
pub(crate) fn now() -> u64 {
    // SAFETY: RDTSC exists on every x86_64 and CR4.TSD does not concern ring 0.
    unsafe { _rdtsc() }
}

/// Return the rate that the machine states, by the first of its ways that is there.
fn stated() -> Option<Rate> {
    let cpuid = cpuid();
    let crystal = || cpuid.get_tsc_info()?.tsc_frequency();
    let hypervisor = || Some(u64::from(cpuid.get_hypervisor_info()?.tsc_frequency()?) * 1_000);
    let base =
        || Some(u64::from(cpuid.get_processor_frequency_info()?.processor_base_frequency()) * 1_000_000);
    let ways: [(Source, &dyn Fn() -> Option<u64>); 3] =
        [(Source::Crystal, &crystal), (Source::Hypervisor, &hypervisor), (Source::BaseFrequency, &base)];
    ways.into_iter().find_map(|(source, way)| way().filter(|&hz| hz > 0).map(|hz| Rate { hz, source }))
}
