//! Numbers as a person reads them.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// Return `bytes` in decimal megabytes: `98.4 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Return `bytes` in megabytes or, from a thousand of them on, in gigabytes: `1.17 GB`.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        // Half of the last digit below the step, as in `parameters`.
        0..999_950_000 => megabytes(bytes),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// Return a number of weights in the form that models are named by: `260K`, `135M`, `1.1B`.
pub(crate) fn parameters(n: u64) -> String {
    match n {
        0..1_000 => format!("{n}"),
        // Half of the last digit below the step, so that rounding never writes 1000K.
        1_000..999_500 => format!("{:.0}K", n as f64 / 1e3),
        999_500..999_500_000 => format!("{:.0}M", n as f64 / 1e6),
        _ => format!("{:.1}B", n as f64 / 1e9),
    }
}

/// Return `bytes` in binary units, as llama-bench has them: `93.81 MiB`, `1.08 GiB`.
pub(crate) fn binary(bytes: u64) -> String {
    match bytes {
        0..0x4000_0000 => format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// Return nanoseconds in seconds with two decimals: `0.41`.
pub(crate) fn seconds(ns: u64) -> String {
    format!("{:.2}", Duration::from_nanos(ns).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::{binary, bytes, megabytes, parameters, seconds};

    #[test]
    fn writes_sizes_as_models_are_named() {
        assert_eq!(megabytes(98_362_432), "98.4 MB");
        assert_eq!(bytes(999_949_999), "999.9 MB");
        assert_eq!(bytes(999_950_000), "1.00 GB");
        for (n, text) in [
            (999, "999"),
            (260_032, "260K"),
            (999_499, "999K"),
            (999_500, "1M"),
            (134_515_008, "135M"),
            (999_500_000, "1.0B"),
            (1_100_048_384, "1.1B"),
        ] {
            assert_eq!(parameters(n), text);
        }
        assert_eq!(binary(98_362_432), "93.81 MiB");
        assert_eq!(binary(1_163_520_000), "1.08 GiB");
        assert_eq!(seconds(413_000_000), "0.41");
    }
}
