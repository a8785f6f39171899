//! Byte-pair encoding (Sennrich et al., arXiv 1508.07909) over bytes, as in GPT-2.
//!
//! A text is cut into words ([`pretokenize`](super::pretokenize)). A word begins as its bytes; of all neighbours that the
//! vocabulary can merge, those of the lowest rank (the leftmost of several) are merged first, until none is left.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::byte_text;
use super::merge::{Merge, merge, symbols};
use super::pretokenize::PreTokenizer;
use super::vocabulary::Vocabulary;
use crate::format::gguf::{Gguf, bad_value, readable};
use crate::{Error, Token};

/// How text becomes tokens, and which tokens merge into which.
#[derive(Debug)]
pub(super) struct Bpe<'a> {
    pre_tokenizer: PreTokenizer,
    /// The token of each byte; a vocabulary need not have all.
    bytes: [Option<Token>; 256],
    /// The left and the right token to the merge of both.
    pairs: HashMap<(Token, Token), Merge>,
    /// The tokens that a whole word becomes at once, whatever the merges say; none for most models.
    words: HashMap<&'a str, Token>,
}

impl<'a> Bpe<'a> {
    /// Return the merges of `gguf` for `vocabulary`.
    ///
    /// # Errors
    /// When the pre-tokenizer is not known, or a merge is not two tokens that make a third.
    pub(super) fn load(gguf: &Gguf<'a>, vocabulary: &Vocabulary<'a>) -> Result<Self, Error> {
        let pre_tokenizer = PreTokenizer::of(gguf)?;
        let tokens = vocabulary.by_text();
        let bytes = core::array::from_fn(|byte| {
            let written = byte_text::to_char(byte as u8);
            let token = tokens.get(&*written.encode_utf8(&mut [0; 4])).copied();
            token.filter(|&token| vocabulary.is_text(token))
        });
        let key = "tokenizer.ggml.merges";
        let merges = gguf.strings(key)?;
        let mut pairs = HashMap::with_capacity(merges.len());
        let mut merged = String::new();
        // Most vocabularies have the merges' tokens one behind the other, so that the next one need not be looked up.
        let (mut next, are_unique) = (0, tokens.len() == vocabulary.len());
        for (rank, merge) in (0..).zip(merges.iter()) {
            let parsed = core::str::from_utf8(merge).ok().and_then(|merge| {
                // A merge is "left right"; neither part is empty, and neither has a space in it.
                let (left, right) = merge.split_once(' ')?;
                let is_next = |piece: &str| piece.strip_prefix(left) == Some(right);
                let token = if are_unique && vocabulary.piece(next).is_some_and(is_next) {
                    next
                } else {
                    merged.clear();
                    merged.push_str(left);
                    merged.push_str(right);
                    *tokens.get(merged.as_str())?
                };
                next = token + 1;
                Some(((*tokens.get(left)?, *tokens.get(right)?), token))
            });
            let Some((pair, token)) = parsed else {
                let what = format!("merge {rank} of {key}");
                return Err(bad_value(&what, "two tokens that make a third", readable(merge)));
            };
            if vocabulary.is_text(token) {
                pairs.entry(pair).or_insert(Merge { rank, token });
            }
        }
        let mut words = if pre_tokenizer.ignores_merges() { tokens } else { HashMap::new() };
        words.retain(|_, token| vocabulary.is_text(*token));
        Ok(Self { pre_tokenizer, bytes, pairs, words })
    }

    /// Add the tokens of `text` to `tokens`. A byte that the vocabulary does not have is left out.
    pub(super) fn encode(&self, text: &str, tokens: &mut Vec<Token>) {
        self.pre_tokenizer.for_each_word(text, |word| self.encode_word(word, tokens));
    }

    /// Return whether a sequence begins with the begin token where the file does not say.
    pub(super) fn adds_bos(&self) -> bool {
        self.pre_tokenizer.adds_bos()
    }

    fn encode_word(&self, word: &str, tokens: &mut Vec<Token>) {
        if !self.words.is_empty() {
            let written: String = word.bytes().map(byte_text::to_char).collect();
            if let Some(&token) = self.words.get(written.as_str()) {
                return tokens.push(token);
            }
        }
        let bytes = word.bytes().filter_map(|byte| self.bytes[usize::from(byte)]);
        let mut symbols = symbols(bytes.map(|token| (Some(token), 1)));
        merge(&mut symbols, |left, right| self.pairs.get(&(left.token?, right.token?)).copied());
        tokens.extend(symbols.iter().filter_map(|symbol| symbol.token));
    }
}
