//! Text to tokens and back.
//!
//! The vocabulary comes with the model (`tokenizer.ggml.*`), and with it the kind of tokenizer: [`bpe`] (GPT-2's, over
//! bytes) or [`spm`] (SentencePiece's, over characters). Before either, [`special`] finds the tokens that are matched whole.

mod bpe;
mod byte_text;
mod decoder;
mod merge;
mod pretokenize;
mod special;
mod spm;
mod utf8_stream;
mod vocabulary;

use alloc::string::String;
use alloc::vec::Vec;

pub use decoder::Decoder;
pub(crate) use vocabulary::byte_of;

use crate::format::gguf::{Gguf, readable, required};
use crate::platform::{OneCore, Workers};
use crate::{Error, Token};
use bpe::Bpe;
use special::{Special, Specials};
use spm::Spm;
use vocabulary::{Kind, Vocabulary};

/// A model's vocabulary, and the way from text to it.
#[derive(Debug)]
pub struct Tokenizer<'a> {
    vocabulary: Vocabulary<'a>,
    specials: Specials<'a>,
    model: Model,
    adds_bos: bool,
    adds_eos: bool,
}

/// How text between special tokens becomes tokens.
#[derive(Debug)]
enum Model {
    Bpe(Bpe),
    Spm(Spm),
}

/// A part of the text that is encoded, and who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'t> {
    /// Text that a person typed: no control token, whatever it says.
    Typed(&'t str),
    /// Text of a program, such as a chat template: a control token wherever one is spelled.
    Written(&'t str),
}

impl<'t> Part<'t> {
    fn text(self) -> &'t str {
        match self {
            Self::Typed(text) | Self::Written(text) => text,
        }
    }
}

/// Return about how many bytes [`Tokenizer::load`] allocates for the tokenizer of `gguf`, at its peak.
pub fn memory_required(gguf: &Gguf<'_>) -> u64 {
    let len = |key: &str| gguf.strings(key).map_or(0, |strings| strings.len() as u64);
    // A piece, its kind, and its rank; perhaps a special token; its place in a table that is up to half empty. A merge's tokens, and
    // its place in such a table.
    len("tokenizer.ggml.tokens") * (16 + 2 + 4 + 24 + 2 * 5) + len("tokenizer.ggml.merges") * (16 + 2 * 17)
}

impl<'a> Tokenizer<'a> {
    /// Return the tokenizer of `gguf`.
    ///
    /// # Errors
    /// When it is missing, contradicts itself, or is of a kind that the engine does not have.
    pub fn load(gguf: &Gguf<'a>) -> Result<Self, Error> {
        Self::load_with(gguf, &OneCore)
    }

    /// As [`Self::load`], with `workers`.
    ///
    /// # Errors
    /// The same.
    pub fn load_with(gguf: &Gguf<'a>, workers: &dyn Workers) -> Result<Self, Error> {
        let vocabulary = Vocabulary::load(gguf)?;
        let key = "tokenizer.ggml.model";
        let model = match required(key, gguf.str(key)?)? {
            "gpt2" => Model::Bpe(Bpe::load(gguf, &vocabulary, workers)?),
            "llama" => Model::Spm(Spm::load(gguf, &vocabulary, spm::SPACE)?),
            "llama2.c" => Model::Spm(Spm::load(gguf, &vocabulary, ' ')?),
            other => {
                let found = readable(other.as_bytes());
                return Err(Error::Unsupported { what: "tokenizer", found, known: "gpt2, llama" });
            }
        };
        // Where the file does not say, as llama.cpp takes it: these vocabularies were trained with one.
        let adds_bos = match &model {
            Model::Bpe(bpe) => bpe.adds_bos(),
            Model::Spm(_) => true,
        };
        Ok(Self {
            specials: Specials::load(&vocabulary)?,
            adds_bos: gguf.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos),
            adds_eos: gguf.bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false),
            vocabulary,
            model,
        })
    }

    /// Return the tokens of `text`, which a person typed. No control token is ever among them, whatever the text says.
    pub fn encode(&self, text: &str) -> Vec<Token> {
        self.encode_parts(&[Part::Typed(text)])
    }

    /// Return the tokens of `text`, which a program wrote: control tokens where they are spelled.
    pub fn encode_with_control(&self, text: &str) -> Vec<Token> {
        self.encode_parts(&[Part::Written(text)])
    }

    /// Return the tokens of one text that is made of `parts`; what lies between control tokens is encoded as a whole,
    /// whoever wrote it. A control token has to be spelled within one part.
    ///
    /// User-defined tokens are found in all of the text. Of several special tokens at one place, the longest is taken.
    pub fn encode_parts(&self, parts: &[Part<'_>]) -> Vec<Token> {
        let text: String = parts.iter().map(|part| part.text()).collect();
        let mut tokens = Vec::new();
        // Before the first character, and after a control token.
        let mut at_start = true;
        let mut pending = 0;
        let mut end = 0;
        let mut skip_to = 0;
        for part in parts {
            let start = end;
            end += part.text().len();
            for (at, _) in part.text().char_indices().map(|(at, c)| (start + at, c)) {
                if at < skip_to {
                    continue;
                }
                let is_allowed = |special: &Special<'_>| {
                    !special.is_control || matches!(part, Part::Written(_)) && at + special.len() <= end
                };
                let Some(special) = self.specials.longest_at(&text[at..], is_allowed) else { continue };
                // The space that begins a text comes before a user-defined token too: that is text.
                if pending < at || at_start && !special.is_control {
                    self.encode_text(&text[pending..at], at_start, &mut tokens);
                }
                tokens.push(special.token);
                at_start = special.is_control;
                skip_to = at + special.len();
                pending = skip_to;
            }
        }
        if pending < text.len() {
            self.encode_text(&text[pending..], at_start, &mut tokens);
        }
        tokens
    }

    /// Add the tokens of `text`, in which no special token is, to `tokens`.
    fn encode_text(&self, text: &str, at_start: bool, tokens: &mut Vec<Token>) {
        match &self.model {
            Model::Bpe(bpe) => bpe.encode(&self.vocabulary, text, tokens),
            Model::Spm(spm) => spm.encode(&self.vocabulary, text, at_start, tokens),
        }
    }

    /// Return the bytes that `token` stands for: perhaps a part of a character, nothing for a token that is no text.
    pub fn piece(&self, token: Token) -> Vec<u8> {
        let (Some(piece), Some(kind)) = (self.vocabulary.piece(token), self.vocabulary.kind(token)) else {
            return Vec::new();
        };
        match (kind, &self.model) {
            (Kind::Normal, Model::Bpe(_)) => byte_text::to_bytes(piece),
            (Kind::Normal, Model::Spm(_)) => piece.replace(spm::SPACE, " ").into_bytes(),
            (Kind::UserDefined, _) => piece.as_bytes().to_vec(),
            (Kind::Byte(byte), _) => alloc::vec![byte],
            (Kind::Control | Kind::Unknown | Kind::Unused, _) => Vec::new(),
        }
    }

    /// Return `token` as the vocabulary spells it, control tokens too; nothing for one beyond the vocabulary.
    pub fn spelling(&self, token: Token) -> &'a str {
        self.vocabulary.piece(token).unwrap_or_default()
    }

    /// Return a decoder for the tokens of one answer.
    pub fn decoder(&self) -> Decoder<'_> {
        Decoder::new(self)
    }

    /// Return whether `token` ends a generation.
    pub fn is_end(&self, token: Token) -> bool {
        self.vocabulary.is_end(token)
    }

    /// Return whether `token` stands for no text.
    pub fn is_control(&self, token: Token) -> bool {
        self.vocabulary.kind(token) == Some(Kind::Control)
    }

    /// Return the control token with the text `text`, if there is one.
    pub fn control_token(&self, text: &str) -> Option<Token> {
        self.specials.control(text)
    }

    /// Return the token that begins a sequence, if there is one.
    pub fn bos(&self) -> Option<Token> {
        self.vocabulary.bos
    }

    /// Return the token that ends a sequence, if there is one.
    pub fn eos(&self) -> Option<Token> {
        self.vocabulary.eos
    }

    /// Return whether the model expects [`Self::bos`] before everything else.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Return whether the model expects [`Self::eos`] behind a text.
    pub fn adds_eos(&self) -> bool {
        self.adds_eos
    }

    /// Return the number of tokens.
    pub fn n_vocab(&self) -> usize {
        self.vocabulary.len()
    }

    /// Return whether a text begins with a space that it does not have.
    fn adds_space_prefix(&self) -> bool {
        matches!(&self.model, Model::Spm(spm) if spm.adds_space_prefix)
    }
}

#[cfg(test)]
mod tests;
