//! Tokens that are found in a text before anything else is done with it: control tokens and user-defined ones.

use alloc::format;
use alloc::vec::Vec;

use super::vocabulary::{Kind, Vocabulary};
use crate::format::gguf::bad_value;
use crate::{Error, Token};

/// The longest text of such a token in bytes: far above those of any model, and low enough that a search stays linear.
const MAX_LEN: usize = 256;

/// A token that is found by its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Special<'a> {
    text: &'a str,
    pub(super) token: Token,
    /// Whether it may be found only where control tokens may be written.
    pub(super) is_control: bool,
}

impl Special<'_> {
    /// Return the length of its text in bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }
}

/// All such tokens of a vocabulary, in the order of their texts.
#[derive(Debug)]
pub(super) struct Specials<'a>(Vec<Special<'a>>);

impl<'a> Specials<'a> {
    /// Return those of `vocabulary`.
    ///
    /// # Errors
    /// When one is longer than any model's.
    pub(super) fn load(vocabulary: &Vocabulary<'a>) -> Result<Self, Error> {
        let mut specials = Vec::new();
        for (token, text, kind) in vocabulary.iter() {
            let is_control = matches!(kind, Kind::Control | Kind::Unknown);
            if text.is_empty() || !(is_control || kind == Kind::UserDefined) {
                continue;
            }
            if text.len() > MAX_LEN {
                let what = format!("the length of token {token}, which is matched in text,");
                let expected = format!("at most {MAX_LEN} bytes");
                return Err(bad_value(&what, &expected, format!("{} bytes", text.len())));
            }
            specials.push(Special { text, token, is_control });
        }
        // Of several with one text, one that only programs may write hides the others.
        specials.sort_by_key(|special| (special.text, !special.is_control, special.token));
        specials.dedup_by_key(|special| special.text);
        Ok(Self(specials))
    }

    /// Return the control token with the text `text`, if there is one.
    pub(super) fn control(&self, text: &str) -> Option<Token> {
        let at = self.0.binary_search_by_key(&text, |special| special.text).ok()?;
        Some(self.0[at]).filter(|special| special.is_control).map(|special| special.token)
    }

    /// Return the longest token that `text` begins with and that `is_allowed`.
    pub(super) fn longest_at(
        &self,
        text: &str,
        is_allowed: impl Fn(&Special<'a>) -> bool,
    ) -> Option<Special<'a>> {
        // All that is left begins with the first `depth` bytes of the text; a token of just those comes first.
        let mut left = &self.0[..];
        let mut longest = None;
        for (depth, &byte) in text.as_bytes().iter().enumerate() {
            let byte_of = |special: &Special<'_>| special.text.as_bytes().get(depth).copied();
            left = &left[left.partition_point(|special| byte_of(special) < Some(byte))..];
            left = &left[..left.partition_point(|special| byte_of(special) == Some(byte))];
            let Some(first) = left.first() else { break };
            if first.len() == depth + 1 && is_allowed(first) {
                longest = Some(*first);
            }
        }
        longest
    }
}
