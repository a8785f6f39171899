//! The files that an image holds, by the names that they have there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::Image;
use super::configuration::configuration;
use super::fat::MAX_FILE_BYTES;
use crate::limine::{BIOS_SYS, Limine, UEFI_LOADER};
use crate::split::split;

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path in the image, without a slash before it.
    pub(super) path: String,
    /// What it is a copy of: a file, and no link to one.
    pub(super) source: PathBuf,
    pub(super) size_bytes: u64,
}

impl Entry {
    /// Return the entry at `path` that is a copy of `source`, or of the file behind that when it is a symbolic link.
    pub(super) fn new(path: impl Into<String>, source: &Path) -> Result<Self> {
        let cannot = || format!("cannot pack {}", source.display());
        let source = fs::canonicalize(source).with_context(cannot)?;
        let size_bytes = fs::metadata(&source).with_context(cannot)?.len();
        Ok(Self { path: path.into(), source, size_bytes })
    }
}

/// All files of an image. Having one tells that no two have the same name, whatever the case of its letters.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) entries: Vec<Entry>,
}

impl Contents {
    /// Return what the image holds: those of Limine's files that every kind of image has, its configuration, the kernel, the models, in
    /// parts where one is too large for a FAT file system.
    ///
    /// Files that have to be made are made in the folder `scratch`.
    pub(super) fn gather(image: &Image<'_>, limine: &Limine, scratch: &Path) -> Result<Self> {
        let mut models = Vec::new();
        for model in image.models {
            models.extend(in_parts(model, MAX_FILE_BYTES, scratch)?);
        }
        let names = models.iter().map(|model| file_name(model)).collect::<Result<Vec<_>>>()?;
        refuse_doubles(&models, &names)?;
        let conf = scratch.join("limine.conf");
        let text = configuration(image.limine_conf, image.command_line, names.iter().copied())?;
        fs::write(&conf, text).with_context(|| conf.display().to_string())?;

        let mut entries = vec![
            Entry::new(format!("EFI/BOOT/{UEFI_LOADER}"), &limine.file(UEFI_LOADER))?,
            Entry::new(format!("boot/limine/{BIOS_SYS}"), &limine.file(BIOS_SYS))?,
            Entry::new("boot/limine/limine.conf", &conf)?,
            Entry::new("boot/bootlm-kernel", image.kernel)?,
        ];
        for (name, model) in names.iter().zip(&models) {
            entries.push(Entry::new(format!("models/{name}"), model)?);
        }
        Ok(Self { entries })
    }
}

/// Return the model's own path, or the paths of its parts, which are made in the folder `scratch` where it has more than
/// `max_bytes` bytes.
fn in_parts<'a>(model: &'a Path, max_bytes: u64, scratch: &Path) -> Result<Vec<Cow<'a, Path>>> {
    let cannot = || format!("cannot pack {}", model.display());
    let size_bytes = fs::metadata(model).with_context(cannot)?.len();
    if size_bytes <= max_bytes {
        return Ok(vec![model.into()]);
    }
    ensure!(
        model.extension().is_some_and(|kind| kind == "gguf"),
        "{}: {size_bytes} bytes are more than the {max_bytes} of a file in a FAT file system, and only GGUF files can be split; \
         `bootlm convert` makes one of it",
        model.display()
    );
    let parts = split(model, max_bytes, scratch).with_context(cannot)?;
    Ok(parts.into_iter().map(Cow::from).collect())
}

/// Return the name of the file `path`, or an error when it is one that no boot loader could be told.
fn file_name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{}: the name of a model file must be UTF-8", path.display()))
}

/// Return an error when two of the models would be one file; `names` are theirs, in the same order.
fn refuse_doubles(models: &[Cow<'_, Path>], names: &[&str]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for (model, name) in models.iter().zip(names) {
        // FAT has one file for both cases of a letter.
        if let Some(other) = seen.insert(name.to_lowercase(), model) {
            bail!(
                "{} and {} would have the same name in the image; rename one",
                other.display(),
                model.display()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use engine::testing::ChainModel;

    use super::*;

    #[test]
    fn the_file_behind_a_symbolic_link_is_packed_and_a_missing_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a.gguf"), dir.path().join("link.gguf"));
        fs::write(&file, "GGUF").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let entry = Entry::new("models/link.gguf", &link).unwrap();
        assert_eq!((entry.source, entry.size_bytes), (fs::canonicalize(&file).unwrap(), 4));

        fs::remove_file(&file).unwrap();
        let error = format!("{:#}", Entry::new("models/link.gguf", &link).unwrap_err());
        assert!(error.contains(link.to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_model_that_is_too_large_is_packed_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("chain.gguf");
        fs::write(&model, ChainModel::answers("one").file()).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let n_bytes = fs::metadata(&model).unwrap().len();
        assert_eq!(in_parts(&model, n_bytes, scratch.path()).unwrap(), [Cow::from(&*model)]);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);

        let parts = in_parts(&model, n_bytes / 2, scratch.path()).unwrap();
        assert!(parts.len() > 1 && parts.iter().all(|part| part.starts_with(scratch.path())), "{parts:?}");
        assert!(parts[0].to_string_lossy().contains("/chain-00001-of-"), "{parts:?}");

        let checkpoint = dir.path().join("stories.bin");
        fs::write(&checkpoint, [0; 100]).unwrap();
        let error = in_parts(&checkpoint, 99, scratch.path()).unwrap_err().to_string();
        assert!(error.contains("100 bytes") && error.contains("bootlm convert"), "{error}");
    }

    #[test]
    fn two_models_of_one_name_are_refused() {
        let models = ["x/a.gguf", "b.gguf", "y/A.gguf"].map(|path| Path::new(path).into());
        let error = refuse_doubles(&models, &["a.gguf", "b.gguf", "A.gguf"]).unwrap_err().to_string();
        assert!(error.contains("x/a.gguf and y/A.gguf"), "{error}");
        refuse_doubles(&models[..2], &["a.gguf", "b.gguf"]).unwrap();
    }
}
