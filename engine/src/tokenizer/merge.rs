//! Merging neighbours, best first, until nothing is left to merge: the loop that both kinds of byte-pair encoding share.
//!
//! What may merge, and what goes first, is the caller's rule. A heap of candidates makes it `n log n` in the text's length.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::Token;

/// A part of the text while it is being merged, linked to its neighbours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol {
    /// The token that the part is; `None` where the vocabulary has none for it.
    pub(super) token: Option<Token>,
    /// Where the part begins in the text, in bytes.
    pub(super) start: usize,
    /// How many bytes it takes; 0 once it has been merged to its left.
    pub(super) len: usize,
    previous: Option<u32>,
    next: Option<u32>,
}

/// A merge that a rule allows: lower ranks go first, and the leftmost of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Merge {
    pub(super) rank: u32,
    pub(super) token: Token,
}

/// A possible merge of the symbol `left` with its right neighbour to `len` bytes. It is stale once one of the two has been
/// merged with another: symbols only grow, so that the two together are longer then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: u32,
    token: Token,
    len: usize,
}

/// Return the symbols of a text from its first parts, each with its token and its length in bytes.
///
/// # Panics
/// When there are 2^32 or more.
pub(super) fn symbols(parts: impl Iterator<Item = (Option<Token>, usize)>) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::with_capacity(parts.size_hint().0);
    let mut start = 0;
    for (token, len) in parts {
        let i = u32::try_from(symbols.len() + 1).expect("a text has less than 2^32 characters");
        symbols.push(Symbol { token, start, len, previous: (i - 1).checked_sub(1), next: Some(i) });
        start += len;
    }
    if let Some(last) = symbols.last_mut() {
        last.next = None;
    }
    symbols
}

/// Merge what `rule` lets merge, a left symbol with its right neighbour, and drop what was merged away.
pub(super) fn merge(symbols: &mut Vec<Symbol>, rule: impl Fn(&Symbol, &Symbol) -> Option<Merge>) {
    let candidate = |symbols: &[Symbol], left: Option<u32>| {
        let (symbol, right) = neighbours(symbols, left?)?;
        let Merge { rank, token } = rule(symbol, right)?;
        Some(Reverse(Candidate { rank, left: left?, token, len: symbol.len + right.len }))
    };
    let all: Vec<_> = (0..symbols.len() as u32).filter_map(|left| candidate(symbols, Some(left))).collect();
    let mut candidates = BinaryHeap::from(all);
    while let Some(Reverse(Candidate { left, token, len, .. })) = candidates.pop() {
        let fresh = neighbours(symbols, left).filter(|(symbol, right)| symbol.len + right.len == len);
        let Some((&Symbol { next: Some(right), .. }, &Symbol { next: after, .. })) = fresh else { continue };
        symbols[right as usize].len = 0;
        let symbol = &mut symbols[left as usize];
        (symbol.token, symbol.len, symbol.next) = (Some(token), len, after);
        let previous = symbol.previous;
        if let Some(after) = after {
            symbols[after as usize].previous = Some(left);
        }
        candidates.extend(candidate(symbols, Some(left)));
        candidates.extend(candidate(symbols, previous));
    }
    symbols.retain(|symbol| symbol.len > 0);
}

/// Return the symbol `left`, which was not merged away, and its right neighbour.
fn neighbours(symbols: &[Symbol], left: u32) -> Option<(&Symbol, &Symbol)> {
    let symbol = &symbols[left as usize];
    let right = &symbols[symbol.next? as usize];
    (symbol.len > 0).then_some((symbol, right))
}
