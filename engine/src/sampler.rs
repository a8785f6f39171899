//! Choosing the next token from the logits: greedy, or by temperature and top-p.

use alloc::vec::Vec;

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

use crate::Token;
use crate::cpu::Kernels;

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerParams {
    /// Divides the logits: 0 always takes the likeliest token, 1 keeps the model's own distribution.
    pub temperature: f32,
    /// Only the likeliest tokens, whose probabilities just reach this sum, stay in the draw; 1 keeps all
    /// (nucleus sampling, arXiv 1904.09751).
    pub top_p: f32,
    /// Where the sequence of random numbers begins: the same seed draws the same tokens.
    pub seed: u64,
}

/// A sampler: its parameters, its random numbers and its scratch.
#[derive(Debug)]
pub struct Sampler {
    params: SamplerParams,
    rng: Pcg32,
    kernels: &'static Kernels,
    probabilities: Vec<f32>,
    nucleus: Vec<Token>,
}

impl Sampler {
    /// Return a sampler at the start of its sequence.
    pub fn new(params: SamplerParams) -> Self {
        Self {
            params,
            rng: Pcg32::seed_from_u64(params.seed),
            kernels: Kernels::detect(),
            probabilities: Vec::new(),
            nucleus: Vec::new(),
        }
    }

    /// Return the next token after `logits (n_vocab)`.
    pub fn sample(&mut self, logits: &[f32]) -> Token {
        if self.params.temperature <= 0.0 {
            return greedy(logits);
        }
        self.probabilities.clear();
        self.probabilities.extend(logits.iter().map(|logit| logit / self.params.temperature));
        self.kernels.softmax(&mut self.probabilities);
        let p = |token: Token| self.probabilities[token as usize];

        // All tokens below this sum to less than 1 - top_p: the nucleus is complete without them.
        let least = (1.0 - self.params.top_p).max(0.0) / logits.len() as f32;
        self.nucleus.clear();
        self.nucleus.extend((0..logits.len() as Token).filter(|&token| p(token) >= least));
        self.nucleus.sort_unstable_by(|&a, &b| p(b).total_cmp(&p(a)).then(a.cmp(&b)));
        let mut total = 0.0;
        let complete = self.nucleus.iter().position(|&token| {
            total += p(token);
            total >= self.params.top_p
        });
        self.nucleus.truncate(complete.map_or(self.nucleus.len(), |last| last + 1));

        let mut left = total * uniform(&mut self.rng);
        for &token in &self.nucleus {
            left -= p(token);
            if left < 0.0 {
                return token;
            }
        }
        // Rounding can leave a remainder; a nucleus is empty only when the logits are not numbers.
        self.nucleus.last().copied().unwrap_or_else(|| greedy(logits))
    }
}

/// Return the token with the largest logit, the first of several.
fn greedy(logits: &[f32]) -> Token {
    let mut best = 0;
    for (token, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = token;
        }
    }
    best as Token
}

/// Return a float in 0..1 with 24 random bits, all that it can hold.
fn uniform(rng: &mut Pcg32) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, 2.0, -4.0, 3.0];

    fn draws(params: SamplerParams, n: usize) -> Vec<Token> {
        let mut sampler = Sampler::new(params);
        (0..n).map(|_| sampler.sample(&LOGITS)).collect()
    }

    #[test]
    fn temperature_zero_takes_the_first_of_the_likeliest() {
        assert_eq!(draws(SamplerParams { temperature: 0.0, top_p: 1.0, seed: 1 }, 3), [1, 1, 1]);
    }

    #[test]
    fn top_p_leaves_out_the_unlikely() {
        // The probabilities are 0.054, 0.398, 0.146, 0.0004, 0.398: two tokens reach 0.7, three reach 0.9.
        let seen = |top_p| {
            let mut seen = draws(SamplerParams { temperature: 1.0, top_p, seed: 7 }, 500);
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        assert_eq!(seen(0.7), [1, 4]);
        assert_eq!(seen(0.9), [1, 2, 4]);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let n = 20_000;
        let drawn = draws(SamplerParams { temperature: 1.0, top_p: 1.0, seed: 3 }, n);
        for (token, p) in [(0, 0.053_9), (1, 0.398_6), (2, 0.146_6), (3, 0.000_36), (4, 0.398_6)] {
            let share = drawn.iter().filter(|&&drawn| drawn == token).count() as f64 / n as f64;
            // Four standard deviations of a share at this many draws.
            let tolerance = 4.0 * (p * (1.0 - p) / n as f64).sqrt();
            assert!((share - p).abs() < tolerance, "token {token} was drawn with {share}, not {p}");
        }
    }

    #[test]
    fn the_seed_decides() {
        let with = |seed| draws(SamplerParams { temperature: 1.5, top_p: 1.0, seed }, 50);
        assert_eq!(with(11), with(11));
        assert_ne!(with(11), with(12));
    }

    #[test]
    fn survives_logits_that_are_not_numbers() {
        let mut sampler = Sampler::new(SamplerParams { temperature: 1.0, top_p: 0.9, seed: 1 });
        assert!(sampler.sample(&[f32::NAN; 4]) < 4);
    }
}
