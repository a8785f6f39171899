//! Checkpoints as training frameworks save them: where in which file each tensor lies.
//!
//! [`open`] finds the weights in a folder as Hugging Face's transformers leaves them there: SafeTensors, or what `torch.save`
//! writes, whole or in shards. Nothing is read but the descriptions.

mod pickle;
mod safetensors;
mod torch;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use engine::quant::TensorType;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::mapped::MappedFile;
use crate::weights::{Order, Source, Weights};

/// The tensors of a checkpoint by their names, in the order of those.
pub(crate) type Tensors = BTreeMap<String, Stored>;

/// A tensor, and where it lies.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The dimensions, the slowest first: a matrix of torch's `Linear` is `[n_out, n_in]`.
    pub(crate) shape: Vec<usize>,
    file: Arc<MappedFile>,
    offset: u64,
    /// Its type, `None` where that is none of F32, F16 and BF16.
    kind: Option<TensorType>,
}

impl Stored {
    /// Return the weights, which lie in the `order`.
    ///
    /// # Errors
    /// When they are no floats, or none that can be read.
    pub(crate) fn weights(&self, name: &str, order: Order) -> Result<Weights<'static>> {
        let kind = self.kind.with_context(|| {
            format!(
                "tensor {name} in {} holds neither F32, F16 nor BF16, which are what can be converted; \
                 save the checkpoint as one of these",
                self.file.path().display()
            )
        })?;
        let mut shape: Vec<u64> = self.shape.iter().map(|&dim| dim as u64).collect();
        if order != Order::Columns {
            shape.reverse();
        }
        let source = Source::File { file: Arc::clone(&self.file), offset: self.offset, kind };
        Ok(Weights { shape, source, order })
    }
}

/// What the weights of a checkpoint may be called, the first one that is there counts.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// Which file each tensor of a sharded checkpoint lies in.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Return the tensors of the checkpoint in the folder `dir`.
///
/// # Errors
/// When there is none, a shard is missing, or a file is not what its name says.
pub(crate) fn open(dir: &Path) -> Result<Tensors> {
    for name in FILES {
        let index = dir.join(format!("{name}.index.json"));
        if index.is_file() {
            return open_shards(dir, &index);
        }
        if dir.join(name).is_file() {
            return open_file(&dir.join(name));
        }
    }
    // Saved by hand: `torch.save(model.state_dict(), "model.pt")`.
    let others: Vec<PathBuf> = list(dir)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "pt" || e == "pth"))
        .collect();
    match others.as_slice() {
        [one] => open_file(one),
        [] => bail!(
            "{} has no weights: none of {}, their .index.json, or a .pt file",
            dir.display(),
            FILES.join(", ")
        ),
        several => bail!("{} has {} .pt files; leave the one to convert", dir.display(), several.len()),
    }
}

/// Return the paths in the folder `dir`, sorted.
pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = read().with_context(|| format!("cannot list the folder {}", dir.display()))?;
    paths.sort();
    Ok(paths)
}

/// Return what the JSON file `path` says.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    serde_json::from_reader(BufReader::new(file))
        .with_context(|| format!("{} is not as it should be", path.display()))
}

fn open_shards(dir: &Path, index: &Path) -> Result<Tensors> {
    let Index { weight_map } = read_json(index)?;
    let mut names: Vec<&String> = weight_map.values().collect();
    names.sort();
    names.dedup();
    let mut tensors = Tensors::new();
    for name in names {
        let is_name = Path::new(name).file_name().is_some_and(|file| file == name.as_str());
        ensure!(is_name, "{} names {name:?}, which is not a file beside it", index.display());
        let path = dir.join(name);
        ensure!(path.is_file(), "{} is missing; {} names it", path.display(), index.display());
        tensors.extend(open_file(&path)?);
    }
    if let Some((name, file)) = weight_map.iter().find(|(name, _)| !tensors.contains_key(*name)) {
        bail!("{}: tensor {name} is not in {file}; fetch both again", index.display());
    }
    Ok(tensors)
}

/// Return the tensors in the file `path`, whichever of the formats it has.
fn open_file(path: &Path) -> Result<Tensors> {
    let file = Arc::new(MappedFile::open(path)?);
    let tensors = match path.extension().is_some_and(|extension| extension == "safetensors") {
        true => safetensors::read(&file),
        false => torch::read(&file),
    };
    let tensors = tensors.with_context(|| path.display().to_string())?;
    ensure!(!tensors.is_empty(), "{} has no tensors", path.display());
    Ok(tensors)
}

/// Return an error unless a tensor of `shape` and `kind`, which takes `n_bytes` where that is known, ends inside `file`.
fn check_bounds(name: &str, shape: &[usize], kind: TensorType, offset: u64, file: &MappedFile) -> Result<()> {
    let n_bytes = shape
        .iter()
        .try_fold(kind.block_bytes() as u64, |product, &dim| product.checked_mul(dim as u64))
        .and_then(|n_bytes| n_bytes.checked_add(offset));
    ensure!(
        n_bytes.is_some_and(|end| end <= file.len() as u64),
        "tensor {name} {shape:?} of {kind} at {offset} ends behind the file, which has {} bytes; fetch it again",
        file.len()
    );
    Ok(())
}
