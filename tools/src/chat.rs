//! The shell and the engine as an ordinary program: the conversation that the kernel holds, on this host.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use engine::platform::{Clock, Entropy, Workers};
use memmap2::Mmap;
use shell::{Machine, ModelFile};

use crate::terminal::{SavedTerminal, StdTerminal};
use crate::workers::Pool;

/// Hold a conversation with one of the models in `paths` over stdin and stdout.
pub fn chat(paths: &[PathBuf]) -> Result<()> {
    let clock = HostClock { start: Instant::now() };
    let maps = paths.iter().map(|path| map(path)).collect::<Result<Vec<_>>>()?;
    let names: Vec<_> =
        paths.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy()).collect();
    let files: Vec<_> = names.iter().zip(&maps).map(|(name, bytes)| ModelFile { name, bytes }).collect();
    let workers = Pool::of_this_host();
    let machine =
        Machine { clock: &clock, workers: &workers, entropy: &HostEntropy, free_memory: &free_memory_bytes };

    println!("bootlm on this host: {} threads, {}", workers.count(), engine::cpu::Isa::detect());
    let saved = SavedTerminal::save().context("the terminal at stdin")?;
    if let Some(saved) = &saved {
        saved.enter_raw_mode().context("the terminal at stdin")?;
    }
    shell::run(&mut StdTerminal::default(), &machine, &files);
    Ok(())
}

/// Map a model file into memory; its pages are read when they are used.
fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).with_context(|| format!("cannot open the model {}", path.display()))?;
    // SAFETY: the map is private and read-only. Another program that changes the file meanwhile would change these bytes,
    // which no mapping can rule out; model files are replaced by renaming and not written in place.
    unsafe { Mmap::map(&file) }.with_context(|| format!("cannot map the model {}", path.display()))
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

/// Return how much memory programs can still have, by /proc/meminfo (proc(5)); where that cannot be read, no limit is known.
fn free_memory_bytes() -> u64 {
    fs::read_to_string("/proc/meminfo").ok().and_then(|text| available_bytes(&text)).unwrap_or(u64::MAX)
}

/// Return the value of the line `MemAvailable:   123 kB`.
fn available_bytes(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_available_memory_in_bytes() {
        let meminfo = "MemTotal:       24689152 kB\nMemFree:          123 kB\nMemAvailable:   23000 kB\n";
        assert_eq!(available_bytes(meminfo), Some(23_552_000));
        assert_eq!(available_bytes("MemTotal: 1 kB\n"), None);
    }
}
