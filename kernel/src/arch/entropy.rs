//! Seeds for sampling: what RDSEED and RDRAND give, mixed with the time.
//!
//! Not for cryptography. On a processor with neither instruction the time since the machine was switched on must do.

use core::arch::x86_64::{_rdrand64_step, _rdseed64_step, _rdtsc};

use engine::platform::Entropy;

use super::features::cpuid;

/// The generator may be empty for a moment; Intel's DRNG guide asks for ten tries.
const TRIES: usize = 10;

/// The processor's own sources of chance.
pub(crate) struct HardwareEntropy;

impl Entropy for HardwareEntropy {
    fn seed(&self) -> u64 {
        // SAFETY: RDTSC exists on every x86_64 and CR4.TSD does not concern ring 0.
        let time = unsafe { _rdtsc() };
        [time, rdseed(), rdrand()].into_iter().fold(0, |seed, part| mix(seed ^ part))
    }
}

/// Return 64 bits of RDSEED, 0 if it is not there or has none.
fn rdseed() -> u64 {
    if !cpuid().get_extended_feature_info().is_some_and(|f| f.has_rdseed()) {
        return 0;
    }
    // SAFETY: CPUID has RDSEED.
    first_success(|value| unsafe { _rdseed64_step(value) })
}

/// Return 64 bits of RDRAND, 0 if it is not there or has none.
fn rdrand() -> u64 {
    if !cpuid().get_feature_info().is_some_and(|f| f.has_rdrand()) {
        return 0;
    }
    // SAFETY: CPUID has RDRAND.
    first_success(|value| unsafe { _rdrand64_step(value) })
}

fn first_success(mut step: impl FnMut(&mut u64) -> i32) -> u64 {
    let mut value = 0;
    (0..TRIES).find(|_| step(&mut value) == 1).map_or(0, |_| value)
}

/// Spread every input bit over the output: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
