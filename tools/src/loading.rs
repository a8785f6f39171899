//! Model files into memory: read by all cores, the weights interleaved on the way, or mapped.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use engine::cpu::Kernels;
use engine::format::gguf::Interleaving;
use engine::platform::Workers;
use memmap2::{Advice, MmapMut, MmapOptions};

use crate::chat::meminfo_bytes;
use crate::progress::{Progress, Unit};

/// Model files in memory, whatever becomes of them there: on disk they stay as they are.
pub(crate) struct Loaded {
    pub(crate) files: Vec<MmapMut>,
    /// Whether there is memory for all of them, so that weights may be put into another order. Where there is not, their pages can
    /// be dropped and read again.
    pub(crate) may_change: bool,
}

/// Bring the files at `paths` into memory: read at once, by all cores, and interleaved for `kernels`. Where there is no room for all of
/// them, they are mapped.
pub(crate) fn read_all<P: AsRef<Path>>(
    paths: &[P],
    workers: &dyn Workers,
    kernels: &Kernels,
) -> Result<Loaded> {
    bring(paths, |file, n_bytes, may_change| match may_change {
        true => read(file, n_bytes, workers, kernels),
        false => map(file),
    })
}

/// Bring the files at `paths` into memory, each page of them when it is needed.
pub(crate) fn map_all<P: AsRef<Path>>(paths: &[P]) -> Result<Loaded> {
    bring(paths, |file, _, _| map(file))
}

/// Return what `how` makes of each of the files at `paths`, of its length in bytes and of whether files may change.
fn bring<P: AsRef<Path>>(paths: &[P], how: impl Fn(&File, usize, bool) -> Result<MmapMut>) -> Result<Loaded> {
    let mut files = Vec::new();
    for path in paths.iter().map(P::as_ref) {
        let file = File::open(path).with_context(|| format!("cannot open the model {}", path.display()))?;
        let n_bytes = file.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
        files.push((path, file, n_bytes));
    }
    let all_bytes: u64 = files.iter().map(|(.., n_bytes)| n_bytes).sum();
    let may_change = meminfo_bytes("MemAvailable:").is_some_and(|free_bytes| all_bytes <= free_bytes / 2);
    let contents = |(path, file, n_bytes): (&Path, File, u64)| {
        let contents = how(&file, n_bytes as usize, may_change);
        contents.with_context(|| format!("cannot read the model {}", path.display()))
    };
    Ok(Loaded { files: files.into_iter().map(contents).collect::<Result<_>>()?, may_change })
}

/// How much of a file a core reads at once: a large page.
const PIECE_BYTES: usize = 2 << 20;

/// What takes no longer has no bar.
const UNSEEN: Duration = Duration::from_millis(500);

/// Return the contents of `file`, interleaved for `kernels`. To give a process fresh pages takes longer than to copy into them, so all
/// cores take part; each takes the next piece when it is done with one, since one page may take ten times as long as another.
fn read(file: &File, n_bytes: usize, workers: &dyn Workers, kernels: &Kernels) -> Result<MmapMut> {
    // Of the map, only what describes the weights is looked at.
    let interleaving = Interleaving::of(&map(file)?, kernels);
    let mut bytes = MmapMut::map_anon(n_bytes).context("memory for the model")?;
    // A page fault per 2 MiB in place of 4 KiB. Where there are no such pages, small ones do.
    let _ = bytes.advise(Advice::HugePage);
    let pieces = Mutex::new(interleaving.pieces(&mut bytes, PIECE_BYTES));
    let outcome = Mutex::new(Ok(()));
    let loading = Mutex::new(Loading { start: Instant::now(), n_bytes, n_read: 0, bar: None });
    let next = || lock(&pieces).next();
    workers.run(&|_| {
        let mut scratch = vec![0; interleaving.scratch_bytes()];
        while let Some(mut piece) = next() {
            match file.read_exact_at(piece.bytes, piece.offset as u64) {
                Ok(()) => {
                    piece.interleave(&mut scratch);
                    lock(&loading).advance(piece.bytes.len());
                }
                failed => {
                    *lock(&outcome) = failed;
                    // Nobody reads what is left.
                    while next().is_some() {}
                }
            }
        }
    });
    drop(pieces);
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    interleaving.mark(&mut bytes);
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use engine::format::gguf::interleave;
    use engine::platform::OneCore;
    use engine::quant::TensorType;
    use engine::testing::ChainModel;

    use super::*;
    use crate::workers::Pool;

    fn file(contents: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(contents).unwrap();
        file
    }

    #[test]
    fn several_cores_read_a_file_as_it_is_or_say_that_it_ends_too_soon() {
        let contents: Vec<u8> = (0..2 * PIECE_BYTES + 7).map(|i| (i / 3 % 251) as u8).collect();
        let file = file(&contents);
        for n_cores in [1, 3] {
            let read = |n_bytes| read(&file, n_bytes, &Pool::new(n_cores), Kernels::detect());
            assert!(read(contents.len()).unwrap()[..] == contents);
            let error = read(contents.len() + 4 * PIECE_BYTES).unwrap_err();
            assert_eq!(error.downcast::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_model_is_interleaved_while_it_is_read() {
        let kernels = Kernels::detect();
        let contents = ChainModel::answers("one").file();
        let mut expected = contents.clone();
        interleave(&mut expected, &OneCore, kernels, &mut |_, _| {});
        assert_eq!(expected != contents, kernels.interleaves(TensorType::F32));
        assert!(read(&file(&contents), contents.len(), &Pool::new(2), kernels).unwrap()[..] == expected);
    }
}
