//! Byte-pair encoding (Sennrich et al., arXiv 1508.07909) over bytes, as in GPT-2.
//!
//! A word begins as its bytes; of all neighbours that the vocabulary can merge, those of the lowest rank (the leftmost of
//! several) are merged first, until none is left. A heap of candidates makes that `n log n` in the word's length.

use alloc::collections::BinaryHeap;
use alloc::format;
use alloc::vec::Vec;
use core::cmp::Reverse;

use hashbrown::HashMap;

use super::byte_text;
use crate::format::gguf::{Gguf, bad_value, readable};
use crate::{Error, Token};

/// Which tokens merge into which, and in what order.
#[derive(Debug)]
pub(super) struct Merges {
    /// The token of each byte; a vocabulary need not have all.
    bytes: [Option<Token>; 256],
    /// The left and the right token to the merge of both.
    pairs: HashMap<(Token, Token), Merge>,
}

/// A merge: lower ranks go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Merge {
    rank: u32,
    token: Token,
}

/// A token of the word while it is being merged, linked to its neighbours; `None` where it has been merged to its left.
struct Symbol {
    token: Option<Token>,
    previous: Option<usize>,
    next: Option<usize>,
}

impl Merges {
    /// Return the merges of `gguf` for the vocabulary `pieces`.
    ///
    /// # Errors
    /// When a merge is not two tokens that make a third.
    pub(super) fn load(gguf: &Gguf<'_>, pieces: &[&str]) -> Result<Self, Error> {
        let mut tokens = HashMap::with_capacity(pieces.len());
        for (token, &piece) in (0..).zip(pieces) {
            // Of several tokens with one text, the first counts.
            tokens.entry(piece).or_insert(token);
        }
        let bytes = core::array::from_fn(|byte| {
            tokens.get(&*byte_text::to_char(byte as u8).encode_utf8(&mut [0; 4])).copied()
        });
        let key = "tokenizer.ggml.merges";
        let merges = gguf.strings(key)?;
        let mut pairs = HashMap::with_capacity(merges.len());
        let mut merged = alloc::string::String::new();
        for (rank, merge) in (0..).zip(merges.iter()) {
            let parsed = core::str::from_utf8(merge).ok().and_then(|merge| {
                // A merge is "left right"; neither part is empty, and neither has a space in it.
                let (left, right) = merge.split_once(' ')?;
                merged.clear();
                merged.push_str(left);
                merged.push_str(right);
                Some(((*tokens.get(left)?, *tokens.get(right)?), *tokens.get(merged.as_str())?))
            });
            let Some((pair, token)) = parsed else {
                let what = format!("merge {rank} of {key}");
                return Err(bad_value(&what, "two tokens that make a third", readable(merge)));
            };
            pairs.entry(pair).or_insert(Merge { rank, token });
        }
        Ok(Self { bytes, pairs })
    }

    /// Add the tokens of `word` to `tokens`. A byte that the vocabulary does not have is left out.
    pub(super) fn encode_word(&self, word: &str, tokens: &mut Vec<Token>) {
        let mut symbols: Vec<Symbol> = Vec::with_capacity(word.len());
        for token in word.bytes().filter_map(|byte| self.bytes[usize::from(byte)]) {
            let i = symbols.len();
            symbols.push(Symbol { token: Some(token), previous: i.checked_sub(1), next: Some(i + 1) });
        }
        if let Some(last) = symbols.last_mut() {
            last.next = None;
        }
        let mut candidates = BinaryHeap::new();
        for left in 0..symbols.len() {
            self.add_candidate(&symbols, Some(left), &mut candidates);
        }
        while let Some(Reverse((merge, left, pair))) = candidates.pop() {
            // A candidate is stale when one of its two has been merged with another since.
            if current_pair(&symbols, left) != Some(pair) {
                continue;
            }
            let Some(right) = symbols[left].next else { continue };
            let after = symbols[right].next;
            symbols[right].token = None;
            symbols[left].token = Some(merge.token);
            symbols[left].next = after;
            if let Some(after) = after {
                symbols[after].previous = Some(left);
            }
            self.add_candidate(&symbols, Some(left), &mut candidates);
            self.add_candidate(&symbols, symbols[left].previous, &mut candidates);
        }
        tokens.extend(symbols.iter().filter_map(|symbol| symbol.token));
    }

    /// Add the merge of `left` with its right neighbour to the candidates, if there is one.
    fn add_candidate(
        &self,
        symbols: &[Symbol],
        left: Option<usize>,
        candidates: &mut BinaryHeap<Reverse<(Merge, usize, (Token, Token))>>,
    ) {
        let Some(left) = left else { return };
        let Some(pair) = current_pair(symbols, left) else { return };
        if let Some(&merge) = self.pairs.get(&pair) {
            candidates.push(Reverse((merge, left, pair)));
        }
    }
}

/// Return the tokens of the symbol `left` and of its right neighbour, if both are there.
fn current_pair(symbols: &[Symbol], left: usize) -> Option<(Token, Token)> {
    let symbol = &symbols[left];
    Some((symbol.token?, symbols[symbol.next?].token?))
}
