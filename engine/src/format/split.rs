//! Models that are split over several GGUF files, as llama.cpp's gguf-split writes them.
//!
//! The parts are called `NAME-00001-of-00003.gguf`. Each says in `split.no` (from 0 on), `split.count` and
//! `split.tensors.count` what it is; the first one holds the model's metadata, and each some of the tensors.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::gguf::{Gguf, bad_value, required};
use crate::Error;

/// What a part says of the model and of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The file's name.
    pub(super) name: &'a str,
    /// What the names of all parts of the model begin with.
    pub(super) model: &'a str,
    /// Which part it is, from 0 on.
    pub(super) no: usize,
    /// How many parts there are.
    pub(super) count: usize,
    /// How many tensors all of them hold.
    n_tensors: usize,
}

impl<'a> Place<'a> {
    /// Return the place of the file called `name`, or `None` when that is a whole model.
    ///
    /// # Errors
    /// When the file is a part, and does not say which, or says it otherwise than its name does.
    pub(super) fn of(name: &'a str, gguf: &Gguf<'_>) -> Result<Option<Self>, Error> {
        let count = gguf.count("split.count")?.unwrap_or(0);
        if count <= 1 {
            return Ok(None);
        }
        let no = required("split.no", gguf.count("split.no")?)?;
        if no >= count {
            return Err(bad_value("split.no", &format!("below the {count} of split.count"), no.to_string()));
        }
        let n_tensors = required("split.tensors.count", gguf.count("split.tensors.count")?)?;
        let end = part_name("", no, count);
        match name.strip_suffix(end.as_str()) {
            Some(model) => Ok(Some(Self { name, model, no, count, n_tensors })),
            None => Err(bad_value("the name of this part of a split model", &format!("NAME{end}"), name)),
        }
    }
}

/// Return the model that `parts`, all of the one that `any` is of, make together.
///
/// # Errors
/// When a part is missing, there twice, or does not belong to the others.
pub(super) fn join<'a>(any: Place<'a>, mut parts: Vec<(Place<'a>, Gguf<'a>)>) -> Result<Gguf<'a>, Error> {
    parts.sort_by_key(|(place, _)| place.no);
    let mut joined: Option<Gguf<'a>> = None;
    let mut n_parts = 0;
    for (place, part) in parts {
        if place.no > n_parts {
            break;
        }
        if place.no < n_parts {
            return Err(bad_value(place.name, "to be there once", "there twice"));
        }
        if place.n_tensors != any.n_tensors {
            let what = format!("split.tensors.count of {}", place.name);
            let other = format!("{}, as in {}", any.n_tensors, any.name);
            return Err(bad_value(&what, &other, place.n_tensors.to_string()));
        }
        n_parts += 1;
        match &mut joined {
            None => joined = Some(part),
            Some(model) => add(model, part, place.name)?,
        }
    }
    let Some(model) = joined.filter(|_| n_parts == any.count) else {
        let what = part_name(any.model, n_parts, any.count);
        return Err(Error::MissingFile { what, why: format!("the model is split into {} files", any.count) });
    };
    if model.tensors.len() != any.n_tensors {
        let what = format!("split.tensors.count of {}", any.name);
        let expected = format!("the {} tensors of all parts", model.tensors.len());
        return Err(bad_value(&what, &expected, any.n_tensors.to_string()));
    }
    Ok(model)
}

/// Add the tensors of `part`, the file called `name`, to `model`.
fn add<'a>(model: &mut Gguf<'a>, part: Gguf<'a>, name: &str) -> Result<(), Error> {
    model.file_bytes += part.file_bytes;
    for tensor in part.tensors.into_values() {
        if let Err(twice) = model.tensors.try_insert(tensor.name.clone(), tensor) {
            let what = format!("tensor {} of {name}", twice.value.name);
            return Err(bad_value(&what, "to occur in one part", "in one before too"));
        }
    }
    Ok(())
}

/// Return how the part `no` of `count` is called.
fn part_name(model: &str, no: usize, count: usize) -> String {
    format!("{model}-{:05}-of-{count:05}.gguf", no + 1)
}
