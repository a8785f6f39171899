//! Text to tokens and back.
//!
//! The vocabulary comes with the model (`tokenizer.ggml.*`). [`pretokenize`] cuts a text into words, [`bpe`] merges each
//! word's bytes into tokens.

mod bpe;
mod byte_text;
mod pretokenize;
mod utf8_stream;

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

pub use utf8_stream::Utf8Stream;

use crate::format::gguf::{Gguf, Value, bad_value, readable, required};
use crate::{Error, Token};
use bpe::Merges;

/// `tokenizer.ggml.token_type` of control tokens, which stand for no text (`llama_token_type`).
const TOKEN_TYPE_CONTROL: i64 = 3;

/// Texts of tokens that end a generation, beside the one that the file names as its end of sequence.
const END_OF_GENERATION: [&str; 5] = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end|>", "</s>"];

/// A model's vocabulary, and the way from text to it.
#[derive(Debug)]
pub struct Tokenizer<'a> {
    /// The text of each token, bytes written as characters (see [`byte_text`]).
    pieces: Vec<&'a str>,
    control: Vec<bool>,
    end: Vec<Token>,
    merges: Merges,
}

/// Return about how many bytes [`Tokenizer::load`] allocates for the tokenizer of `gguf`, at its peak.
pub fn memory_required(gguf: &Gguf<'_>) -> u64 {
    let len = |key: &str| gguf.strings(key).map_or(0, |strings| strings.len() as u64);
    // A piece and its control flag; an entry of a hash table that is up to half empty (the vocabulary's, dropped after
    // loading, and the merges').
    len("tokenizer.ggml.tokens") * (17 + 2 * 25) + len("tokenizer.ggml.merges") * (2 * 17)
}

impl<'a> Tokenizer<'a> {
    /// Return the tokenizer of `gguf`.
    ///
    /// # Errors
    /// When it is missing, contradicts itself, or is of a kind that the engine does not have.
    pub fn load(gguf: &Gguf<'a>) -> Result<Self, Error> {
        for (what, key, known) in
            [("tokenizer", "tokenizer.ggml.model", "gpt2"), ("pre-tokenizer", "tokenizer.ggml.pre", "smollm")]
        {
            let found = required(key, gguf.str(key)?)?;
            if found != known {
                return Err(Error::Unsupported { what, found: readable(found.as_bytes()), known });
            }
        }

        let key = "tokenizer.ggml.tokens";
        let mut pieces = Vec::new();
        for (token, piece) in gguf.strings(key)?.iter().enumerate() {
            match core::str::from_utf8(piece) {
                Ok(piece) => pieces.push(piece),
                Err(_) => {
                    let what = format!("token {token} of {key}");
                    return Err(bad_value(&what, "UTF-8 text", readable(piece)));
                }
            }
        }
        let control = control_tokens(gguf, pieces.len())?;
        let merges = Merges::load(gguf, &pieces)?;
        let mut end = Vec::new();
        if let Some(eos) = token_id(gguf, "tokenizer.ggml.eos_token_id", pieces.len())? {
            end.push(eos);
        }
        for (token, (piece, &control)) in (0..).zip(pieces.iter().zip(&control)) {
            if control && END_OF_GENERATION.contains(piece) && !end.contains(&token) {
                end.push(token);
            }
        }
        Ok(Self { pieces, control, end, merges })
    }

    /// Return the tokens of `text`. No control token is ever among them, whatever the text says.
    pub fn encode(&self, text: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        for word in pretokenize::smollm(text) {
            self.merges.encode_word(word, &mut tokens);
        }
        tokens
    }

    /// Return the bytes that `token` stands for: perhaps a part of a character, nothing for a control token.
    pub fn piece(&self, token: Token) -> Vec<u8> {
        match self.pieces.get(token as usize) {
            Some(piece) if !self.is_control(token) => byte_text::to_bytes(piece),
            _ => Vec::new(),
        }
    }

    /// Return whether `token` ends a generation.
    pub fn is_end(&self, token: Token) -> bool {
        self.end.contains(&token)
    }

    /// Return whether `token` stands for no text.
    pub fn is_control(&self, token: Token) -> bool {
        self.control.get(token as usize).copied().unwrap_or(false)
    }

    /// Return the control token with the text `text`, if there is one.
    pub fn control_token(&self, text: &str) -> Option<Token> {
        (0..)
            .zip(&self.pieces)
            .find(|&(token, &piece)| piece == text && self.is_control(token))
            .map(|(token, _)| token)
    }

    /// Return the number of tokens.
    pub fn n_vocab(&self) -> usize {
        self.pieces.len()
    }
}

/// Return, per token, whether it is a control token; none is where the file has no types.
fn control_tokens(gguf: &Gguf<'_>, n_vocab: usize) -> Result<Vec<bool>, Error> {
    let key = "tokenizer.ggml.token_type";
    let control: Vec<bool> = match gguf.value(key) {
        None => return Ok(alloc::vec![false; n_vocab]),
        Some(Value::Array(types)) => {
            types.iter().map(|kind| kind == Value::Signed(TOKEN_TYPE_CONTROL)).collect()
        }
        Some(other) => return Err(bad_value(key, "an array of integers", other.to_string())),
    };
    if control.len() != n_vocab {
        return Err(bad_value(
            key,
            &format!("one for each of the {n_vocab} tokens"),
            format!("{} long", control.len()),
        ));
    }
    Ok(control)
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
