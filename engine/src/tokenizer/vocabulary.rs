//! The vocabulary: each token's text and kind, and the tokens with a meaning of their own.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::format::gguf::{Gguf, Value, bad_value, readable};
use crate::{Error, Token};

/// What a token is (`tokenizer.ggml.token_type`, numbered as `enum llama_token_type` does).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A piece of text.
    Normal,
    /// What stands for text that the vocabulary lacks.
    Unknown,
    /// No text: a mark that only programs write.
    Control,
    /// Text that is one token wherever it occurs.
    UserDefined,
    /// In the vocabulary, and never in a text.
    Unused,
    /// A single byte.
    Byte(u8),
}

impl Kind {
    /// Return whether text is made of such tokens.
    fn is_text(self) -> bool {
        matches!(self, Self::Normal | Self::UserDefined)
    }
}

/// Texts of tokens that end a generation, beside those that the file names by their numbers.
const END_OF_GENERATION: [&str; 7] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|end_of_text|>",
    "<end_of_turn>",
];

/// The tokens of a model.
#[derive(Debug)]
pub(super) struct Vocabulary<'a> {
    pieces: Vec<&'a str>,
    kinds: Vec<Kind>,
    /// The tokens by the hashes of their texts: numbers alone, so that all of them stay in a core's cache.
    by_text: HashTable<Token>,
    hasher: DefaultHashBuilder,
    end: Vec<Token>,
    pub(super) bos: Option<Token>,
    pub(super) eos: Option<Token>,
}

impl<'a> Vocabulary<'a> {
    /// Return the vocabulary of `gguf`.
    ///
    /// # Errors
    /// When a list is missing, of another length than the others, or holds what no vocabulary has.
    pub(super) fn load(gguf: &Gguf<'a>) -> Result<Self, Error> {
        let key = "tokenizer.ggml.tokens";
        let texts = gguf.strings(key)?;
        let mut pieces = Vec::with_capacity(texts.len());
        for (token, piece) in texts.iter().enumerate() {
            match core::str::from_utf8(piece) {
                Ok(piece) => pieces.push(piece),
                Err(_) => {
                    let what = format!("token {token} of {key}");
                    return Err(bad_value(&what, "UTF-8 text", readable(piece)));
                }
            }
        }
        let mut kinds = kinds(gguf, &pieces)?;
        let id = |name: &str| token_id(gguf, &format!("tokenizer.ggml.{name}_token_id"), pieces.len());
        let [bos, eos, eot, eom] = [id("bos")?, id("eos")?, id("eot")?, id("eom")?];
        let mut end: Vec<Token> = Vec::new();
        for (token, (piece, kind)) in (0..).zip(pieces.iter().zip(&mut kinds)) {
            let ends = END_OF_GENERATION.contains(piece);
            if ends {
                // Some files take it for text; a person who types it must not end their own turn.
                *kind = Kind::Control;
            }
            if ends || [eos, eot, eom].contains(&Some(token)) {
                end.push(token);
            }
        }
        let hasher = DefaultHashBuilder::default();
        let by_text = by_text(&pieces, &kinds, &hasher);
        Ok(Self { pieces, kinds, by_text, hasher, end, bos, eos })
    }

    /// Return the number of tokens.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Return the text of `token`, as the file writes it.
    pub(super) fn piece(&self, token: Token) -> Option<&'a str> {
        self.pieces.get(token as usize).copied()
    }

    /// Return what `token` is, if there is one.
    pub(super) fn kind(&self, token: Token) -> Option<Kind> {
        self.kinds.get(token as usize).copied()
    }

    /// Return whether `token` ends a generation.
    pub(super) fn is_end(&self, token: Token) -> bool {
        self.end.contains(&token)
    }

    /// Return the tokens with their texts and kinds.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Token, &'a str, Kind)> {
        (0..).zip(self.pieces.iter().zip(&self.kinds)).map(|(token, (&piece, &kind))| (token, piece, kind))
    }

    /// Return the token that stands for text which the vocabulary lacks, if there is one.
    pub(super) fn unknown(&self) -> Option<Token> {
        self.iter().find(|&(_, _, kind)| kind == Kind::Unknown).map(|(token, ..)| token)
    }

    /// Return the token with the text `text`. Of several, those that text is made of come before the others, and the first
    /// counts.
    pub(super) fn token(&self, text: &[u8]) -> Option<Token> {
        let is_it = |&token: &Token| self.pieces[token as usize].as_bytes() == text;
        self.by_text.find(self.hasher.hash_one(text), is_it).copied()
    }

    /// Return whether no two tokens have the same text.
    pub(super) fn are_texts_unique(&self) -> bool {
        self.by_text.len() == self.len()
    }

    /// Return whether text is made of `token`.
    pub(super) fn is_text(&self, token: Token) -> bool {
        self.kind(token).is_some_and(Kind::is_text)
    }
}

/// Return the tokens by the hashes of their texts, of several with one text the one that [`Vocabulary::token`] returns.
fn by_text(pieces: &[&str], kinds: &[Kind], hasher: &DefaultHashBuilder) -> HashTable<Token> {
    let text = |token: Token| pieces[token as usize].as_bytes();
    let is_text = |token: Token| kinds[token as usize].is_text();
    let mut by_text = HashTable::with_capacity(pieces.len());
    for token in 0..pieces.len() as Token {
        let is_same = |&other: &Token| text(other) == text(token);
        let entry =
            by_text.entry(hasher.hash_one(text(token)), is_same, |&other| hasher.hash_one(text(other)));
        entry
            .and_modify(|first| {
                if is_text(token) && !is_text(*first) {
                    *first = token
                }
            })
            .or_insert(token);
    }
    by_text
}

/// Return what each of `pieces` is; all are normal where the file has no types.
fn kinds(gguf: &Gguf<'_>, pieces: &[&str]) -> Result<Vec<Kind>, Error> {
    let key = "tokenizer.ggml.token_type";
    let types = match gguf.value(key) {
        None => return Ok(alloc::vec![Kind::Normal; pieces.len()]),
        Some(Value::Array(types)) if types.iter().len() == pieces.len() => types,
        Some(other) => {
            let expected = format!("one integer for each of the {} tokens", pieces.len());
            return Err(bad_value(key, &expected, other.to_string()));
        }
    };
    let mut kinds = Vec::with_capacity(pieces.len());
    for (token, (kind, piece)) in types.iter().zip(pieces).enumerate() {
        let number = match kind {
            Value::Signed(number) => Some(number),
            Value::Unsigned(number) => i64::try_from(number).ok(),
            _ => None,
        };
        kinds.push(match number {
            // 0 is "undefined": some files say so of every token.
            Some(0 | 1) => Kind::Normal,
            Some(2) => Kind::Unknown,
            Some(3) => Kind::Control,
            Some(4) => Kind::UserDefined,
            Some(5) => Kind::Unused,
            Some(6) => Kind::Byte(byte_of(piece).ok_or_else(|| {
                let what = format!("token {token}, a byte,");
                bad_value(&what, "written as <0x00> to <0xFF>", format!("{piece:?}"))
            })?),
            _ => {
                let what = format!("the type of token {token} in {key}");
                return Err(bad_value(&what, "0 to 6", kind.to_string()));
            }
        });
    }
    Ok(kinds)
}

/// Return the byte that `piece` names as `<0x0A>`.
pub(crate) fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_hex { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// Return the token under `key`, if the file names one.
fn token_id(gguf: &Gguf<'_>, key: &str, n_vocab: usize) -> Result<Option<Token>, Error> {
    match gguf.count(key)? {
        Some(token) if token >= n_vocab => {
            Err(bad_value(key, &format!("a token below {n_vocab}"), token.to_string()))
        }
        token => Ok(token.map(|token| token as Token)),
    }
}
