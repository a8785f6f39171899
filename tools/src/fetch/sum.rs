//! What a file must be, and what it is: its size and its SHA-256 (FIPS 180-4).

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// The size and SHA-256 of bytes that went by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) size_bytes: u64,
    /// In lower-case hexadecimal.
    pub(super) sha256: String,
}

/// What is known of a file before it is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) size_bytes: Option<u64>,
    /// In lower-case hexadecimal.
    pub(super) sha256: Option<String>,
}

impl Sum {
    /// Return the sum of the file `path`, telling `progress` of every piece.
    pub(super) fn of_file(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<Self> {
        let name = || path.display().to_string();
        let mut file = File::open(path).with_context(name)?;
        copy_and_sum(&mut file, &mut io::sink(), progress).with_context(name)
    }

    /// Return an error with both sizes and both sums unless this is what was expected.
    pub(super) fn check(&self, expected: &Expected) -> Result<()> {
        let unknown = || "unknown".to_string();
        ensure!(
            expected.size_bytes.is_none_or(|size_bytes| size_bytes == self.size_bytes)
                && expected.sha256.as_ref().is_none_or(|sha256| *sha256 == self.sha256),
            "\n  expected {} bytes, sha256 {}\n  found {} bytes, sha256 {}",
            expected.size_bytes.map_or_else(unknown, |size_bytes| size_bytes.to_string()),
            expected.sha256.clone().unwrap_or_else(unknown),
            self.size_bytes,
            self.sha256
        );
        Ok(())
    }
}

/// Copy all of `from` to `to`, telling `progress` of every piece, and return what went by.
pub(super) fn copy_and_sum(
    from: &mut dyn Read,
    to: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Sum> {
    let mut hasher = Sha256::new();
    let mut size_bytes = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        to.write_all(&buffer[..n])?;
        size_bytes += n as u64;
        progress(n as u64);
    }
    let mut sha256 = String::new();
    for byte in hasher.finalize() {
        write!(sha256, "{byte:02x}").expect("a String takes every write");
    }
    Ok(Sum { size_bytes, sha256 })
}
