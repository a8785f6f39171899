//! A grammar over the tokens of a vocabulary: which of them may follow.

use alloc::vec::Vec;

use super::Grammar;
use super::matcher::{Matcher, State};
use super::token_texts::TokenTexts;
use crate::sampler::TokenSet;
use crate::tokenizer::Tokenizer;
use crate::{Error, Token};

/// What an answer is held to: a grammar, over the tokens of a model.
#[derive(Debug)]
pub struct Constraint {
    matcher: Matcher,
    texts: TokenTexts,
    /// The tokens that end a generation.
    ends: Vec<Token>,
    allowed: TokenSet,
    /// Where `allowed` is what is allowed: a state of the matcher, and whether a space is dropped there.
    allowed_at: Option<((State, usize), bool)>,
    states: Vec<State>,
}

impl Constraint {
    /// Return the beginning of an answer in tokens of `tokenizer` that `grammar` matches.
    pub fn new(grammar: Grammar, tokenizer: &Tokenizer<'_>) -> Self {
        let tokens = 0..tokenizer.n_vocab() as Token;
        Self {
            matcher: Matcher::new(grammar),
            texts: TokenTexts::new(tokenizer),
            ends: tokens.filter(|&token| tokenizer.is_end(token)).collect(),
            allowed: TokenSet::new(tokenizer.n_vocab()),
            allowed_at: None,
            states: Vec::new(),
        }
    }

    /// Begin a new answer, or one that goes on behind `begun`, tokens of `tokenizer` that were shown.
    ///
    /// # Errors
    /// When the grammar is too ambiguous to be followed.
    pub fn restart(&mut self, begun: &[Token], tokenizer: &Tokenizer<'_>) -> Result<(), Error> {
        self.matcher.restart();
        let mut decoder = tokenizer.decoder();
        for &token in begun {
            self.accept(decoder.text(&tokenizer.piece(token)))?;
            decoder.push(token);
        }
        Ok(())
    }

    /// Return the tokens with each of which the answer can still become one that the grammar matches; those that end it
    /// where it does already.
    ///
    /// With `drops_space`, a space that begins a token is no part of the answer.
    ///
    /// # Errors
    /// When the grammar is too ambiguous to be followed.
    pub fn allowed(&mut self, drops_space: bool) -> Result<&TokenSet, Error> {
        self.matcher.forget_old_states();
        let at = Some((self.matcher.state(), drops_space));
        // Within a string, say, nothing changes from token to token.
        if self.allowed_at != at {
            self.allowed_at = None;
            self.allowed.clear();
            self.texts.allow(&mut self.matcher, drops_space, &mut self.states, &mut self.allowed)?;
            if self.matcher.is_complete() {
                self.ends.iter().for_each(|&end| self.allowed.insert(end));
            }
            self.allowed_at = at;
        }
        Ok(&self.allowed)
    }

    /// Add `text` to the answer.
    ///
    /// # Errors
    /// When the grammar is too ambiguous to be followed.
    pub fn accept(&mut self, text: &[u8]) -> Result<(), Error> {
        self.matcher.push(text).map(drop)
    }

    /// Return whether the answer matches, and nothing can be added to it.
    pub fn is_finished(&self) -> bool {
        self.matcher.is_complete() && self.matcher.is_finished()
    }
}
