//! `/bench`: the speed of the model on this machine, measured and written as llama-bench does.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use engine::Token;
use engine::session::Session;

use super::Chat;
use crate::console::Console;
use crate::units::{binary, parameters};

/// What llama-bench measures where nothing else is asked for: prefill (pp) and decode (tg) of so many tokens.
const N_PREFILL: usize = 512;
const N_DECODE: usize = 128;

/// llama-bench's number of repetitions.
const MAX_REPETITIONS: usize = 5;

/// A slow machine measures each test once: after so long, there is no further repetition.
const REPEATED_NS: u64 = 10_000_000_000;

/// Where random tokens begin, the same each time.
const SEED: u32 = 1;

impl Chat<'_> {
    /// Measure, and show a row of the table after each test.
    ///
    /// # Errors
    /// A sentence for the person, when memory is short or Ctrl-C was pressed. The conversation is untouched either way.
    pub(crate) fn bench(&self, console: &mut Console) -> Result<(), String> {
        let n_ctx_max = self.model.hparams().n_ctx_train;
        let (n_prefill, n_decode) = (N_PREFILL.min(n_ctx_max), N_DECODE.min(n_ctx_max));
        let mut session = self.other_session(n_prefill.max(n_decode))?;
        let row = |cells: [&str; 6]| {
            let [model, size, params, backend, test, speed] = cells;
            format!("| {model:<11} | {size:>10} | {params:>6} | {backend:<14} | {test:>5} | {speed:>14} |\n")
        };
        console.print(&row(["model", "size", "params", "backend", "test", "t/s"]));
        // llama-bench's colons: what is right of them stands at the right.
        let rules = ["-----------", "---------:", "-----:", "--------------", "----:", "-------------:"];
        console.print(&row(rules));
        let model = format!("{} {}", self.model.architecture(), self.model.file_type());
        let (size, params) = (binary(self.model.size_bytes()), parameters(self.model.n_params()));
        let backend = self.machine.kernels.isa().to_string();
        for (kind, n_tokens, batch) in [("pp", n_prefill, n_prefill), ("tg", n_decode, 1)] {
            let speed = self.measure(console, &mut session, n_tokens, batch)?;
            let test = format!("{kind}{n_tokens}");
            console.print(&row([&model, &size, &params, &backend, &test, &speed]));
        }
        Ok(())
    }

    /// Return the tokens per second at which `session` reads `n_tokens` random ones in pieces of `batch`: mean and standard
    /// deviation of the repetitions.
    fn measure(
        &self,
        console: &mut Console,
        session: &mut Session<'_>,
        n_tokens: usize,
        batch: usize,
    ) -> Result<String, String> {
        let tokens = random_tokens(n_tokens, self.tokenizer.n_vocab());
        let clock = self.machine.clock;
        let mut speeds: Vec<f64> = Vec::new();
        let begin_ns = clock.now_ns();
        // The first time warms up what is read and is not counted, where there is time for it.
        while speeds.len() <= MAX_REPETITIONS {
            session.clear();
            let start_ns = clock.now_ns();
            for batch in tokens.chunks(batch) {
                match session.eval(batch, &mut || !console.interrupted()) {
                    Ok(Some(_)) => {}
                    Ok(None) => return Err("[stopped]".into()),
                    Err(error) => return Err(format!("{error}")),
                }
            }
            let end_ns = clock.now_ns();
            speeds.push(n_tokens as f64 * 1e9 / (end_ns - start_ns).max(1) as f64);
            if end_ns - begin_ns > REPEATED_NS {
                break;
            }
        }
        if speeds.len() > 1 {
            speeds.remove(0);
        }
        let (mean, deviation) = mean_and_deviation(&speeds);
        Ok(format!("{mean:.2} ± {deviation:.2}"))
    }
}

/// Return `n` tokens below `n_vocab`, by a linear congruential generator (Knuth, TAOCP 3.3.4, with the constants of
/// "Numerical Recipes"): which tokens they are makes no difference to the speed.
fn random_tokens(n: usize, n_vocab: usize) -> Vec<Token> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let numbers = core::iter::successors(Some(SEED), next);
    numbers.take(n).map(|number| (number >> 8) % n_vocab.max(1) as u32).collect()
}

/// Return the mean and the standard deviation of the sample; one alone deviates from nothing.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, libm::sqrt(squares / (n - 1.0).max(1.0)))
}

#[cfg(test)]
mod tests {
    use super::{mean_and_deviation, random_tokens};

    #[test]
    fn means_and_deviations_are_those_of_the_sample() {
        assert_eq!(mean_and_deviation(&[2.0, 4.0, 6.0]), (4.0, 2.0));
        assert_eq!(mean_and_deviation(&[3.0]), (3.0, 0.0));
    }

    #[test]
    fn random_tokens_lie_in_the_vocabulary_and_differ() {
        let tokens = random_tokens(500, 288);
        assert!(tokens.iter().all(|&token| token < 288));
        let mut distinct = tokens.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 200, "{}", distinct.len());
    }
}
