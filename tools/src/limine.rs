//! Finds Limine, the boot loader, or gets it.
//!
//! Limine comes from the first of: the folder that the user names (`LIMINE_DIR`), the machine's own, the user's cache, and
//! its authors' binary release, which is cloned into that cache at a pinned commit. None of its files is kept in the
//! repository. What is used of it is described in its `USAGE.md` and `CONFIG.md`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// Where its authors publish the binary release, the release that is known to work, and that release's commit.
const REPOSITORY: &str = "https://github.com/limine-bootloader/limine.git";
const RELEASE: &str = "v8.2.0-binary";
const RELEASE_COMMIT: &str = "1dbdf77f82211c42969c7c5114377436fabc9187";

/// The oldest version that was tested; older ones do not know base revision 2 or read another configuration file.
const OLDEST_VERSION: (u32, u32) = (8, 2);

/// How long the release (6 MB) may take to arrive before the network counts as absent.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(60);

/// The files an image takes: the BIOS stage on disk; for an ISO the BIOS stage on CD and the UEFI partition's image.
pub const BIOS_SYS: &str = "limine-bios.sys";
/// See [`BIOS_SYS`].
pub const BIOS_CD: &str = "limine-bios-cd.bin";
/// See [`BIOS_SYS`].
pub const UEFI_CD: &str = "limine-uefi-cd.bin";
/// The loader that firmware starts from a disk's EFI partition.
pub const UEFI_LOADER: &str = "BOOTX64.EFI";

/// A folder with Limine's files and a program that installs its BIOS stages. Having one tells that the files an ISO
/// takes are there and that the version is one that can boot this kernel.
#[derive(Debug)]
pub struct Limine {
    dir: PathBuf,
    host_tool: PathBuf,
}

impl Limine {
    /// Find Limine in `named`, or where it is looked for when no folder is named, downloading it as the last resort.
    ///
    /// Its host tool is compiled into `build_dir` where the folder has only the tool's source.
    pub fn find(named: Option<&Path>, build_dir: &Path) -> Result<Self> {
        if let Some(dir) = named {
            return Self::at(dir, build_dir).context("LIMINE_DIR");
        }
        let installed = ["/usr/share/limine", "/usr/local/share/limine"];
        if let Some(limine) = installed.iter().find_map(|dir| Self::at(Path::new(dir), build_dir).ok()) {
            return Ok(limine);
        }
        let cache = cache_dir()?;
        if !cache.exists() {
            download(&cache).with_context(|| {
                format!(
                    "Limine is in none of {}, {} and cannot be downloaded; get its binary release {RELEASE} from \
                     {REPOSITORY} and name its folder with LIMINE_DIR",
                    installed.join(", "),
                    cache.display()
                )
            })?;
        }
        Self::at(&cache, build_dir)
    }

    /// Return the Limine in the folder `dir`, or why it is none that can be used.
    fn at(dir: &Path, build_dir: &Path) -> Result<Self> {
        for name in [BIOS_SYS, BIOS_CD, UEFI_CD, UEFI_LOADER] {
            let path = dir.join(name);
            ensure!(
                path.is_file(),
                "{} is not there; this is no folder of Limine's binary release",
                path.display()
            );
        }
        let host_tool = host_tool(dir, build_dir)?;
        let found = version(&host_tool)?;
        let (major, minor) = OLDEST_VERSION;
        ensure!(
            found >= OLDEST_VERSION,
            "{} has Limine {}.{}, which is too old; {major}.{minor} or newer is needed",
            dir.display(),
            found.0,
            found.1
        );
        Ok(Self { dir: dir.to_path_buf(), host_tool })
    }

    /// Return the path of one of Limine's files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Make `image` start by BIOS from a disk or stick: in a GUID partition table, with the second stage in the partition of that
    /// number, from 1 on; else behind the master boot record.
    pub fn bios_install(&self, image: &Path, partition: Option<u32>) -> Result<()> {
        let mut install = Command::new(&self.host_tool);
        install.arg("bios-install").arg(image).args(partition.map(|number| number.to_string()));
        process::run_quiet(&mut install)
    }
}

/// Return `~/.cache/bootlm/limine`, or where XDG_CACHE_HOME says (XDG Base Directory Specification).
fn cache_dir() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        Some(dir) => dir,
        None => env::home_dir().context("HOME is not set, so there is no cache folder")?.join(".cache"),
    };
    Ok(base.join("bootlm/limine"))
}

/// Clone the pinned release into `cache`, whole or not at all.
fn download(cache: &Path) -> Result<()> {
    let parent = cache.parent().context("the cache folder has no parent")?;
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    let scratch = tempfile::tempdir_in(parent)?;
    let clone = scratch.path().join("limine");

    let mut git = Command::new("git");
    git.args([
        "-c",
        "advice.detachedHead=false",
        "clone",
        "--quiet",
        "--depth=1",
        "--branch",
        RELEASE,
        REPOSITORY,
    ]);
    git.arg(&clone).env("GIT_TERMINAL_PROMPT", "0");
    process::run_quiet_within(&mut git, DOWNLOAD_LIMIT)?;

    let head = Command::new("git")
        .arg("-C")
        .arg(&clone)
        .args(["rev-parse", "HEAD"])
        .stdin(Stdio::null())
        .output()?;
    let head = String::from_utf8_lossy(&head.stdout).trim().to_owned();
    ensure!(
        head == RELEASE_COMMIT,
        "{REPOSITORY} {RELEASE}: expected commit {RELEASE_COMMIT}, found {head}; it is not used"
    );
    fs::rename(&clone, cache).with_context(|| format!("cannot move the download to {}", cache.display()))
}

/// Return the `limine` program that belongs to `dir`: the one in it, one compiled from its source, or the PATH's.
///
/// The PATH comes last because the BIOS stage that the program installs must be of the same release as `dir`'s files.
fn host_tool(dir: &Path, build_dir: &Path) -> Result<PathBuf> {
    let beside = dir.join("limine");
    if beside.is_file() {
        return Ok(beside);
    }
    let source = dir.join("limine.c");
    if !source.is_file() {
        return Ok("limine".into());
    }
    fs::create_dir_all(build_dir).with_context(|| build_dir.display().to_string())?;
    // Moved there when it is whole, since another process may be starting or compiling the program just now.
    let scratch = tempfile::tempdir_in(build_dir)?;
    let compiled = scratch.path().join("limine");
    process::run_quiet(Command::new("cc").args(["-std=c99", "-O2", "-o"]).arg(&compiled).arg(&source))?;
    let program = build_dir.join("limine");
    fs::rename(&compiled, &program).with_context(|| program.display().to_string())?;
    Ok(program)
}

/// Return the major and minor version that `limine version` prints.
fn version(host_tool: &Path) -> Result<(u32, u32)> {
    let output = Command::new(host_tool).args(["version", "--version-only"]).stdin(Stdio::null()).output();
    let output = output.with_context(|| host_tool.display().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match parse_version(&text) {
        Some(version) => Ok(version),
        None => bail!(
            "{} version --version-only: expected a version, found {:?}",
            host_tool.display(),
            text.trim()
        ),
    }
}

/// Return the first two numbers of text such as `8.2.0` or `10.0.0-dev`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn reads_the_version_and_orders_it_by_number() {
        assert_eq!(parse_version("8.2.0\n"), Some((8, 2)));
        assert!(parse_version("10.0.1").unwrap() > OLDEST_VERSION);
        assert!(parse_version("7.13.0").unwrap() < OLDEST_VERSION);
        assert_eq!(parse_version("Limine"), None);
    }

    #[test]
    fn names_the_file_that_a_named_folder_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let error = format!("{:#}", Limine::find(Some(dir.path()), dir.path()).unwrap_err());
        let missing = dir.path().join(BIOS_SYS);
        assert!(error.contains("LIMINE_DIR") && error.contains(missing.to_str().unwrap()), "{error}");
    }

    #[test]
    fn its_program_is_whole_whenever_another_compiles_it() {
        let dir = tempfile::tempdir().unwrap();
        for name in [BIOS_SYS, BIOS_CD, UEFI_CD, UEFI_LOADER] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let source = "#include <stdio.h>\nint main(void) { puts(\"8.2.0\"); }\n";
        fs::write(dir.path().join("limine.c"), source).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..8 {
                        Limine::find(Some(dir.path()), dir.path()).unwrap();
                    }
                });
            }
        });
    }
}
