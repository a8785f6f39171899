//! The shell and the engine as an ordinary program: the conversation that the kernel holds, on this host.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use engine::cpu::Kernels;
use engine::platform::{Clock, Entropy, Workers};
use memmap2::{Advice, MmapMut, MmapOptions};
use shell::{Host, Machine, ModelFile, Options};

use crate::progress::{Progress, Unit};
use crate::terminal::{SavedTerminal, StdTerminal};
use crate::workers::Pool;

/// Hold a conversation with one of the models in `paths` over stdin and stdout, as `options` ask for it, by the inner loops
/// `kernels`.
pub fn chat(paths: &[PathBuf], kernels: &'static Kernels, options: &Options) -> Result<()> {
    let host = ThisHost::new(kernels);
    let mut loaded = load(paths, &host.workers)?;
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

/// Model files in memory, whatever becomes of them there: on disk they stay as they are.
pub(crate) struct Loaded {
    pub(crate) files: Vec<MmapMut>,
    /// Whether there is memory for all of them, so that weights may be put into another order. Where there is not, their pages can
    /// be dropped and read again.
    pub(crate) may_change: bool,
}

/// Bring the files at `paths` into memory: one alone is read at once, by all cores, of several each page when it is needed.
pub(crate) fn load<P: AsRef<Path>>(paths: &[P], workers: &dyn Workers) -> Result<Loaded> {
    let mut files = Vec::new();
    for path in paths.iter().map(P::as_ref) {
        let file = File::open(path).with_context(|| format!("cannot open the model {}", path.display()))?;
        let n_bytes = file.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
        files.push((path, file, n_bytes));
    }
    let all_bytes: u64 = files.iter().map(|(.., n_bytes)| n_bytes).sum();
    let may_change = meminfo_bytes("MemAvailable:").is_some_and(|free_bytes| all_bytes <= free_bytes / 2);
    let reads = may_change && files.len() == 1;
    let bring = |(path, file, n_bytes): (&Path, File, u64)| {
        let brought = if reads { read(&file, n_bytes as usize, workers) } else { map(&file) };
        brought.with_context(|| format!("cannot read the model {}", path.display()))
    };
    Ok(Loaded { files: files.into_iter().map(bring).collect::<Result<_>>()?, may_change })
}

/// How much of a file a core reads at once: a large page.
const PIECE_BYTES: usize = 2 << 20;

/// What takes no longer has no bar.
const UNSEEN: Duration = Duration::from_millis(500);

/// Return the contents of `file`. To give a process fresh pages takes longer than to copy into them, so all cores take part; each
/// takes the next piece when it is done with one, since one page may take ten times as long as another.
fn read(file: &File, n_bytes: usize, workers: &dyn Workers) -> Result<MmapMut> {
    let mut bytes = MmapMut::map_anon(n_bytes).context("memory for the model")?;
    // A page fault per 2 MiB in place of 4 KiB. Where there are no such pages, small ones do.
    let _ = bytes.advise(Advice::HugePage);
    let pieces = Mutex::new((0..).step_by(PIECE_BYTES).zip(bytes.chunks_mut(PIECE_BYTES)));
    let outcome = Mutex::new(Ok(()));
    let loading = Mutex::new(Loading { start: Instant::now(), n_bytes, n_read: 0, bar: None });
    let next = || lock(&pieces).next();
    workers.run(&|_| {
        while let Some((offset, piece)) = next() {
            match file.read_exact_at(piece, offset) {
                Ok(()) => lock(&loading).advance(piece.len()),
                failed => {
                    *lock(&outcome) = failed;
                    // Nobody reads what is left.
                    while next().is_some() {}
                }
            }
        }
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    Ok(bytes)
}

/// How far a file has been read.
struct Loading {
    start: Instant,
    n_bytes: usize,
    n_read: usize,
    bar: Option<Progress>,
}

impl Loading {
    /// Show that `n_bytes` more have been read.
    fn advance(&mut self, n_bytes: usize) {
        self.n_read += n_bytes;
        if let Some(bar) = &mut self.bar {
            bar.advance(n_bytes as u64);
        } else if self.start.elapsed() >= UNSEEN {
            let bar = self.bar.insert(Progress::new("loading", Unit::Bytes, Some(self.n_bytes as u64)));
            bar.begin_at(self.n_read as u64);
        }
    }
}

/// Return what `mutex` holds: a panic ends the program, so none left it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Return `file` as memory of our own, read where it is looked at.
pub(crate) fn map(file: &File) -> Result<MmapMut> {
    // SAFETY: the map is private. Another program that changes the file meanwhile would change these bytes, which no mapping can
    // rule out; model files are replaced by renaming and not written in place.
    Ok(unsafe { MmapOptions::new().map_copy(file) }?)
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
fn meminfo_bytes(name: &str) -> Option<u64> {
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
    use std::io::Write as _;

    use super::*;

    #[test]
    fn several_cores_read_a_file_as_it_is_or_say_that_it_ends_too_soon() {
        let mut file = tempfile::tempfile().unwrap();
        let contents: Vec<u8> = (0..2 * PIECE_BYTES + 7).map(|i| (i / 3 % 251) as u8).collect();
        file.write_all(&contents).unwrap();
        for n_cores in [1, 3] {
            let workers = Pool::new(n_cores);
            assert!(read(&file, contents.len(), &workers).unwrap()[..] == contents);
            let error = read(&file, contents.len() + 4 * PIECE_BYTES, &workers).unwrap_err();
            assert_eq!(error.downcast::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn reads_memory_in_bytes() {
        let meminfo = "MemTotal:       24689152 kB\nMemFree:          123 kB\nMemAvailable:   23000 kB\n";
        assert_eq!(value_bytes(meminfo, "MemAvailable:"), Some(23_552_000));
        assert_eq!(value_bytes(meminfo, "MemTotal:"), Some(24_689_152 * 1024));
        assert_eq!(value_bytes("MemTotal: 1 kB\n", "MemAvailable:"), None);
    }
}
