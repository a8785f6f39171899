//! The texts of a vocabulary, in an order in which what several begin with is looked at once.

use alloc::vec::Vec;

use super::matcher::{DEAD, Matcher, State};
use crate::sampler::TokenSet;
use crate::tokenizer::Tokenizer;
use crate::{Error, Token};

/// The texts of all tokens that have one, sorted.
#[derive(Debug)]
pub(super) struct TokenTexts {
    entries: Vec<Entry>,
    /// All of the texts, one behind the other.
    bytes: Vec<u8>,
    /// The length of the longest.
    max_len: usize,
}

/// A token's text.
#[derive(Debug)]
struct Entry {
    token: Token,
    /// Where it ends in the bytes of all; it begins where the one before ends.
    end: u32,
    /// How many bytes it shares with the one before.
    n_shared: u32,
}

impl TokenTexts {
    /// Return the texts of the tokens of `tokenizer`, without those that end a generation.
    pub(super) fn new(tokenizer: &Tokenizer<'_>) -> Self {
        let tokens = (0..tokenizer.n_vocab() as Token).filter(|&token| !tokenizer.is_end(token));
        let texts = tokens.map(|token| (tokenizer.piece(token), token));
        let mut texts: Vec<(Vec<u8>, Token)> = texts.filter(|(text, _)| !text.is_empty()).collect();
        texts.sort_unstable();
        let mut bytes: Vec<u8> = Vec::with_capacity(texts.iter().map(|(text, _)| text.len()).sum());
        let mut entries: Vec<Entry> = Vec::with_capacity(texts.len());
        let mut before: &[u8] = &[];
        for (text, token) in &texts {
            let n_shared = before.iter().zip(text).take_while(|(a, b)| a == b).count() as u32;
            bytes.extend(text);
            entries.push(Entry { token: *token, end: bytes.len() as u32, n_shared });
            before = text;
        }
        let max_len = texts.iter().map(|(text, _)| text.len()).max().unwrap_or(0);
        Self { entries, bytes, max_len }
    }

    /// Add to `allowed` each token whose text may come next in the text of `matcher`. `states` is scratch.
    ///
    /// With `drops_space`, a space that begins a token is no part of the text.
    ///
    /// # Errors
    /// When the grammar is too ambiguous to be followed.
    pub(super) fn allow(
        &self,
        matcher: &mut Matcher,
        drops_space: bool,
        states: &mut Vec<State>,
        allowed: &mut TokenSet,
    ) -> Result<(), Error> {
        states.clear();
        states.resize(self.max_len + 1, DEAD);
        (states[0], _) = matcher.state();
        // How many bytes of the entry before can be followed: `states` says to where.
        let mut n_alive = 0;
        let mut start = 0;
        for entry in &self.entries {
            let text = &self.bytes[start..entry.end as usize];
            start = entry.end as usize;
            let n_shared = entry.n_shared as usize;
            if n_shared > n_alive {
                continue;
            }
            n_alive = n_shared;
            let mut state = states[n_alive];
            for &byte in &text[n_shared..] {
                let is_dropped = drops_space && n_alive == 0 && byte == b' ';
                if !is_dropped {
                    state = matcher.next(state, byte)?;
                }
                if state == DEAD {
                    break;
                }
                n_alive += 1;
                states[n_alive] = state;
            }
            if n_alive == text.len() {
                allowed.insert(entry.token);
            }
        }
        Ok(())
    }
}
