//! Choosing the next token from the logits, with llama.cpp's parameters, their meanings and their order
//! (`common_sampler_init`): logit bias, penalties, top-k, top-p, min-p, temperature, then the draw. A set of tokens that
//! alone may be drawn, such as a [`grammar`](crate::grammar) makes, is applied before them all.
//!
//! The vocabulary is never sorted as a whole.

mod penalties;
mod probabilities;
#[cfg(test)]
mod tests;
mod token_set;
mod truncation;

use alloc::vec::Vec;
use core::cmp::Ordering;

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

use crate::Token;
use crate::cpu::Kernels;
pub use probabilities::{Probabilities, perplexity};
pub use token_set::TokenSet;

/// How the next token is chosen. The default takes the likeliest.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerParams {
    /// Divides the logits that are left at the end: 0 always takes the likeliest token, 1 keeps the model's own
    /// distribution.
    pub temperature: f32,
    /// Only so many of the likeliest tokens stay in the draw; 0 keeps all.
    pub top_k: usize,
    /// Only the likeliest tokens, whose probabilities just reach this sum, stay in the draw; 1 keeps all
    /// (nucleus sampling, arXiv 1904.09751).
    pub top_p: f32,
    /// Only tokens with at least this share of the likeliest one's probability stay in the draw; 0 keeps all
    /// (arXiv 2407.01082).
    pub min_p: f32,
    /// How many of the last tokens the three penalties look at; 0 turns them off.
    pub repeat_last_n: usize,
    /// Positive logits of tokens that were there are divided by this, others multiplied; 1 is off
    /// (CTRL, arXiv 1909.05858).
    pub repeat_penalty: f32,
    /// What the logit of a token that was there loses, once; 0 is off.
    pub presence_penalty: f32,
    /// What the logit of a token that was there loses, each time; 0 is off.
    pub frequency_penalty: f32,
    /// No sequence of so many tokens occurs twice in the context; 0 is off (arXiv 1705.04304).
    pub no_repeat_ngram: usize,
    /// What is added to the logits of single tokens; minus infinity rules one out.
    pub logit_bias: Vec<(Token, f32)>,
    /// Where the sequence of random numbers begins: the same seed draws the same tokens.
    pub seed: u64,
}

impl Default for SamplerParams {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            // llama.cpp's window; without penalties nobody looks through it.
            repeat_last_n: 64,
            repeat_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            no_repeat_ngram: 0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

/// A token that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    /// A number, or minus infinity.
    logit: f32,
    token: Token,
}

impl Candidate {
    /// Order the likelier candidate first, and of equals the smaller token.
    fn likelier(&self, other: &Self) -> Ordering {
        // Zero equals its negative, and no logit is NaN.
        let larger = other.logit.partial_cmp(&self.logit).unwrap_or(Ordering::Equal);
        larger.then(self.token.cmp(&other.token))
    }
}

/// A sampler: its parameters, its random numbers and its scratch.
#[derive(Debug)]
pub struct Sampler {
    params: SamplerParams,
    rng: Pcg32,
    kernels: &'static Kernels,
    candidates: Vec<Candidate>,
    probabilities: Vec<f32>,
    /// The tokens that the penalties look at.
    recent: Vec<Token>,
}

impl Sampler {
    /// Return a sampler at the start of its sequence.
    pub fn new(params: SamplerParams) -> Self {
        Self {
            rng: Pcg32::seed_from_u64(params.seed),
            params,
            kernels: Kernels::detect(),
            candidates: Vec::new(),
            probabilities: Vec::new(),
            recent: Vec::new(),
        }
    }

    /// Return the next token after `logits (n_vocab)`, where `context` holds the tokens so far, for the penalties.
    ///
    /// Logits that are not numbers are never drawn, unless there are no others.
    pub fn sample(&mut self, logits: &[f32], context: &[Token]) -> Token {
        self.choose(logits, context, |_| true).token
    }

    /// Return the next token as [`Self::sample`] does, but one of `allowed`: as if the model knew no others. There is none
    /// where `allowed` is empty, or all that it has was ruled out.
    pub fn sample_among(&mut self, logits: &[f32], context: &[Token], allowed: &TokenSet) -> Option<Token> {
        let chosen = self.choose(logits, context, |token| allowed.contains(token));
        (chosen.logit > f32::NEG_INFINITY).then_some(chosen.token)
    }

    /// Return the next token, one for which `is_allowed` holds; a logit of minus infinity says that there is none.
    fn choose(&mut self, logits: &[f32], context: &[Token], is_allowed: impl Fn(Token) -> bool) -> Candidate {
        let Self { params, kernels, candidates, probabilities, recent, .. } = self;
        candidates.clear();
        candidates.extend((0..).zip(logits).map(|(token, &logit)| {
            let logit = if is_allowed(token) { number(logit) } else { f32::NEG_INFINITY };
            Candidate { logit, token }
        }));
        penalties::bias(candidates, &params.logit_bias);
        penalties::no_repeat_ngram(candidates, params.no_repeat_ngram, context);
        penalties::repeated(candidates, params, context, recent);

        let likeliest = likeliest(candidates);
        if params.temperature <= 0.0 || likeliest.logit == f32::NEG_INFINITY {
            return likeliest;
        }
        candidates.retain(|candidate| candidate.logit > f32::NEG_INFINITY);
        truncation::top_k(candidates, params.top_k);
        truncation::top_p(candidates, params.top_p, kernels, probabilities);
        truncation::min_p(candidates, params.min_p);

        probabilities.clear();
        // The likeliest stays at 0, so that no temperature is too low for the others.
        let scaled = |candidate: &Candidate| (candidate.logit - likeliest.logit) / params.temperature;
        probabilities.extend(candidates.iter().map(|candidate| scaled(candidate).max(f32::MIN)));
        kernels.softmax(probabilities);
        let drawn = draw(probabilities, uniform(&mut self.rng));
        candidates.get(drawn).copied().unwrap_or(likeliest)
    }
}

/// Return `logit` as a candidate may have it.
fn number(logit: f32) -> f32 {
    if logit.is_nan() { f32::NEG_INFINITY } else { logit.min(f32::MAX) }
}

/// Return the candidate with the largest logit, the first of several.
fn likeliest(candidates: &[Candidate]) -> Candidate {
    let mut best = Candidate { logit: f32::NEG_INFINITY, token: 0 };
    for candidate in candidates {
        if candidate.logit > best.logit {
            best = *candidate;
        }
    }
    best
}

/// Return the index that `uniform`, in 0..1, falls on when each takes as much room as its probability.
fn draw(probabilities: &[f32], uniform: f32) -> usize {
    let mut left = uniform * probabilities.iter().sum::<f32>();
    for (i, p) in probabilities.iter().enumerate() {
        left -= p;
        if left < 0.0 {
            return i;
        }
    }
    // Rounding can leave a remainder.
    probabilities.len().saturating_sub(1)
}

/// Return a float in 0..1 with 24 random bits, all that it can hold.
fn uniform(rng: &mut Pcg32) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}
