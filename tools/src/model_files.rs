//! A model file with those that it cannot do without, in memory: the other parts of a split one, the tokenizers that lie
//! beside a llama2.c one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use engine::cpu::Kernels;
use engine::format::{self, gguf::Gguf};
use engine::platform::Workers;
use memmap2::MmapMut;
use shell::ModelFile;

use crate::loading::{map, read_all};

/// The files of one model.
pub(crate) struct ModelFiles {
    /// The first is the one that was named.
    names: Vec<String>,
    contents: Vec<MmapMut>,
    may_change: bool,
}

impl ModelFiles {
    /// Return the model file at `path` to be computed with, read by `workers` and, where there is memory for that, in the order in
    /// which `kernels` compute faster.
    pub(crate) fn load(path: &Path, workers: &dyn Workers, kernels: &Kernels) -> Result<Self> {
        let paths = with_companions(path)?;
        let loaded = read_all(&paths, workers, kernels)?;
        Ok(Self { names: names(&paths), contents: loaded.files, may_change: loaded.may_change })
    }

    /// Return the model file at `path` to be looked at: of its weights, none is read.
    pub(crate) fn map(path: &Path) -> Result<Self> {
        let paths = with_companions(path)?;
        let map = |path: &PathBuf| {
            let name = || format!("cannot read the model {}", path.display());
            map(&File::open(path).with_context(name)?).with_context(name)
        };
        let contents = paths.iter().map(map).collect::<Result<_>>()?;
        Ok(Self { names: names(&paths), contents, may_change: false })
    }

    /// Return the model.
    ///
    /// # Errors
    /// When the file is none that the engine reads, or when one that belongs to it is not there.
    pub(crate) fn gguf(&self) -> Result<Gguf<'_>, engine::Error> {
        Ok(self.found()?.1)
    }

    /// Return the sizes of the files that the model is made of, in bytes; of the one that was named, where it is no model.
    pub(crate) fn sizes_bytes(&self) -> Vec<u64> {
        let files = self.found().map_or_else(|_| vec![0], |(files, _)| files);
        files.into_iter().map(|i| self.contents[i].len() as u64).collect()
    }

    /// Return the files as the shell takes them.
    pub(crate) fn for_shell(&mut self) -> Vec<ModelFile<'_>> {
        let Self { names, contents, may_change, .. } = self;
        let named = names.iter().zip(contents);
        named.map(|(name, bytes)| ModelFile { name, bytes, may_change: *may_change }).collect()
    }

    /// Return which files the model is made of, and the model.
    fn found(&self) -> Result<(Vec<usize>, Gguf<'_>), engine::Error> {
        let named = self.names.iter().zip(&self.contents);
        let files: Vec<_> = named.map(|(name, bytes)| format::File { name, bytes }).collect();
        let found = format::models(&files).into_iter().find(|found| found.files.contains(&0));
        let found = found.expect("the engine says something of every file");
        Ok((found.files, found.model?))
    }
}

/// Return `path`, and those of its neighbours that may belong to it.
fn with_companions(path: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = vec![path.to_path_buf()];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_companion = |other: &str| match part_of(&name) {
        Some(model) => part_of(other) == Some(model),
        None => name.ends_with(".bin") && other.starts_with("tok") && other.ends_with(".bin"),
    };
    // Of a folder that cannot be looked into, the file itself may still be read.
    let others = fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let others = others.filter(|other| {
        let other = other.file_name().unwrap_or_default().to_string_lossy();
        other != name && is_companion(&other)
    });
    paths.extend(others);
    paths[1..].sort();
    Ok(paths)
}

/// Return what the names of all parts of a split model begin with, and how many there are: `("NAME", "00003")` of
/// `NAME-00001-of-00003.gguf`, as llama.cpp's gguf-split writes them.
fn part_of(name: &str) -> Option<(&str, &str)> {
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (model, number) = rest.rsplit_once('-')?;
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|digit| digit.is_ascii_digit());
    (is_number(count) && is_number(number)).then_some((model, count))
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_brings_its_other_parts_or_the_tokenizers_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a-00001-of-00002.gguf", "a-00002-of-00002.gguf", "a-00002-of-00003.gguf", "b.gguf"]
            .into_iter()
            .chain(["stories15M.bin", "tok512.bin", "tokenizer.bin", "other.bin"])
        {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let companions = |name: &str| names(&with_companions(&dir.path().join(name)).unwrap());
        assert_eq!(companions("a-00002-of-00002.gguf"), ["a-00002-of-00002.gguf", "a-00001-of-00002.gguf"]);
        assert_eq!(companions("b.gguf"), ["b.gguf"]);
        assert_eq!(companions("stories15M.bin"), ["stories15M.bin", "tok512.bin", "tokenizer.bin"]);
    }
}
