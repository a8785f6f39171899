//! A set of tokens of one vocabulary.

use alloc::vec;
use alloc::vec::Vec;

use crate::Token;

/// A set of tokens: a bit for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSet {
    words: Vec<u64>,
}

impl TokenSet {
    /// Return a set with no token in it and room for `n_vocab`.
    pub fn new(n_vocab: usize) -> Self {
        Self { words: vec![0; n_vocab.div_ceil(64)] }
    }

    /// Take all tokens out.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Put `token` in.
    ///
    /// # Panics
    /// When the set has no room for it: this is the caller's mistake.
    pub fn insert(&mut self, token: Token) {
        self.words[token as usize / 64] |= 1 << (token % 64);
    }

    /// Return whether `token` is in.
    pub fn contains(&self, token: Token) -> bool {
        self.words.get(token as usize / 64).is_some_and(|word| word >> (token % 64) & 1 == 1)
    }
}
