//! Answers that a grammar matches: llama.cpp's GBNF, and JSON as one grammar of it.
//!
//! A text is compiled once: `parser` reads it, `program` makes steps over bytes of it, and `analysis` refuses what could
//! not be followed. Then, for each token: [`Matcher`] knows what may come next, `token_texts` asks it for the whole
//! vocabulary, and [`Constraint`] is what a [`Generation`](crate::generation::Generation) is held to.
//!
//! What is kept can always be completed: steps from which a rule never comes to its end are left out, and a part of a
//! character is followed only where a character that the grammar allows begins with it.

mod analysis;
mod constraint;
mod matcher;
mod parser;
mod program;
mod stacks;
mod token_texts;

pub use constraint::Constraint;
pub use matcher::Matcher;

use crate::Error;
use program::Program;

/// The grammar of JSON (RFC 8259), somewhat restricted: it says itself how, and why.
pub const JSON: &str = include_str!("json.gbnf");

/// A grammar.
#[derive(Clone, Debug)]
pub struct Grammar {
    program: Program,
}

impl Grammar {
    /// Return the grammar that `text` writes in GBNF.
    ///
    /// # Errors
    /// [`Error::BadGrammar`], when it is none, has no end, is left-recursive or too large.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self { program: Program::compile(text)? })
    }
}
