//! How fast the time stamp counter counts: measured, stated by somebody, or both.

use core::fmt;

/// Who knows a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// CPUID leaf 15h: the crystal's frequency, and what it is multiplied by (Intel SDM vol. 3, 19.7.3).
    Crystal,
    /// The hypervisor, by its timing leaf 4000_0010h (VMware's, which KVM has as well).
    Hypervisor,
    /// CPUID leaf 16h: the processor's base frequency, at which the counter runs, in whole MHz.
    BaseFrequency,
    /// A measurement beside the interval timer, an Intel 8254.
    Pit,
    /// A measurement beside the High Precision Event Timer.
    Hpet,
    /// Nobody.
    Guess,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crystal => "CPUID 15h",
            Self::Hypervisor => "hypervisor",
            Self::BaseFrequency => "CPUID 16h",
            Self::Pit => "PIT",
            Self::Hpet => "HPET",
            Self::Guess => "a guess: times are wrong",
        })
    }
}

/// A rate, and who knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Counts in a second, not 0.
    pub hz: u64,
    /// Who says so.
    pub source: Source,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MHz ({})", self.hz / 1_000_000, self.source)
    }
}

/// What is known of the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// What the machine says of itself.
    pub stated: Option<Rate>,
    /// What came of a measurement.
    pub measured: Option<Rate>,
}

impl Rates {
    /// Where nobody knows anything.
    const GUESS: Rate = Rate { hz: 1_000_000_000, source: Source::Guess };

    /// Return the rate to go by: the stated one, which is exact, unless the measurement contradicts it.
    pub fn best(&self) -> Rate {
        match (self.stated, self.measured) {
            (_, Some(measured)) if self.disagree() => measured,
            (Some(rate), _) | (None, Some(rate)) => rate,
            (None, None) => Self::GUESS,
        }
    }

    /// Return whether the two differ by more than 1 %, which is more than a measurement errs by.
    pub fn disagree(&self) -> bool {
        let (Some(stated), Some(measured)) = (self.stated, self.measured) else { return false };
        stated.hz.abs_diff(measured.hz) > measured.hz / 100
    }
}

/// A reference that has not moved after so many looks does not count at all.
const LOOKS_AT_REST: usize = 1_000;

/// The most looks of one measurement. A look takes some 100 ns at least, so these are more than its time.
const MAX_LOOKS: usize = 1_000_000;

/// Return how far a counter moves in a second, measured beside a reference of `reference_hz`: `look` returns where both are, the
/// reference first. `None` if the reference does not count.
///
/// A disturbance (a host that schedules another process) only ever makes a measurement too high, so that the lowest of three is the
/// best. Each takes 5 ms.
pub fn measure(reference_hz: u64, mut look: impl FnMut() -> (u64, u64)) -> Option<u64> {
    let mut once = || {
        let (reference_start, start) = look();
        for n_looks in 0..MAX_LOOKS {
            let (reference, counter) = look();
            let passed = reference - reference_start;
            if passed >= reference_hz / 200 {
                let hz = u128::from(counter - start) * u128::from(reference_hz) / u128::from(passed);
                return u64::try_from(hz).ok().filter(|&hz| hz > 0);
            }
            if passed == 0 && n_looks >= LOOKS_AT_REST {
                return None;
            }
        }
        None
    };
    [once()?, once()?, once()?].into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::{Rate, Rates, Source, measure};

    const MEASURED: Rate = Rate { hz: 2_000_000_000, source: Source::Pit };

    fn stated(hz: u64) -> Rate {
        Rate { hz, source: Source::Crystal }
    }

    #[test]
    fn what_is_stated_counts_as_long_as_the_measurement_agrees_within_a_hundredth() {
        for (hz, agrees) in [
            (2_000_000_000, true),
            (1_980_000_000, true),
            (2_020_000_000, true),
            (1_979_999_999, false),
            (2_020_000_001, false),
            (1, false),
            (u64::MAX, false),
        ] {
            let rates = Rates { stated: Some(stated(hz)), measured: Some(MEASURED) };
            assert_eq!(rates.disagree(), !agrees, "{hz}");
            assert_eq!(rates.best(), if agrees { stated(hz) } else { MEASURED }, "{hz}");
        }
    }

    #[test]
    fn one_that_is_alone_counts_and_without_any_it_is_said_to_be_a_guess() {
        let alone = Rates { stated: Some(stated(5)), measured: None };
        assert_eq!((alone.best(), alone.disagree()), (stated(5), false));
        let alone = Rates { stated: None, measured: Some(MEASURED) };
        assert_eq!((alone.best(), alone.disagree()), (MEASURED, false));
        let none = Rates { stated: None, measured: None }.best();
        assert_eq!(none.to_string(), "1000 MHz (a guess: times are wrong)");
        assert_eq!(MEASURED.to_string(), "2000 MHz (PIT)");
    }

    /// Return what is measured of a counter of 3 GHz beside a reference of 1 MHz, where a look takes 1 µs and look number `n`
    /// is held up for `held_up(n)` µs between its two halves.
    fn measured(held_up: impl Fn(u64) -> u64) -> Option<u64> {
        let (mut n, mut now_us) = (0, 0);
        measure(1_000_000, || {
            (n, now_us) = (n + 1, now_us + 1);
            let reference = now_us;
            now_us += held_up(n);
            (reference, now_us * 3_000)
        })
    }

    #[test]
    fn a_counter_is_measured_beside_a_reference() {
        assert_eq!(measured(|_| 0), Some(3_000_000_000));
    }

    #[test]
    fn a_disturbance_of_two_measurements_of_three_does_not_matter() {
        // A measurement is 5,001 looks: the last ones of the first two are held up.
        let disturbed = measured(|n| if n == 5_001 || n == 10_002 { 900 } else { 0 });
        assert_eq!(disturbed, Some(3_000_000_000));
        assert!(measured(|n| if n % 5_001 == 0 { 900 } else { 0 }) > Some(3_100_000_000));
    }

    #[test]
    fn a_reference_that_stands_still_is_none() {
        let mut n_looks = 0;
        let look = || {
            n_looks += 1;
            (7, n_looks)
        };
        assert_eq!(measure(1_000_000, look), None);
        assert!(n_looks < 2_000, "{n_looks} looks");
        // So is a counter, which no clock can be made of.
        let mut reference = 0;
        let look = || {
            reference += 1;
            (reference, 7)
        };
        assert_eq!(measure(1_000_000, look), None);
    }
}
