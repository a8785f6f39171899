//! The parts of a split model into one file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use engine::format::gguf::Gguf;
use engine::format::{self, File};

use super::{COUNT, N_TENSORS, NO, copy, in_order, part_name};
use crate::gguf::{Header, Writer};
use crate::mapped::MappedFile;
use crate::progress::{Progress, Unit};

/// What `bootlm merge` is asked for.
#[derive(Debug, clap::Args)]
pub struct MergeArgs {
    /// The first part, NAME-00001-of-0000N.gguf; the others lie beside it.
    #[arg(value_name = "FIRST-PART")]
    pub first: PathBuf,
    /// The file to write.
    #[arg(value_name = "OUTPUT")]
    pub output: PathBuf,
}

/// Write the model whose first part is `first` to `output`.
///
/// # Errors
/// When `first` is no first part, and when the parts do not make a model together.
pub fn merge(first: &Path, output: &Path) -> Result<()> {
    let cannot = || format!("cannot merge {}", first.display());
    let paths = parts(first).with_context(cannot)?;
    let files = paths.iter().map(|path| MappedFile::open(path)).collect::<Result<Vec<_>>>()?;
    check(&paths, &files).with_context(cannot)?;

    let mut header = Header::with_metadata_of(&files[0])?;
    [NO, COUNT, N_TENSORS].into_iter().for_each(|key| header.remove(key));
    let mut tensors = Vec::new();
    for file in &files {
        for (info, offset) in in_order(file, Gguf::parse(file)?.tensors())? {
            header.add_tensor(info.clone());
            tensors.push((file, offset, info.n_bytes));
        }
    }
    let n_bytes = tensors.iter().map(|(.., n_bytes)| n_bytes).sum();
    let mut progress = Progress::new("merging", Unit::Bytes, Some(n_bytes));
    let mut writer = Writer::create(output, header)?;
    for (file, offset, n_bytes) in tensors {
        copy(file, offset, n_bytes, &mut writer, &mut progress)?;
    }
    writer.finish()
}

/// Return the paths of all parts of the model whose first one is `first`.
fn parts(first: &Path) -> Result<Vec<PathBuf>> {
    let file = MappedFile::open(first)?;
    let count = Gguf::parse(&file)?.count(COUNT)?.unwrap_or(0);
    let count = u16::try_from(count).ok().filter(|count| *count > 1);
    let count = count.with_context(|| format!("it is a whole model: {COUNT} is not there, or 0 or 1"))?;
    let name = first.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(stem) = name.strip_suffix(&part_name("", 0, count)) else {
        bail!("expected the first part, NAME{}", part_name("", 0, count))
    };
    Ok((0..count).map(|no| first.with_file_name(part_name(stem, no, count))).collect())
}

/// Return an error unless the engine makes one model of the files.
fn check(paths: &[PathBuf], files: &[MappedFile]) -> Result<()> {
    let names: Vec<_> =
        paths.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy()).collect();
    let files: Vec<_> = names.iter().zip(files).map(|(name, bytes)| File { name, bytes }).collect();
    let refusals =
        format::models(&files).into_iter().filter_map(|found| Some((found.name, found.model.err()?)));
    let refusals: Vec<_> = refusals.map(|(name, error)| format!("{name}: {error}")).collect();
    ensure!(refusals.is_empty(), "\n{}", refusals.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use engine::testing::ChainModel;

    use super::super::split;
    use super::*;

    #[test]
    fn a_missing_part_a_later_one_and_a_whole_model_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, output) = (dir.path().join("chain.gguf"), dir.path().join("merged.gguf"));
        fs::write(&path, ChainModel::answers("one").file()).unwrap();
        let refusal = |first: &Path| format!("{:#}", merge(first, &output).unwrap_err());
        assert!(refusal(&path).contains("it is a whole model"), "{}", refusal(&path));

        let parts = split(&path, 600_000, dir.path()).unwrap();
        assert!(
            refusal(&parts[1]).contains("expected the first part, NAME-00001-of-"),
            "{}",
            refusal(&parts[1])
        );
        // A part of another model under the name of this one's.
        fs::copy(&parts[0], &parts[1]).unwrap();
        let error = refusal(&parts[0]);
        assert!(
            error.contains("\nchain-00002-of-00002.gguf: ") && error.contains("NAME-00001-of-00002"),
            "{error}"
        );
        fs::remove_file(&parts[1]).unwrap();
        assert!(refusal(&parts[0]).contains(parts[1].to_str().unwrap()), "{}", refusal(&parts[0]));
        assert!(!output.exists());
    }

    /// Made by tests/reference/split_gguf.py with the gguf package: each weight of the n-th tensor is n.
    #[test]
    fn parts_that_llama_cpps_package_wrote_are_merged() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("merged.gguf");
        merge(&fixtures.join("gguf_py-00001-of-00003.gguf"), &output).unwrap();
        let bytes = fs::read(&output).unwrap();
        let model = Gguf::parse(&bytes).unwrap();
        assert_eq!(model.str("general.architecture").unwrap(), Some("llama"));
        assert_eq!(model.str("general.name").unwrap(), Some("numbers"));
        assert!(model.value(COUNT).is_none());
        assert_eq!(model.tensors().count(), 5);
        for n in 0..5 {
            let tensor = model.tensor(&format!("blk.{n}.weight")).unwrap();
            assert_eq!(tensor.shape, [32, n + 1]);
            assert!(tensor.bytes.chunks(4).all(|weight| weight == (n as f32).to_le_bytes()), "{n}");
        }
    }
}
