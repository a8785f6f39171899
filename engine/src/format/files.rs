//! The models among the files that a boot loader brought.
//!
//! A model is one GGUF file, or several that it is split over, or a llama2.c model with its tokenizer.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::gguf::{Gguf, readable};
use super::llama2c::{Checkpoint, TokenizerBin};
use super::split::{Place, join};
use crate::Error;

/// A file, whatever it holds.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// The name, without a path.
    pub name: &'a str,
    /// All of it.
    pub bytes: &'a [u8],
}

/// A model that was found, or why a file is none.
#[derive(Debug)]
pub struct Found<'a> {
    /// The file's name; the first one's of a split model.
    pub name: &'a str,
    /// Where the files that hold it stand among those that were given.
    pub files: Vec<usize>,
    /// What they hold.
    pub model: Result<Gguf<'a>, Error>,
}

/// What a file turned out to be.
enum Content<'a> {
    Model(Gguf<'a>),
    Part(Place<'a>, Gguf<'a>),
    Checkpoint(Checkpoint<'a>),
    Tokenizer(TokenizerBin<'a>),
}

/// A llama2.c tokenizer, and whether a model uses it.
struct Spare<'a> {
    name: &'a str,
    tokenizer: TokenizerBin<'a>,
    is_used: bool,
}

/// Return the models among `files`, and the reason for each file that belongs to none. The order is that of the files.
///
/// A llama2.c model takes the tokenizer that has as many tokens as it has; of several, the one whose name begins most like
/// its own.
pub fn models<'a>(files: &[File<'a>]) -> Vec<Found<'a>> {
    let (mut found, mut parts, mut checkpoints, mut tokenizers) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, &file) in files.iter().enumerate() {
        let name = file.name;
        match read(file) {
            Ok(Content::Model(gguf)) => found.push(Found { name, files: vec![i], model: Ok(gguf) }),
            Ok(Content::Part(place, gguf)) => parts.push((i, place, gguf)),
            Ok(Content::Checkpoint(checkpoint)) => checkpoints.push((i, name, checkpoint)),
            Ok(Content::Tokenizer(tokenizer)) => {
                tokenizers.push((i, Spare { name, tokenizer, is_used: false }));
            }
            Err(error) => found.push(Found { name, files: vec![i], model: Err(error) }),
        }
    }
    while let Some(&(_, any, _)) = parts.first() {
        let is_of_it = |place: &Place<'_>| (place.model, place.count) == (any.model, any.count);
        let (its, others): (Vec<_>, _) = parts.into_iter().partition(|(_, place, _)| is_of_it(place));
        parts = others;
        let name = its.iter().map(|(_, place, _)| place.name).min().unwrap_or(any.name);
        let files = its.iter().map(|&(i, ..)| i).collect();
        let its = its.into_iter().map(|(_, place, gguf)| (place, gguf)).collect();
        found.push(Found { name, files, model: join(any, its) });
    }
    for (i, name, checkpoint) in checkpoints {
        let spares = tokenizers.iter_mut().map(|(_, spare)| spare);
        found.push(Found { name, files: vec![i], model: pair(name, &checkpoint, spares) });
    }
    for (i, Spare { name, tokenizer, is_used }) in tokenizers {
        if !is_used {
            let why = format!("this is the tokenizer of a llama2.c model of {} tokens", tokenizer.n_vocab());
            let model = Err(Error::MissingFile { what: "the model".to_string(), why });
            found.push(Found { name, files: vec![i], model });
        }
    }
    found.sort_by_key(|found| found.files[0]);
    found
}

/// Return what `file` is.
fn read<'a>(file: File<'a>) -> Result<Content<'a>, Error> {
    if file.bytes.starts_with(b"GGUF") {
        let gguf = Gguf::parse(file.bytes)?;
        return Ok(match Place::of(file.name, &gguf)? {
            Some(place) => Content::Part(place, gguf),
            None => Content::Model(gguf),
        });
    }
    if let Some(checkpoint) = Checkpoint::parse(file.bytes)? {
        return Ok(Content::Checkpoint(checkpoint));
    }
    TokenizerBin::parse(file.bytes).map(Content::Tokenizer).ok_or_else(|| {
        let found = readable(&file.bytes[..file.bytes.len().min(4)]);
        Error::UnknownFormat { found, file_bytes: file.bytes.len() as u64 }
    })
}

/// Return the model `checkpoint` with the tokenizer that fits it best.
fn pair<'a, 's>(
    name: &'a str,
    checkpoint: &Checkpoint<'a>,
    spares: impl Iterator<Item = &'s mut Spare<'a>>,
) -> Result<Gguf<'a>, Error>
where
    'a: 's,
{
    let n_same = |other: &str| name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let best = spares
        .filter(|spare| spare.tokenizer.n_vocab() == checkpoint.n_vocab())
        .reduce(|best, spare| if n_same(spare.name) > n_same(best.name) { spare } else { best });
    let Some(spare) = best else {
        let why =
            format!("a llama2.c model has none inside, and this one has {} tokens", checkpoint.n_vocab());
        return Err(Error::MissingFile { what: "the tokenizer.bin".to_string(), why });
    };
    spare.is_used = true;
    checkpoint.describe(name, &spare.tokenizer)
}
