//! Leaving the unlikely candidates out of the draw. Each stage keeps at least one of those that it gets.

use alloc::vec::Vec;

use super::{Candidate, likeliest};
use crate::cpu::Kernels;

/// Keep the `k` likeliest; all where `k` is 0.
pub(super) fn top_k(candidates: &mut Vec<Candidate>, k: usize) {
    if (1..candidates.len()).contains(&k) {
        sort_likeliest(candidates, k);
        candidates.truncate(k);
    }
}

/// Keep the likeliest, up to the one with which their probabilities reach `p`. `probabilities` is scratch.
pub(super) fn top_p(
    candidates: &mut Vec<Candidate>,
    p: f32,
    kernels: &Kernels,
    probabilities: &mut Vec<f32>,
) {
    if p >= 1.0 || candidates.is_empty() {
        return;
    }
    probabilities.clear();
    probabilities.extend(candidates.iter().map(|candidate| candidate.logit));
    kernels.softmax(probabilities);
    // The likeliest has 1 / sum(exp(x - max)).
    let largest = probabilities.iter().fold(0.0, |max: f32, p| max.max(*p));
    let max = likeliest(candidates).logit;

    let mut n_sorted = 0;
    let mut total = 0.0;
    for n_kept in 1..candidates.len() {
        if n_kept > n_sorted {
            // A few usually do; should they not, more are put in order.
            n_sorted = (8 * n_sorted).max(64).min(candidates.len());
            sort_likeliest(candidates, n_sorted);
        }
        total += largest * libm::expf(candidates[n_kept - 1].logit - max);
        if total >= p {
            return candidates.truncate(n_kept);
        }
    }
}

/// Keep those with at least `p` times the probability of the likeliest.
pub(super) fn min_p(candidates: &mut Vec<Candidate>, p: f32) {
    if p > 0.0 {
        let least = likeliest(candidates).logit + libm::logf(p.min(1.0));
        candidates.retain(|candidate| candidate.logit >= least);
    }
}

/// Put the `n` likeliest first and in order.
fn sort_likeliest(candidates: &mut [Candidate], n: usize) {
    if n < candidates.len() {
        candidates.select_nth_unstable_by(n, Candidate::likelier);
    }
    candidates[..n].sort_unstable_by(Candidate::likelier);
}
