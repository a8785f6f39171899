//! Byte-pair encoding (Sennrich et al., arXiv 1508.07909) over bytes, as in GPT-2.
//!
//! A text is cut into words ([`pretokenize`](super::pretokenize)). A word begins as its bytes; of all neighbours that the
//! vocabulary can merge, those of the lowest rank (the leftmost of several) are merged first, until none is left.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use hashbrown::HashMap;
use spin::Mutex;

use super::byte_text;
use super::merge::{Merge, merge, symbols};
use super::pretokenize::PreTokenizer;
use super::vocabulary::Vocabulary;
use crate::format::gguf::{Gguf, Strings, bad_value, readable};
use crate::parallel::share;
use crate::platform::Workers;
use crate::{Error, Token};

/// How text becomes tokens, and which tokens merge into which.
#[derive(Debug)]
pub(super) struct Bpe {
    pre_tokenizer: PreTokenizer,
    /// The token of each byte; a vocabulary need not have all.
    bytes: [Option<Token>; 256],
    /// The left and the right token to the merge of both.
    pairs: HashMap<(Token, Token), Merge>,
}

impl Bpe {
    /// Return the merges of `gguf` for `vocabulary`; `workers` look up their tokens.
    ///
    /// # Errors
    /// When the pre-tokenizer is not known, or a merge is not two tokens that make a third.
    pub(super) fn load(
        gguf: &Gguf<'_>,
        vocabulary: &Vocabulary<'_>,
        workers: &dyn Workers,
    ) -> Result<Self, Error> {
        let pre_tokenizer = PreTokenizer::of(gguf)?;
        let bytes = core::array::from_fn(|byte| {
            let written = byte_text::to_char(byte as u8);
            let token = vocabulary.token(written.encode_utf8(&mut [0; 4]).as_bytes());
            token.filter(|&token| vocabulary.is_text(token))
        });
        let key = "tokenizer.ggml.merges";
        let merges = gguf.strings(key)?;
        let mut pairs = HashMap::with_capacity(merges.len());
        let n_cores = workers.count();
        let parts: Vec<_> = (0..n_cores).map(|_| Mutex::new(Vec::new())).collect();
        workers.run(&|core| {
            if let Some(part) = parts.get(core) {
                *part.lock() = look_up(merges, share(merges.len(), core, n_cores), vocabulary);
            }
        });
        for (rank, merge) in (0..).zip(parts.into_iter().flat_map(Mutex::into_inner)) {
            let Some((pair, token)) = merge else {
                let what = format!("merge {rank} of {key}");
                let found = merges.iter().nth(rank as usize).unwrap_or_default();
                return Err(bad_value(&what, "two tokens that make a third", readable(found)));
            };
            if vocabulary.is_text(token) {
                pairs.entry(pair).or_insert(Merge { rank, token });
            }
        }
        Ok(Self { pre_tokenizer, bytes, pairs })
    }

    /// Add the tokens of `text` to `tokens`. A byte that the vocabulary does not have is left out.
    pub(super) fn encode(&self, vocabulary: &Vocabulary<'_>, text: &str, tokens: &mut Vec<Token>) {
        self.pre_tokenizer.for_each_word(text, |word| self.encode_word(vocabulary, word, tokens));
    }

    /// Return whether a sequence begins with the begin token where the file does not say.
    pub(super) fn adds_bos(&self) -> bool {
        self.pre_tokenizer.adds_bos()
    }

    fn encode_word(&self, vocabulary: &Vocabulary<'_>, word: &str, tokens: &mut Vec<Token>) {
        if self.pre_tokenizer.ignores_merges() {
            let written: String = word.bytes().map(byte_text::to_char).collect();
            let whole = vocabulary.token(written.as_bytes()).filter(|&token| vocabulary.is_text(token));
            if let Some(token) = whole {
                return tokens.push(token);
            }
        }
        let bytes = word.bytes().filter_map(|byte| self.bytes[usize::from(byte)]);
        let mut symbols = symbols(bytes.map(|token| (Some(token), 1)));
        merge(&mut symbols, |left, right| self.pairs.get(&(left.token?, right.token?)).copied());
        tokens.extend(symbols.iter().filter_map(|symbol| symbol.token));
    }
}

/// Return the tokens of the merges in `range`: the left and the right one, and what they make; `None` where one is missing.
fn look_up(
    merges: Strings<'_>,
    range: Range<usize>,
    vocabulary: &Vocabulary<'_>,
) -> Vec<Option<((Token, Token), Token)>> {
    let are_unique = vocabulary.are_texts_unique();
    let mut merged = Vec::new();
    let mut next = 0;
    let tokens = |merge: &[u8]| {
        // A merge is "left right"; neither part is empty, and neither has a space in it.
        let space = merge.iter().position(|&byte| byte == b' ')?;
        let (left, right) = (&merge[..space], &merge[space + 1..]);
        // Most vocabularies have the merges' tokens one behind the other, so that the next one need not be looked up.
        let is_next = |piece: &str| piece.as_bytes().strip_prefix(left) == Some(right);
        let token = if are_unique && vocabulary.piece(next).is_some_and(is_next) {
            next
        } else {
            merged.clear();
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
            vocabulary.token(&merged)?
        };
        next = token + 1;
        Some(((vocabulary.token(left)?, vocabulary.token(right)?), token))
    };
    merges.iter().skip(range.start).take(range.len()).map(tokens).collect()
}
