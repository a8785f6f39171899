//! BPE in Hugging Face's files: tokenizer.json, or vocab.json with merges.txt.
//!
//! tokenizer.json may also hold SentencePiece's BPE (as Llama 2 and TinyLlama have it), with its pieces' ranks in the order of
//! the merges; that becomes SentencePiece's again.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value as Json;

use super::special::Special;
use super::{Kind, Model, Piece, SPACE, Vocabulary, pre};
use crate::checkpoint::read_json;

/// tokenizer.json, as far as it matters here.
#[derive(Deserialize)]
struct TokenizerJson {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Json>,
    pre_tokenizer: Option<Json>,
    post_processor: Option<Json>,
    model: Json,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct BpeJson {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    #[serde(default)]
    byte_fallback: bool,
    unk_token: Option<String>,
}

/// Older files join both with a space.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Joined(String),
    Pair(String, String),
}

impl Merge {
    fn joined(self) -> String {
        match self {
            Self::Joined(merge) => merge,
            Self::Pair(left, right) => format!("{left} {right}"),
        }
    }
}

/// Return the tokenizer in the file `path`, a tokenizer.json, for an embedding of `n_vocab` rows.
pub(super) fn read(path: &Path, n_vocab: usize) -> Result<Vocabulary> {
    let TokenizerJson { added_tokens, normalizer, pre_tokenizer, post_processor, model } = read_json(path)?;
    // The oldest files do not say it.
    let kind = model.get("type").and_then(Json::as_str).unwrap_or("BPE");
    ensure!(kind == "BPE", "the tokenizer is of the type {kind}, and the engine has BPE");
    let model: BpeJson = serde_json::from_value(model).context("the model is not as it should be")?;
    let mut pieces = pieces(model.vocab, n_vocab)?;
    let merges: Vec<String> = model.merges.into_iter().map(Merge::joined).collect();
    let model = if model.byte_fallback {
        rank(&mut pieces, &merges, model.unk_token.as_deref());
        Model::Spm { adds_space_prefix: adds_space_prefix(normalizer.as_ref(), pre_tokenizer.as_ref()) }
    } else {
        Model::Bpe { merges, pre: pre::name(pre_tokenizer.as_ref())? }
    };
    let mut vocabulary = Vocabulary { pieces, model, special: Special::default() };
    for AddedToken { id, content, special } in added_tokens {
        vocabulary.add(id, &content, special, n_vocab)?;
    }
    vocabulary.special.read_post_processor(post_processor.as_ref());
    Ok(vocabulary)
}

/// Return the tokenizer in two files, the tokens and their merges, whose words are cut as `pre` names it.
pub(super) fn read_pair(
    vocab: &Path,
    merges: &Path,
    pre: &'static str,
    n_vocab: usize,
) -> Result<Vocabulary> {
    let pieces = pieces(read_json(vocab)?, n_vocab).with_context(|| vocab.display().to_string())?;
    let text = fs::read_to_string(merges).with_context(|| format!("cannot read {}", merges.display()))?;
    // The first line tells a version.
    let lines = text
        .lines()
        .enumerate()
        .filter(|(i, line)| !(line.is_empty() || *i == 0 && line.starts_with("#version")));
    let merges = lines.map(|(_, line)| line.to_string()).collect();
    Ok(Vocabulary { pieces, model: Model::Bpe { merges, pre }, special: Special::default() })
}

/// Return the tokens of `vocab` in order; numbers that it leaves out are unused.
fn pieces(vocab: HashMap<String, u32>, n_vocab: usize) -> Result<Vec<Piece>> {
    let mut pieces: Vec<Option<Piece>> = Vec::new();
    for (text, id) in vocab {
        let id = id as usize;
        ensure!(id < n_vocab, "the token {text:?} is number {id}, and the embedding has {n_vocab} rows");
        if pieces.len() <= id {
            pieces.resize(id + 1, None);
        }
        if let Some(other) = pieces[id].replace(Piece { text: text.clone(), kind: Kind::Normal, score: 0.0 })
        {
            bail!("the tokens {text:?} and {:?} are both number {id}", other.text);
        }
    }
    let unused = |(id, piece): (usize, Option<Piece>)| {
        piece.unwrap_or_else(|| Piece { text: format!("[PAD{id}]"), kind: Kind::Unused, score: 0.0 })
    };
    Ok(pieces.into_iter().enumerate().map(unused).collect())
}

/// Give `pieces`, those of SentencePiece, their kinds, and scores that tell which of `merges` comes first.
fn rank(pieces: &mut [Piece], merges: &[String], unknown: Option<&str>) {
    let mut scores: HashMap<String, f32> = HashMap::new();
    for (rank, merge) in merges.iter().enumerate() {
        scores.entry(merge.replacen(' ', "", 1)).or_insert(-(rank as f32));
    }
    let last = -(merges.len() as f32);
    for piece in pieces {
        let is_byte = piece.text.len() == 6 && piece.text.starts_with("<0x") && piece.text.ends_with('>');
        piece.score = scores.get(&piece.text).copied().unwrap_or(last);
        if Some(piece.text.as_str()) == unknown {
            piece.kind = Kind::Unknown;
        } else if is_byte {
            piece.kind = Kind::Byte;
        }
    }
}

/// Return whether SentencePiece's tokenizer puts a space before a text: as one of the steps that change the text before all else,
/// or as one that cuts it.
fn adds_space_prefix(normalizer: Option<&Json>, pre_tokenizer: Option<&Json>) -> bool {
    let prepends = |step: &Json| match step.get("type").and_then(Json::as_str) {
        Some("Prepend") => step.get("prepend").and_then(Json::as_str) == Some(SPACE.to_string().as_str()),
        Some("Metaspace") => {
            let scheme = step.get("prepend_scheme").and_then(Json::as_str);
            scheme
                .map_or(step.get("add_prefix_space") != Some(&Json::Bool(false)), |scheme| scheme != "never")
        }
        _ => false,
    };
    [normalizer, pre_tokenizer].into_iter().flatten().flat_map(pre::steps).any(prepends)
}
