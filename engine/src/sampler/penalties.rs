//! Changes to the logits of single tokens, before any is left out.
//!
//! Candidates lie in the order of the vocabulary here, so that a token is its index; tokens beyond it change nothing.

use alloc::vec::Vec;

use super::{Candidate, SamplerParams, number};
use crate::Token;

/// Give `token` the logit that `change` makes of its own.
fn set(candidates: &mut [Candidate], token: Token, change: impl FnOnce(f32) -> f32) {
    if let Some(candidate) = candidates.get_mut(token as usize) {
        candidate.logit = number(change(candidate.logit));
    }
}

/// Add the biases.
pub(super) fn bias(candidates: &mut [Candidate], biases: &[(Token, f32)]) {
    for &(token, bias) in biases {
        set(candidates, token, |logit| logit + bias);
    }
}

/// Rule out what would end a sequence of `n` tokens that `context` already holds.
pub(super) fn no_repeat_ngram(candidates: &mut [Candidate], n: usize, context: &[Token]) {
    let Some(n_before) = n.checked_sub(1) else { return };
    let Some(start) = context.len().checked_sub(n_before) else { return };
    let before = &context[start..];
    for ngram in context.windows(n) {
        if let Some((&last, first)) = ngram.split_last()
            && first == before
        {
            set(candidates, last, |_| f32::NEG_INFINITY);
        }
    }
}

/// Make the last tokens of `context` less likely (`llama_sampler_penalties_apply`). `recent` is scratch.
pub(super) fn repeated(
    candidates: &mut [Candidate],
    params: &SamplerParams,
    context: &[Token],
    recent: &mut Vec<Token>,
) {
    let SamplerParams { repeat_last_n, repeat_penalty, presence_penalty, frequency_penalty, .. } = *params;
    if repeat_penalty == 1.0 && presence_penalty == 0.0 && frequency_penalty == 0.0 {
        return;
    }
    recent.clear();
    recent.extend_from_slice(&context[context.len().saturating_sub(repeat_last_n)..]);
    recent.sort_unstable();
    for times in recent.chunk_by(|a, b| a == b) {
        set(candidates, times[0], |logit| {
            let logit = if logit > 0.0 { logit / repeat_penalty } else { logit * repeat_penalty };
            logit - presence_penalty - frequency_penalty * times.len() as f32
        });
    }
}
