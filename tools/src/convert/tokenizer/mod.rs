//! The tokenizer of a checkpoint: its files, and the metadata that GGUF has for it.
//!
//! [`spm`] reads SentencePiece's tokenizer.model, [`bpe`] the tokenizer.json of Hugging Face's tokenizers and the older
//! vocab.json with merges.txt. Which way of cutting words it is, [`pre`] finds out; [`special`] has what is beside the words.

mod bpe;
mod pre;
mod special;
mod spm;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::architecture::Architecture;
use super::config::Config;
use crate::gguf::Header;
use special::Special;

/// What SentencePiece writes a space as: U+2581, LOWER ONE EIGHTH BLOCK.
pub(super) const SPACE: char = '\u{2581}';

/// What a token is, numbered as `tokenizer.ggml.token_type` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// A token: its text, and what it is.
#[derive(Clone, Debug, PartialEq)]
struct Piece {
    text: String,
    kind: Kind,
    /// SentencePiece's score; 0 elsewhere.
    score: f32,
}

/// How text becomes tokens.
#[derive(Debug)]
enum Model {
    /// Byte-level BPE: merges, `"left right"`, and the name of the way in which words are cut.
    Bpe { merges: Vec<String>, pre: &'static str },
    /// SentencePiece's BPE, and whether a text begins with a space that it does not have.
    Spm { adds_space_prefix: bool },
}

/// A tokenizer, before it is known how many rows the embedding has.
#[derive(Debug)]
struct Vocabulary {
    pieces: Vec<Piece>,
    model: Model,
    special: Special,
}

impl Vocabulary {
    /// Make `text` the token `id`, of whatever it was before. Tokens between the last one and it are unused.
    fn add(&mut self, id: u32, text: &str, is_special: bool, most: usize) -> Result<()> {
        let id = id as usize;
        ensure!(id < most, "the token {text:?} is number {id}, and the embedding has {most} rows");
        self.pad(id + 1);
        // Some files forget that what programs write is special; whoever types it must not be taken for a program.
        let is_control = is_special || text.starts_with("<|") && text.ends_with("|>");
        let kind = match self.pieces[id].kind {
            known @ (Kind::Unknown | Kind::Byte) => known,
            _ if is_control => Kind::Control,
            _ => Kind::UserDefined,
        };
        let score = self.pieces[id].score;
        self.pieces[id] = Piece { text: text.to_string(), kind, score };
        Ok(())
    }

    /// Add unused tokens until there are `len`.
    fn pad(&mut self, len: usize) {
        for id in self.pieces.len()..len {
            self.pieces.push(Piece { text: format!("[PAD{id}]"), kind: Kind::Unused, score: 0.0 });
        }
    }
}

/// Write the tokenizer of the checkpoint in `dir` into `header`.
///
/// # Errors
/// When there is none, it is of a kind that the engine does not have, or has more tokens than the embedding has rows.
pub(super) fn describe(dir: &Path, config: &Config, header: &mut Header) -> Result<()> {
    let mut vocabulary = read(dir, config)?;
    vocabulary.special.read(dir, config, &vocabulary.pieces)?;
    // Two files say of no token that it is special.
    for token in vocabulary.special.tokens() {
        if let Some(piece) =
            vocabulary.pieces.get_mut(token as usize).filter(|piece| piece.kind == Kind::Normal)
        {
            piece.kind = Kind::Control;
        }
    }
    let n_vocab = config.n_vocab;
    ensure!(
        vocabulary.pieces.len() <= n_vocab,
        "the tokenizer has {} tokens, and vocab_size in config.json is {n_vocab}; do both belong to one model?",
        vocabulary.pieces.len()
    );
    vocabulary.pad(n_vocab);
    let Vocabulary { pieces, model, special } = vocabulary;
    let texts: Vec<String> = pieces.iter().map(|piece| piece.text.clone()).collect();
    let kinds: Vec<i32> = pieces.iter().map(|piece| piece.kind as i32).collect();
    match &model {
        Model::Bpe { pre, .. } => {
            header.set("tokenizer.ggml.model", "gpt2");
            header.set("tokenizer.ggml.pre", *pre);
        }
        Model::Spm { .. } => {
            header.set("tokenizer.ggml.model", "llama");
            header.set("tokenizer.ggml.pre", "default");
        }
    }
    header.set("tokenizer.ggml.tokens", texts.as_slice());
    header.set("tokenizer.ggml.token_type", kinds.as_slice());
    match model {
        Model::Bpe { merges, .. } => header.set("tokenizer.ggml.merges", merges.as_slice()),
        Model::Spm { adds_space_prefix } => {
            let scores: Vec<f32> = pieces.iter().map(|piece| piece.score).collect();
            header.set("tokenizer.ggml.scores", scores.as_slice());
            header.set("tokenizer.ggml.add_space_prefix", adds_space_prefix);
        }
    }
    special.describe(header);
    Ok(())
}

/// Return the tokenizer of the checkpoint in `dir`.
fn read(dir: &Path, config: &Config) -> Result<Vocabulary> {
    let [model, json, vocab, merges] =
        ["tokenizer.model", "tokenizer.json", "vocab.json", "merges.txt"].map(|name| dir.join(name));
    // SentencePiece's own file has the scores themselves. Later models of the family have another tokenizer, and no such file.
    if config.architecture == Architecture::Llama && model.is_file() {
        return spm::read(&model, config.n_vocab).with_context(|| model.display().to_string());
    }
    if json.is_file() {
        return bpe::read(&json, config.n_vocab).with_context(|| json.display().to_string());
    }
    if vocab.is_file() && merges.is_file() {
        let pre = match config.architecture {
            Architecture::Gpt2 => "gpt-2",
            Architecture::Qwen2 | Architecture::Qwen3 => "qwen2",
            Architecture::Llama => {
                bail!("{} says not how words are cut; add the checkpoint's tokenizer.json", vocab.display())
            }
        };
        return bpe::read_pair(&vocab, &merges, pre, config.n_vocab);
    }
    bail!(
        "{} has no tokenizer: neither tokenizer.model, tokenizer.json, nor vocab.json with merges.txt; fetch it again",
        dir.display()
    )
}
