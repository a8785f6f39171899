//! Chat templates: how a conversation is written for the model that reads it.
//!
//! A GGUF carries its template as a jinja program. It is not run: what it contains tells which [`dialect`] it writes
//! ([`recognise`]), and the engine writes that turn by turn, so that a new turn goes behind what the context already
//! holds. Tools and today's date, which some templates know, are left out.
//!
//! What a person types is always encoded as text: only the template itself writes control tokens.

mod dialect;
mod recognise;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use crate::format::gguf::{Gguf, readable};
use crate::tokenizer::{Part, Tokenizer};
use crate::{Error, Token};
use dialect::{BOS, Bos, Dialect, EOS, Piece};
use recognise::{KNOWN, recognise};

/// The way a model was taught to read turns.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    dialect: Dialect,
    default_system: Option<String>,
}

impl ChatTemplate {
    /// Return the template that `gguf` asks for in `tokenizer.chat_template`; without one, there are no turns and the
    /// model continues the text.
    ///
    /// A mark that is no token of the vocabulary is written as text, as TinyLlama's `<|user|>` is.
    ///
    /// # Errors
    /// When the template is not one that the engine has.
    pub fn of(gguf: &Gguf<'_>, tokenizer: &Tokenizer<'_>) -> Result<Self, Error> {
        let Some(template) = gguf.str("tokenizer.chat_template")? else { return Ok(Self::plain(tokenizer)) };
        let (mut dialect, default_system) = recognise(template).ok_or_else(|| Error::Unsupported {
            what: "chat template",
            found: readable(template.as_bytes()),
            known: KNOWN,
        })?;
        if tokenizer.adds_bos() {
            dialect.begin_with_bos();
        }
        Ok(Self { dialect, default_system })
    }

    /// Return the system message that the template itself writes into a conversation that has none.
    pub fn default_system(&self) -> Option<&str> {
        self.default_system.as_deref()
    }

    /// Return a template without turns: the model continues the text.
    pub fn plain(tokenizer: &Tokenizer<'_>) -> Self {
        let mut dialect = Dialect::PLAIN;
        if tokenizer.adds_bos() {
            dialect.begin_with_bos();
        }
        Self { dialect, default_system: None }
    }

    /// Return the name of the dialect.
    pub fn name(&self) -> &'static str {
        self.dialect.name
    }

    /// Return how many of the tokens that a conversation begins with belong to no turn: the beginning of the sequence and
    /// the system message.
    pub fn n_before_turns(&self, tokenizer: &Tokenizer<'_>, system: Option<&str>) -> usize {
        let with = self.first_turn(tokenizer, system, "x");
        let without = self.first_turn(tokenizer, None, "x");
        let n_turn = with.iter().rev().zip(without.iter().rev()).take_while(|(a, b)| a == b).count();
        let begins_with_bos = self.dialect.bos != Bos::Nowhere && tokenizer.bos().is_some();
        (with.len() - n_turn).max(usize::from(begins_with_bos))
    }

    /// Return what must be read for the first turn of a conversation, so that the model's answer to `text` comes next.
    ///
    /// Without `system` there is no system message at all, not even [the template's own](Self::default_system).
    pub fn first_turn(&self, tokenizer: &Tokenizer<'_>, system: Option<&str>, text: &str) -> Vec<Token> {
        encode(tokenizer, &self.dialect.first_turn(system, text))
    }

    /// Return what must be read for a further turn, behind [the end of an answer](Self::end_of_answer).
    pub fn next_turn(&self, tokenizer: &Tokenizer<'_>, text: &str) -> Vec<Token> {
        encode(tokenizer, &self.dialect.next_turn(text))
    }

    /// Return what must be read to close an answer, whether the model ended it or not, before the next turn.
    pub fn end_of_answer(&self, tokenizer: &Tokenizer<'_>) -> Vec<Token> {
        encode(tokenizer, &[Piece::Markup(self.dialect.end_of_answer)])
    }
}

/// Return the tokens of `pieces`.
fn encode(tokenizer: &Tokenizer<'_>, pieces: &[Piece<'_>]) -> Vec<Token> {
    let mut tokens = Vec::new();
    // What was not encoded yet: all of it is one text, whoever wrote it.
    let mut parts = Vec::new();
    for piece in pieces {
        let mut markup = match piece {
            Piece::Text(text) => {
                parts.push(Part::Typed(text));
                continue;
            }
            Piece::Markup(markup) => *markup,
        };
        while let Some((before, token, after)) = split_at_placeholder(markup, tokenizer) {
            parts.push(Part::Written(before));
            tokens.extend(tokenizer.encode_parts(&parts));
            tokens.extend(token);
            parts.clear();
            markup = after;
        }
        parts.push(Part::Written(markup));
    }
    tokens.extend(tokenizer.encode_parts(&parts));
    tokens
}

/// Return what lies before and behind the first placeholder in `markup`, and the token that it stands for.
fn split_at_placeholder(
    markup: &'static str,
    tokenizer: &Tokenizer<'_>,
) -> Option<(&'static str, Option<Token>, &'static str)> {
    let placeholders = [(BOS, tokenizer.bos()), (EOS, tokenizer.eos())];
    let splits = placeholders.into_iter().filter_map(|(placeholder, token)| {
        let (before, after) = markup.split_once(placeholder)?;
        Some((before, token, after))
    });
    splits.min_by_key(|(before, ..)| before.len())
}
