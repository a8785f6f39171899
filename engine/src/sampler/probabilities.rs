//! What the model thinks: logits as the probabilities that they stand for.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::Token;

/// The probabilities of all tokens, as some logits give them: the model's own, before any sampling.
#[derive(Clone, Copy, Debug)]
pub struct Probabilities<'l> {
    /// `(n_vocab)`.
    logits: &'l [f32],
    /// The logarithm of the sum that all exponentials are divided by.
    log_sum: f64,
}

impl<'l> Probabilities<'l> {
    /// Return the probabilities that `logits (n_vocab)` stand for.
    pub fn new(logits: &'l [f32]) -> Self {
        let max = f64::from(logits.iter().fold(f32::NEG_INFINITY, |max, &logit| max.max(logit)));
        let sum: f64 = logits.iter().map(|&logit| libm::exp(f64::from(logit) - max)).sum();
        Self { logits, log_sum: max + libm::log(sum) }
    }

    /// Return the natural logarithm of the probability of `token`; minus infinity for one beyond the vocabulary.
    pub fn log_of(&self, token: Token) -> f64 {
        self.logits.get(token as usize).map_or(f64::NEG_INFINITY, |&logit| f64::from(logit) - self.log_sum)
    }

    /// Return the probability of `token`.
    pub fn of(&self, token: Token) -> f64 {
        libm::exp(self.log_of(token))
    }

    /// Return the `n` likeliest tokens, the likeliest first.
    pub fn likeliest(&self, n: usize) -> Vec<Token> {
        let logit = |token: Token| self.logits[token as usize];
        let by_logit = |&a: &Token, &b: &Token| {
            logit(b).partial_cmp(&logit(a)).unwrap_or(Ordering::Equal).then(a.cmp(&b))
        };
        let mut tokens: Vec<Token> = (0..).take(self.logits.len()).collect();
        if n < tokens.len() {
            tokens.select_nth_unstable_by(n, by_logit);
            tokens.truncate(n);
        }
        tokens.sort_unstable_by(by_logit);
        tokens
    }
}

/// Return how many equally likely tokens there would be to choose from at each place, for a model that gives the tokens of
/// a text these `log_probabilities`.
pub fn perplexity(log_probabilities: &[f64]) -> f64 {
    let mean = log_probabilities.iter().sum::<f64>() / log_probabilities.len() as f64;
    libm::exp(-mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_stand_for_probabilities() {
        // The logarithms of 1, 2, 4 and 1, plus 100.
        let logits = [100.0, 100.693_15, 101.386_3, 100.0];
        let probabilities = Probabilities::new(&logits);
        for (token, expected) in (0..).zip([0.125, 0.25, 0.5, 0.125]) {
            assert!((probabilities.of(token) - expected).abs() < 1e-6);
            assert!((probabilities.log_of(token) - libm::log(expected)).abs() < 1e-5);
        }
        assert_eq!(probabilities.of(4), 0.0);
        assert_eq!(probabilities.likeliest(2), [2, 1]);
        assert_eq!(probabilities.likeliest(9), [2, 1, 0, 3]);
        assert!(probabilities.likeliest(0).is_empty());
    }

    #[test]
    fn perplexity_is_the_number_of_choices() {
        assert!((perplexity(&[libm::log(0.25); 3]) - 4.0).abs() < 1e-12);
        assert!((perplexity(&[0.0, libm::log(1.0 / 9.0)]) - 3.0).abs() < 1e-12);
    }
}
