//! What can be said of a program before it runs: which of its steps lead to an end, and which rules begin with which.

use alloc::vec;
use alloc::vec::Vec;

use super::program::{Pc, Step};

/// Return for each of `steps` whether its rule can come to its end from there: by reading something, where `reads`, or
/// else without reading anything. `entries` says where each rule begins.
pub(super) fn reaches_end(steps: &[Step], entries: &[Pc], reads: bool) -> Vec<bool> {
    // From where a step is reached, and from where a rule is called, sorted to be looked up.
    let mut before: Vec<(Pc, Pc)> = Vec::new();
    let mut calls: Vec<(u32, Pc)> = Vec::new();
    let mut ends: Vec<Pc> = Vec::new();
    for (pc, step) in (0..).zip(steps) {
        match *step {
            Step::Bytes { .. } if reads => before.push((pc + 1, pc)),
            Step::Bytes { .. } => {}
            Step::Split(to) => before.extend([(pc + 1, pc), (to, pc)]),
            Step::Jump(to) => before.push((to, pc)),
            Step::Call(rule) => {
                before.push((pc + 1, pc));
                calls.push((rule, pc));
            }
            Step::Return | Step::Accept => ends.push(pc),
        }
    }
    before.sort_unstable();
    calls.sort_unstable();
    // Rules begin in the order of their numbers.
    let rule_at = |pc: Pc| entries.binary_search(&pc).ok();

    let mut reaches = vec![false; steps.len()];
    let mut work = ends;
    while let Some(pc) = work.pop() {
        if core::mem::replace(&mut reaches[pc as usize], true) {
            continue;
        }
        for &(_, from) in of(&before, pc) {
            // A call comes to the step behind it only when the rule comes to its end.
            match steps[from as usize] {
                Step::Call(rule) if !reaches[entries[rule as usize] as usize] => {}
                _ => work.push(from),
            }
        }
        if let Some(rule) = rule_at(pc) {
            let calls = of(&calls, rule as u32).iter().map(|&(_, call)| call);
            work.extend(calls.filter(|&call| reaches[call as usize + 1]));
        }
    }
    reaches
}

/// Return the pairs of `pairs`, which is sorted, that begin with `key`.
fn of(pairs: &[(u32, u32)], key: u32) -> &[(u32, u32)] {
    let start = pairs.partition_point(|&(first, _)| first < key);
    let len = pairs[start..].partition_point(|&(first, _)| first == key);
    &pairs[start..start + len]
}

/// Return the rules in an order in which each begins only with later ones, where a rule begins with those that it can call
/// before it has read anything. `may_be_empty` is what [`reaches_end`] says of each step.
///
/// # Errors
/// A cycle of rules that begin with each other, the first of them again at its end.
pub(super) fn calling_order(
    steps: &[Step],
    entries: &[Pc],
    may_be_empty: &[bool],
) -> Result<Vec<u32>, Vec<u32>> {
    let mut seen = vec![false; steps.len()];
    let mut first_calls = |rule: u32| {
        let mut calls = Vec::new();
        let mut work = vec![entries[rule as usize]];
        while let Some(pc) = work.pop() {
            if core::mem::replace(&mut seen[pc as usize], true) {
                continue;
            }
            match steps[pc as usize] {
                Step::Split(to) => work.extend([to, pc + 1]),
                Step::Jump(to) => work.push(to),
                Step::Call(callee) => {
                    calls.push(callee);
                    if may_be_empty[entries[callee as usize] as usize] {
                        work.push(pc + 1);
                    }
                }
                Step::Bytes { .. } | Step::Return | Step::Accept => {}
            }
        }
        calls
    };

    /// How far the search has come with a rule.
    #[derive(Clone, Copy, PartialEq)]
    enum Search {
        NotYet,
        Within,
        Done,
    }
    let mut searched = vec![Search::NotYet; entries.len()];
    // The way to where the search is: rules, and the calls of each that are still to be followed.
    let mut way: Vec<(u32, Vec<u32>)> = Vec::new();
    let mut order = Vec::with_capacity(entries.len());
    for start in 0..entries.len() as u32 {
        if searched[start as usize] == Search::NotYet {
            searched[start as usize] = Search::Within;
            way.push((start, first_calls(start)));
        }
        while let Some((rule, calls)) = way.last_mut() {
            let rule = *rule;
            match calls.pop() {
                None => {
                    searched[rule as usize] = Search::Done;
                    order.push(rule);
                    way.pop();
                }
                Some(next) => match searched[next as usize] {
                    Search::Done => {}
                    Search::NotYet => {
                        searched[next as usize] = Search::Within;
                        way.push((next, first_calls(next)));
                    }
                    Search::Within => {
                        let cycle = way.iter().map(|&(rule, _)| rule).skip_while(|&rule| rule != next);
                        return Err(cycle.chain([next]).collect());
                    }
                },
            }
        }
    }
    order.reverse();
    Ok(order)
}
