//! `catalog.lock`: what came of the files whose sum the catalog does not know, so that the same comes the next time.
//!
//! A file that was fetched from elsewhere than the catalog says today is not held against it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::sum::{Expected, Sum};

/// The name of the file in the models folder.
const NAME: &str = "catalog.lock";

/// What a reader of the file should know.
const HEAD: &str = "# What `bootlm fetch` got of files whose SHA-256 catalog.toml does not say. It must be the same the next\n\
                    # time; delete a file's lines to accept another.\n\n";

/// The lock file of a models folder.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    from: String,
    size_bytes: u64,
    sha256: String,
}

impl Lock {
    /// Return what the lock file in the folder `dir` says; nothing where there is none.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(NAME);
        let entries = match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).with_context(|| path.display().to_string())?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Self { path, entries })
    }

    /// Return what the file `name` was when it was fetched from `from`.
    pub(super) fn expected(&self, name: &str, from: &str) -> Option<Expected> {
        let Entry { size_bytes, sha256, .. } = self.entries.get(name).filter(|entry| entry.from == from)?;
        Some(Expected { size_bytes: Some(*size_bytes), sha256: Some(sha256.clone()) })
    }

    /// Remember what the file `name` is that was fetched from `from`.
    pub(super) fn remember(&mut self, name: &str, from: &str, sum: Sum) -> Result<()> {
        let entry = Entry { from: from.into(), size_bytes: sum.size_bytes, sha256: sum.sha256 };
        self.entries.insert(name.into(), entry);
        let text = format!("{HEAD}{}", toml::to_string(&self.entries).context("a lock file")?);
        let name = || self.path.display().to_string();
        let mut file = tempfile::NamedTempFile::new_in(self.path.parent().unwrap_or(Path::new(".")))?;
        file.write_all(text.as_bytes()).with_context(name)?;
        file.persist(&self.path).with_context(name)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_expected_again_from_the_same_place_alone() {
        let dir = tempfile::tempdir().unwrap();
        let sum = Sum { size_bytes: 3, sha256: "ba7816bf".into() };
        let mut lock = Lock::read(dir.path()).unwrap();
        assert_eq!(lock.expected("a/b.json", "hub:x/y@main/b.json"), None);
        lock.remember("a/b.json", "hub:x/y@main/b.json", sum.clone()).unwrap();

        let lock = Lock::read(dir.path()).unwrap();
        let expected = Expected { size_bytes: Some(3), sha256: Some("ba7816bf".into()) };
        assert_eq!(lock.expected("a/b.json", "hub:x/y@main/b.json"), Some(expected));
        assert_eq!(lock.expected("a/b.json", "hub:x/y@other/b.json"), None);
        assert_eq!(lock.expected("a/c.json", "hub:x/y@main/b.json"), None);
    }

    #[test]
    fn a_lock_file_that_is_none_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "size_bytes = 3").unwrap();
        assert!(format!("{:#}", Lock::read(dir.path()).unwrap_err()).contains(NAME));
    }
}
