//! Tokens to text, as they come.

use alloc::string::String;

use super::Tokenizer;
use super::utf8_stream::Utf8Stream;
use crate::Token;

/// The text of one answer in the making: the bytes of a character are held back until all of them are there.
#[derive(Debug)]
pub struct Decoder<'t> {
    tokenizer: &'t Tokenizer<'t>,
    stream: Utf8Stream,
    /// Whether a space that comes next is the one that the tokenizer puts before every text.
    drops_space: bool,
}

impl<'t> Decoder<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer<'t>) -> Self {
        Self { tokenizer, stream: Utf8Stream::default(), drops_space: tokenizer.adds_space_prefix() }
    }

    /// Add `token` and return the characters that are complete now; what can be no character becomes U+FFFD.
    pub fn push(&mut self, token: Token) -> String {
        let bytes = self.tokenizer.piece(token);
        let text = self.text(&bytes);
        self.drops_space &= bytes.is_empty();
        self.stream.push(text)
    }

    /// Return the part of `bytes`, those of the next token, that is text.
    pub(crate) fn text<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        match bytes.strip_prefix(b" ") {
            Some(rest) if self.drops_space => rest,
            _ => bytes,
        }
    }

    /// Return whether a space that begins the next token is no text.
    pub(crate) fn drops_space(&self) -> bool {
        self.drops_space
    }

    /// Return what is left when nothing more comes: U+FFFD for a character that was never completed.
    pub fn finish(&mut self) -> String {
        self.stream.finish()
    }
}
