//! The models as the one file that a boot by PVH hands to the kernel.
//!
//! One model is handed over as it is, and its name goes on the kernel's command line; several go into a tar archive
//! (POSIX ustar), which has room for their names.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The file to boot with, and the words that go on the kernel's command line for it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Initrd {
    /// The file; none when there is no model.
    pub file: Option<PathBuf>,
    /// Words for the kernel's command line.
    pub command_line: String,
}

impl Initrd {
    /// Return what hands `models` over, writing an archive below `build_dir` when it takes one.
    pub fn pack(models: &[PathBuf], build_dir: &Path) -> Result<Self> {
        match models {
            [] => Ok(Self::default()),
            [model] if let Some(name) = word(model) => {
                Ok(Self { file: Some(model.clone()), command_line: format!("initrd={name}") })
            }
            _ => Ok(Self { file: Some(archive(models, build_dir)?), command_line: String::new() }),
        }
    }
}

/// Return the file's name if it can stand on a command line as one word.
fn word(path: &Path) -> Option<&str> {
    path.file_name()?.to_str().filter(|name| !name.contains(char::is_whitespace))
}

/// Write `models` into `models.tar` below `build_dir`.
fn archive(models: &[PathBuf], build_dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(build_dir).with_context(|| build_dir.display().to_string())?;
    let scratch =
        tempfile::NamedTempFile::new_in(build_dir).with_context(|| build_dir.display().to_string())?;
    let mut tar = tar::Builder::new(scratch);
    for model in models {
        let in_tar = || format!("cannot pack {}", model.display());
        let name = model.file_name().with_context(in_tar)?;
        tar.append_file(name, &mut File::open(model).with_context(in_tar)?).with_context(in_tar)?;
    }
    let path = build_dir.join("models.tar");
    tar.into_inner()?.persist(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(dir: &Path, name: &str, content: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn one_model_is_handed_over_as_it_is_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let a = model(dir.path(), "a.gguf", "A");
        let initrd = Initrd::pack(std::slice::from_ref(&a), dir.path()).unwrap();
        assert_eq!(initrd, Initrd { file: Some(a), command_line: "initrd=a.gguf".into() });
    }

    #[test]
    fn several_models_or_a_name_of_two_words_go_into_an_archive() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (model(dir.path(), "a.gguf", "A"), model(dir.path(), "b c.gguf", "BB"));
        for models in [vec![a, b.clone()], vec![b]] {
            let initrd = Initrd::pack(&models, dir.path()).unwrap();
            assert_eq!(initrd.command_line, "");
            let mut archive = tar::Archive::new(File::open(initrd.file.unwrap()).unwrap());
            let names: Vec<_> =
                archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
            assert_eq!(names, models.iter().map(|path| path.file_name().unwrap()).collect::<Vec<_>>());
        }
    }
}
