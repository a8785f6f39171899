//! A file from the network, however often the connection breaks.
//!
//! What has come lies in `NAME.part`, and what tells its state from others in `NAME.part.etag`; so the next attempt, also
//! that of another run, asks for the rest alone. The file gets its own name when its size and its sum, over all of it as it
//! lies on the disk, are right. Where they are not, both are removed, since nobody knows which of its bytes are wrong.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use url::Url;

use super::http::{Answer, Client, Content, Failure, Request};
use super::sum::{Expected, Sum};
use crate::progress::{Progress, Unit};

/// When to try again, and when to give up.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often in a row nothing may come before the download is given up; what brings a byte starts the row anew.
    pub tries: u32,
    /// The wait after the first of them; each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait, also where a server asks for more.
    pub longest_wait: Duration,
    /// How long a server may be silent.
    pub silence: Duration,
}

impl Default for Patience {
    /// Two minutes of a network that is away, in seven tries.
    fn default() -> Self {
        Self {
            tries: 7,
            first_wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(300),
            silence: Duration::from_secs(30),
        }
    }
}

/// A download on its way.
struct Download<'a> {
    client: &'a Client,
    url: &'a Url,
    /// What is known in advance.
    known: &'a Expected,
    /// That, and what the server has said of the file that is coming.
    expected: Expected,
    part: PathBuf,
    /// Where the validator of what is in `part` is kept.
    tag: PathBuf,
    file: File,
    progress: Progress,
}

/// Bring the file at `url` to `path`, and return what it is.
///
/// # Errors
/// When it does not come, or when it is not what is expected; then there is no file `path`.
pub(super) fn download(
    client: &Client,
    patience: &Patience,
    url: &Url,
    expected: &Expected,
    path: &Path,
) -> Result<Sum> {
    let part = with_suffix(path, ".part");
    let part_name = || part.display().to_string();
    // A download that was interrupted is there: it is what this goes on with.
    let file = File::options().read(true).append(true).create(true).open(&part).with_context(part_name)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => bail!("{}: another program is fetching this", part.display()),
        Err(TryLockError::Error(error)) => return Err(error).with_context(part_name),
        Ok(()) => {}
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut download = Download {
        client,
        url,
        known: expected,
        expected: expected.clone(),
        tag: with_suffix(path, ".part.etag"),
        file,
        progress: Progress::new(&name, Unit::Bytes, expected.size_bytes),
        part: part.clone(),
    };
    download.bring_all(patience)?;
    let sum = download.verify()?;
    download.file.sync_all().with_context(part_name)?;
    fs::rename(&part, path)
        .with_context(|| format!("cannot rename {} to {}", part.display(), path.display()))?;
    remove(&download.tag)?;
    Ok(sum)
}

impl Download<'_> {
    /// Try until all of the file is here.
    fn bring_all(&mut self, patience: &Patience) -> Result<()> {
        let at_first = self.size_bytes()?;
        let (mut n_in_vain, mut furthest) = (0_u32, at_first);
        loop {
            let (error, wish, tries) = match self.bring_more() {
                Ok(()) => return Ok(()),
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing(error, wish)) => (error, wish, patience.tries),
                // Whoever has no network should not have to wait long to be told so.
                Err(Failure::Unanswered(error)) if furthest == at_first => {
                    (error, None, patience.tries.min(3))
                }
                Err(Failure::Unanswered(error)) => (error, None, patience.tries),
            };
            let size_bytes = self.size_bytes()?;
            n_in_vain = if size_bytes > furthest { 0 } else { n_in_vain + 1 };
            furthest = furthest.max(size_bytes);
            let wait = wish.unwrap_or(patience.first_wait * (1 << n_in_vain.saturating_sub(1).min(16)));
            if n_in_vain >= tries || wait > patience.longest_wait {
                let why = match wish {
                    Some(wait) => format!("the server asks to be left alone for {} s", wait.as_secs()),
                    None => format!("nothing has come in {n_in_vain} tries"),
                };
                return Err(
                    error.context(format!("{why}; run this again later, it goes on where it stopped"))
                );
            }
            self.progress.say(&format!("{error:#}; trying again in {:.0} s", wait.as_secs_f64()));
            thread::sleep(wait);
        }
    }

    /// Ask for what is missing, and take what comes.
    fn bring_more(&mut self) -> Result<(), Failure> {
        let mut start = self.size_bytes().map_err(Failure::Lasting)?;
        if self.expected.size_bytes == Some(start) {
            return Ok(());
        }
        let validator = fs::read_to_string(&self.tag).ok();
        let is_too_long = self.expected.size_bytes.is_some_and(|size_bytes| start > size_bytes);
        // What is here can be gone on with where something tells in the end, or at once, that it is of the same file.
        if is_too_long || (validator.is_none() && self.expected.sha256.is_none()) {
            self.clear().map_err(Failure::Lasting)?;
            start = 0;
        }
        let answer = self.client.get(&Request { url: self.url, start, validator: validator.as_deref() })?;
        if matches!(answer.content, Content::Rest(_)) && is_other(&answer.validator, &validator) {
            self.clear().map_err(Failure::Lasting)?;
            let what = format!("{}: it has changed meanwhile", self.url);
            return Err(Failure::Passing(anyhow!(what), Some(Duration::ZERO)));
        }
        self.agree(&answer)?;
        match answer.content {
            Content::Rest(body) => {
                self.progress.begin_at(start);
                self.take(body, start)
            }
            Content::Whole(body) => {
                self.clear().map_err(Failure::Lasting)?;
                if let Some(validator) = answer.validator {
                    let written = fs::write(&self.tag, validator);
                    written.with_context(|| self.tag.display().to_string()).map_err(Failure::Lasting)?;
                }
                self.progress.begin_at(0);
                self.take(body, 0)
            }
            // Where the size is not known either, the sum decides.
            Content::Nothing if self.expected.size_bytes.is_none_or(|size_bytes| size_bytes == start) => {
                Ok(())
            }
            Content::Nothing => {
                self.clear().map_err(Failure::Lasting)?;
                let what =
                    format!("{}: the server says that there is nothing from byte {start} on", self.url);
                Err(Failure::Passing(anyhow!(what), None))
            }
        }
    }

    /// Compare what an answer promises with what is expected, and expect what was not known before.
    fn agree(&mut self, answer: &Answer) -> Result<(), Failure> {
        if matches!(answer.content, Content::Whole(_)) {
            self.expected = self.known.clone();
        }
        let Expected { size_bytes, sha256 } = &answer.promised;
        if let (Some(expected), Some(found)) = (&self.expected.sha256, sha256)
            && expected != found
        {
            let what = format!("{}: expected sha256 {expected}; the hub has {found} there now", self.url);
            return Err(Failure::Lasting(anyhow!(what)));
        }
        if let (Some(expected), Some(found)) = (self.expected.size_bytes, *size_bytes)
            && expected != found
        {
            let what = format!("{}: expected {expected} bytes; the server has {found}", self.url);
            return Err(Failure::Passing(anyhow!(what), None));
        }
        self.expected = self.expected.clone().or(answer.promised.clone());
        Ok(())
    }

    /// Append `body`, which begins at byte `start`, to what is here.
    fn take(&mut self, mut body: Box<dyn Read>, start: u64) -> Result<(), Failure> {
        let (mut size_bytes, mut buffer) = (start, vec![0; 1 << 16]);
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(size_bytes, Some(error))),
            };
            size_bytes += n as u64;
            if self.expected.size_bytes.is_some_and(|expected| size_bytes > expected) {
                self.clear().map_err(Failure::Lasting)?;
                let what = format!("{}: it goes on behind the end of the file", self.url);
                return Err(Failure::Passing(anyhow!(what), None));
            }
            self.file.write_all(&buffer[..n]).map_err(|error| Failure::Lasting(self.unwritable(error)))?;
            self.progress.advance(n as u64);
        }
        if self.expected.size_bytes.is_some_and(|expected| size_bytes < expected) {
            return Err(self.broken(size_bytes, None));
        }
        Ok(())
    }

    /// Return that the connection ended too early, with the reason if there is one.
    fn broken(&self, size_bytes: u64, error: Option<io::Error>) -> Failure {
        let of = self.expected.size_bytes.map(|expected| format!(" of {expected}")).unwrap_or_default();
        let what = format!("{}: the connection broke at byte {size_bytes}{of}", self.url);
        let error = match error {
            Some(error) => Error::new(error).context(what),
            None => anyhow!(what),
        };
        Failure::Passing(error, None)
    }

    /// Return that what came cannot be kept.
    fn unwritable(&self, error: io::Error) -> Error {
        let advice = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "the disk is full; make room and run this again, it goes on where it stopped"
            }
            ErrorKind::FileTooLarge => "the file system takes no file of this size (FAT32: 4 GiB)",
            _ => "cannot write",
        };
        Error::new(error).context(format!("{}: {advice}", self.part.display()))
    }

    /// Return the sum of what is here if it is what was expected; else remove it.
    fn verify(&mut self) -> Result<Sum> {
        self.progress = Progress::new("checking", Unit::Bytes, self.expected.size_bytes);
        let sum = Sum::of_file(&self.part, &mut |n| self.progress.advance(n))?;
        if let Err(error) = sum.check(&self.expected) {
            remove(&self.part)?;
            remove(&self.tag)?;
            return Err(error.context(format!("{}: what came is something else, and was removed", self.url)));
        }
        Ok(sum)
    }

    /// Return how much is here.
    fn size_bytes(&self) -> Result<u64> {
        Ok(self.file.metadata().with_context(|| self.part.display().to_string())?.len())
    }

    /// Forget what is here.
    fn clear(&mut self) -> Result<()> {
        remove(&self.tag)?;
        if self.size_bytes()? > 0 {
            self.file.set_len(0).with_context(|| self.part.display().to_string())?;
        }
        Ok(())
    }
}

/// Return whether a server says that it has another state of the file than the one that is here.
fn is_other(there: &Option<String>, here: &Option<String>) -> bool {
    there.is_some() && here.is_some() && there != here
}

/// Remove the file `path` if it is there.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
