//! What `torch.save` writes: a ZIP archive, or, before torch 1.6, several pickles with the weights behind them.
//!
//! Follows torch/serialization.py (`_save`, `_legacy_save`) and torch/_utils.py (`_rebuild_tensor_v2`). Either way the pickle
//! tells of each tensor which storage it is a part of; the storages themselves are bytes in the file.

use std::collections::HashMap;
use std::io::{Cursor, Read as _};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use engine::quant::TensorType;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{self, Id, Object, Objects};
use super::{Stored, Tensors, check_bounds};
use crate::mapped::MappedFile;

/// What a file in the older format begins with, as a pickle (`MAGIC_NUMBER` of torch/serialization.py).
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The longest description of weights: some hundred bytes for each tensor, of which there are some thousands.
const MAX_PICKLE_BYTES: u64 = 64 << 20;

/// Keys under which training scripts put the weights, beside the state of the optimizer.
const NESTED: [&str; 3] = ["model", "state_dict", "module"];

/// Where each storage begins in the file, by its key.
type Storages = HashMap<String, u64>;

/// Return the tensors of `file`.
pub(super) fn read(file: &Arc<MappedFile>) -> Result<Tensors> {
    let (root, objects, storages) = if file.starts_with(b"PK") {
        read_zip(file)?
    } else {
        ensure!(
            file.starts_with(LEGACY_MAGIC),
            "this is neither a ZIP archive nor begins as older files of torch.save do; fetch it again"
        );
        read_legacy(file)?
    };
    let mut tensors = Tensors::new();
    for &(key, value) in state_dict(&objects, root)? {
        let Some(name) = objects.text(key) else { continue };
        if let Some(stored) = tensor(name, value, &objects, &storages, file)? {
            tensors.insert(name.to_string(), stored);
        }
    }
    Ok(tensors)
}

fn read_zip(file: &Arc<MappedFile>) -> Result<(Id, Objects, Storages)> {
    let mut archive =
        ZipArchive::new(Cursor::new(&***file)).context("the ZIP archive is not whole; fetch it again")?;
    let names: Vec<String> =
        archive.file_names().map(|name| Ok(name?.into_owned())).collect::<Result<_>>()?;
    let description = names.iter().find(|name| name.ends_with("/data.pkl"));
    let description =
        description.context("the archive has no data.pkl, so that it is not from torch.save")?;
    let mut bytes = Vec::new();
    archive.by_name(description)?.take(MAX_PICKLE_BYTES).read_to_end(&mut bytes)?;
    let (root, objects, _) = pickle::load(&bytes)?;
    let mut storages = Storages::new();
    let folder = format!("{}data/", description.trim_end_matches("data.pkl"));
    for name in &names {
        let Some(key) = name.strip_prefix(&folder) else { continue };
        let entry = archive.by_name(name)?;
        ensure!(
            entry.compression() == CompressionMethod::Stored,
            "{name} is compressed in the archive, which torch.save does not do; save the checkpoint again"
        );
        storages.insert(key.to_string(), entry.data_start().with_context(|| format!("{name} has no place"))?);
    }
    Ok((root, objects, storages))
}

fn read_legacy(file: &Arc<MappedFile>) -> Result<(Id, Objects, Storages)> {
    let mut at = LEGACY_MAGIC.len();
    let mut next = || {
        let (root, objects, len) = pickle::load(&file[at..])?;
        at += len;
        anyhow::Ok((root, objects))
    };
    // The version, and what the machine was like on which it was written.
    for _ in 0..2 {
        next()?;
    }
    let (root, objects) = next()?;
    let (keys, key_objects) = next()?;
    let keys = key_objects.tuple(keys).context("the list of storages is none")?;
    let sizes = element_bytes(&objects);
    let mut storages = Storages::new();
    for &key in keys {
        let key = key_objects.text(key).context("the key of a storage is no text")?;
        let size =
            *sizes.get(key).with_context(|| format!("storage {key} is of a type that is not known"))?;
        let head: [u8; 8] =
            file.get(at..).and_then(|rest| rest.first_chunk().copied()).context("a storage is missing")?;
        storages.insert(key.to_string(), at as u64 + 8);
        let n_bytes = usize::try_from(u64::from_le_bytes(head)).ok().and_then(|n| n.checked_mul(size));
        at = n_bytes.and_then(|n| (at + 8).checked_add(n)).filter(|&end| end <= file.len()).with_context(
            || format!("storage {key} ends behind the file, which has {} bytes; fetch it again", file.len()),
        )?;
    }
    Ok((root, objects, storages))
}

/// Return how many bytes an element of each storage takes, by the storage's key.
fn element_bytes(objects: &Objects) -> HashMap<&str, usize> {
    let sizes = objects.iter().filter_map(|object| match object {
        Object::Persistent(name) => {
            let storage = Storage::of(*name, objects)?;
            Some((storage.key, storage.element_bytes?))
        }
        _ => None,
    });
    sizes.collect()
}

/// What a tensor says of the storage that it is a part of.
struct Storage<'o> {
    key: &'o str,
    kind: Option<TensorType>,
    element_bytes: Option<usize>,
}

impl<'o> Storage<'o> {
    /// Return what `name`, that of an object outside of the pickle, says: `("storage", type, key, device, length)`.
    fn of(name: Id, objects: &'o Objects) -> Option<Self> {
        let [tag, kind, key, ..] = *objects.tuple(name)? else { return None };
        if objects.text(tag)? != "storage" {
            return None;
        }
        let (kind, element_bytes) = match objects.global(kind)? {
            "torch.FloatStorage" => (Some(TensorType::F32), Some(4)),
            "torch.HalfStorage" => (Some(TensorType::F16), Some(2)),
            "torch.BFloat16Storage" => (Some(TensorType::BF16), Some(2)),
            "torch.DoubleStorage" | "torch.LongStorage" => (None, Some(8)),
            "torch.IntStorage" => (None, Some(4)),
            "torch.ShortStorage" => (None, Some(2)),
            "torch.CharStorage" | "torch.ByteStorage" | "torch.BoolStorage" => (None, Some(1)),
            _ => (None, None),
        };
        Some(Self { key: objects.text(key)?, kind, element_bytes })
    }
}

/// Return names and tensors: the dictionary `root`, or the one in it that training scripts put them into.
fn state_dict(objects: &Objects, root: Id) -> Result<&[(Id, Id)]> {
    let Object::Dict(items) = objects.get(root) else {
        anyhow::bail!(
            "the file holds no dictionary of tensors; save `model.state_dict()`, not the model itself"
        );
    };
    for nested in NESTED {
        let found = items.iter().find(|(key, _)| objects.text(*key) == Some(nested));
        if let Some(Object::Dict(items)) = found.map(|&(_, value)| objects.get(value)) {
            return Ok(items);
        }
    }
    Ok(items)
}

/// Return where the tensor `name`, which is the object `id`, lies, or `None` when that is no tensor.
fn tensor(
    name: &str,
    id: Id,
    objects: &Objects,
    storages: &Storages,
    file: &Arc<MappedFile>,
) -> Result<Option<Stored>> {
    let call = |id: Id| match *objects.get(id) {
        Object::Call(callable, arguments) => Some((objects.global(callable)?, objects.tuple(arguments)?)),
        _ => None,
    };
    let mut found = call(id);
    // A parameter is a tensor that is trained.
    if let Some(("torch._utils._rebuild_parameter", &[data, ..])) = found {
        found = call(data);
    }
    match found {
        Some(("torch._utils._rebuild_tensor_v2", &[storage, first, shape, strides, ..])) => {
            let Object::Persistent(storage) = *objects.get(storage) else {
                anyhow::bail!("tensor {name} is no part of a storage")
            };
            let storage =
                Storage::of(storage, objects).with_context(|| format!("tensor {name} has no storage"))?;
            let described = (objects.size(first), objects.sizes(shape), objects.sizes(strides));
            let (Some(first), Some(shape), Some(strides)) = described else {
                anyhow::bail!("the shape of tensor {name} is not one")
            };
            ensure!(
                is_row_by_row(&shape, &strides),
                "tensor {name} {shape:?} does not lie row by row, but in steps of {strides:?}; \
                 save it again after `tensor.contiguous()`"
            );
            let start = *storages
                .get(storage.key)
                .with_context(|| format!("the storage of tensor {name} is missing"))?;
            let mut offset = start;
            if let Some(kind) = storage.kind {
                let skipped = (first as u64).checked_mul(kind.block_bytes() as u64);
                offset = skipped
                    .and_then(|skipped| start.checked_add(skipped))
                    .context("a tensor begins nowhere")?;
                check_bounds(name, &shape, kind, offset, file)?;
            }
            Ok(Some(Stored { shape, file: Arc::clone(file), offset, kind: storage.kind }))
        }
        _ => Ok(None),
    }
}

/// Return whether the elements of `shape` lie one behind the other, the last dimension the fastest.
fn is_row_by_row(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1_usize;
    shape.len() == strides.len()
        && shape.iter().zip(strides).rev().all(|(&dim, &stride)| {
            let fits = dim == 1 || stride == expected;
            expected = expected.saturating_mul(dim);
            fits
        })
}
