//! Merging neighbours, best first, until nothing is left to merge: the loop that both kinds of byte-pair encoding share.
//!
//! What may merge, and what goes first, is the caller's rule. A heap of candidates makes it `n log n` in the text's length.
//! The heap takes most of the time, which is why a candidate is small and ordered by one number.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::Token;

/// A part of the text while it is being merged, linked to its neighbours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol {
    /// The token that the part is; `None` where the vocabulary has none for it.
    pub(super) token: Option<Token>,
    start: u32,
    /// How many bytes it takes; 0 once it has been merged to its left.
    len: u32,
    previous: Option<u32>,
    next: Option<u32>,
}

impl Symbol {
    /// Return where the part begins in the text, in bytes.
    pub(super) fn start(&self) -> usize {
        self.start as usize
    }

    /// Return how many bytes of the text it takes.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }
}

/// A merge that a rule allows: lower ranks go first, and the leftmost of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) rank: u32,
    pub(super) token: Token,
}

/// A possible merge of a symbol with its right neighbour to `len` bytes. It is stale once one of the two has been merged
/// with another: symbols only grow, so that the two together are longer then.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// The merge's rank, and below it the left symbol.
    order: u64,
    token: Token,
    len: u32,
}

/// Greatest is what a heap gives first: the lowest rank, the leftmost symbol.
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        other.order.cmp(&self.order)
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Candidate {}

/// Return the symbols of a text from its first parts, each with its token and its length in bytes.
///
/// # Panics
/// When they take 4 GiB or more.
pub(super) fn symbols(parts: impl Iterator<Item = (Option<Token>, usize)>) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::with_capacity(parts.size_hint().0);
    let mut end = 0_usize;
    for (token, len) in parts {
        let start = end as u32;
        end += len;
        assert!(u32::try_from(end).is_ok(), "a text takes less than 4 GiB");
        let i = symbols.len() as u32;
        symbols.push(Symbol { token, start, len: len as u32, previous: i.checked_sub(1), next: Some(i + 1) });
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
        let order = u64::from(rank) << 32 | u64::from(left?);
        Some(Candidate { order, token, len: symbol.len + right.len })
    };
    let all: Vec<_> = (0..symbols.len() as u32).filter_map(|left| candidate(symbols, Some(left))).collect();
    let mut candidates = BinaryHeap::from(all);
    while let Some(Candidate { order, token, len }) = candidates.pop() {
        let left = order as u32;
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
