//! The shell and the engine as an ordinary program: the conversation that the kernel holds, on this host.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use engine::cpu::Kernels;
use engine::platform::{Clock, Entropy};
use shell::{Host, Machine, ModelFile, Options};

use crate::loading::{map_all, read_all};
use crate::terminal::{SavedTerminal, StdTerminal};
use crate::workers::Pool;

/// Hold a conversation with one of the models in `paths` over stdin and stdout, as `options` ask for it, by the inner loops
/// `kernels`.
pub fn chat(paths: &[PathBuf], kernels: &'static Kernels, options: &Options) -> Result<()> {
    let host = ThisHost::new(kernels);
    let mut loaded = match paths {
        [_] => read_all(paths, &host.workers, kernels)?,
        // Nobody knows yet which of them is wanted.
        _ => map_all(paths)?,
    };
    let names: Vec<_> =
        paths.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy()).collect();
    let named = names.iter().zip(&mut loaded.files);
    let may_change = loaded.may_change;
    let mut files: Vec<_> = named.map(|(name, bytes)| ModelFile { name, bytes, may_change }).collect();

    let saved = SavedTerminal::save().context("the terminal at stdin")?;
    if let Some(saved) = &saved {
        saved.enter_raw_mode().context("the terminal at stdin")?;
    }
    shell::run(&mut StdTerminal::default(), &host.machine(), &mut files, options);
    Ok(())
}

/// This host as the machine of a conversation.
pub(crate) struct ThisHost {
    clock: HostClock,
    pub(crate) workers: Pool,
    kernels: &'static Kernels,
}

impl ThisHost {
    /// Return this host, computing with `kernels`.
    pub(crate) fn new(kernels: &'static Kernels) -> Self {
        Self { clock: HostClock { start: Instant::now() }, workers: Pool::of_this_host(), kernels }
    }

    pub(crate) fn machine(&self) -> Machine<'_> {
        Machine {
            keeper: &(),
            clock: &self.clock,
            workers: &self.workers,
            kernels: self.kernels,
            entropy: &HostEntropy,
            free_memory: &|| meminfo_bytes("MemAvailable:").unwrap_or(u64::MAX),
            memory_bytes: meminfo_bytes("MemTotal:").unwrap_or(u64::MAX),
            host: Host::Program,
        }
    }
}

/// Time since the program started.
struct HostClock {
    start: Instant,
}

impl Clock for HostClock {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX) // 584 years
    }
}

/// The operating system's random numbers.
struct HostEntropy;

impl Entropy for HostEntropy {
    fn seed(&self) -> u64 {
        getrandom::u64().expect("Linux gives random numbers to every process")
    }
}

/// Return the value of a line of /proc/meminfo (proc(5)) in bytes, if it can be read.
pub(crate) fn meminfo_bytes(name: &str) -> Option<u64> {
    value_bytes(&fs::read_to_string("/proc/meminfo").ok()?, name)
}

/// Return the value of the line `name   123 kB`.
fn value_bytes(meminfo: &str, name: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_memory_in_bytes() {
        let meminfo = "MemTotal:       24689152 kB\nMemFree:          123 kB\nMemAvailable:   23000 kB\n";
        assert_eq!(value_bytes(meminfo, "MemAvailable:"), Some(23_552_000));
        assert_eq!(value_bytes(meminfo, "MemTotal:"), Some(24_689_152 * 1024));
        assert_eq!(value_bytes("MemTotal: 1 kB\n", "MemAvailable:"), None);
    }
}
