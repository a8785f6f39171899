//! How fast a model runs on this host, told as llama.cpp's llama-bench tells it: tokens/s to read a prompt (pp) and to
//! write an answer (tg), mean and deviation over some repetitions.
//!
//! Which tokens they are does not matter to the time, so they are any. Tokenizer and sampler are not part of it.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use engine::cpu::{Isa, Kernels};
use engine::format::gguf::{self, Gguf};
use engine::model::Model;
use engine::platform::Workers;
use engine::session::Session;

use crate::chat::load;
use crate::workers::Pool;

/// What is measured; the numbers of tokens are those of llama-bench's options.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Tokens of the prompt that is read; none is read where this is 0.
    pub n_prompt: usize,
    /// Tokens that are written; none are where this is 0.
    pub n_gen: usize,
    /// Tokens that the context holds before.
    pub n_depth: usize,
    /// How often each is measured, after once without.
    pub repetitions: usize,
    /// How many threads compute; all that this process may use where it is left out.
    pub threads: Option<usize>,
}

/// A kind of work, and how fast it went.
struct Row {
    test: String,
    /// Tokens per second, once per repetition.
    speeds: Vec<f64>,
    /// Weights that are read for each token, where the tokens come one at a time.
    token_bytes: Option<u64>,
}

/// Measure how fast the model in `path` runs, and print a table.
pub fn bench(path: &Path, plan: Plan) -> Result<()> {
    let workers = plan.threads.map_or_else(Pool::of_this_host, Pool::new);
    let mut loaded = load(&[path])?;
    let file = &mut loaded.files[0];
    if loaded.may_change {
        gguf::interleave(file, &workers, Kernels::detect(), &mut |_, _| {});
    }
    let gguf = Gguf::parse(file).with_context(|| format!("{}", path.display()))?;
    let model = Model::load(&gguf).with_context(|| format!("{}", path.display()))?;
    let n_ctx = plan.n_depth + plan.n_prompt.max(plan.n_gen);
    ensure!(n_ctx > 0 && plan.repetitions > 0, "there is nothing to measure");
    let mut session = Session::new(&model, &workers, n_ctx).context("a session")?;

    println!(
        "{} {:.1}M {}, {:.1} MB, on {} threads with {}",
        model.architecture(),
        model.n_params() as f64 / 1e6,
        model.file_type(),
        model.size_bytes() as f64 / 1e6,
        workers.count(),
        Isa::detect()
    );
    println!("| test          |              tokens/s |     best |   GB/s |");
    println!("| ------------- | --------------------: | -------: | -----: |");
    let n_vocab = model.hparams().n_vocab;
    let tokens: Vec<_> = (0..n_ctx).map(|i| (i * 7919 % n_vocab) as u32).collect();
    if plan.n_depth > 0 {
        read(&mut session, &tokens[..plan.n_depth])?;
    }
    for (name, n_tokens, chunk, token_bytes) in
        [("pp", plan.n_prompt, plan.n_prompt, None), ("tg", plan.n_gen, 1, Some(read_bytes(&gguf)))]
    {
        if n_tokens == 0 {
            continue;
        }
        let mut speeds = Vec::new();
        for repetition in 0..=plan.repetitions {
            session.truncate(plan.n_depth);
            let start = Instant::now();
            for tokens in tokens[..n_tokens].chunks(chunk) {
                read(&mut session, tokens)?;
            }
            // The first one brings the file into memory and the processor up to speed.
            if repetition > 0 {
                speeds.push(n_tokens as f64 / start.elapsed().as_secs_f64());
            }
        }
        let depth = if plan.n_depth > 0 { format!(" @ d{}", plan.n_depth) } else { String::new() };
        println!("{}", Row { test: format!("{name}{n_tokens}{depth}"), speeds, token_bytes });
    }
    Ok(())
}

fn read(session: &mut Session<'_>, tokens: &[u32]) -> Result<()> {
    session.eval(tokens, &mut || true).context("a forward pass")?;
    Ok(())
}

/// Return how many bytes of weights are read for one token: all but those of an embedding that is not the output too, of
/// which it is one row.
fn read_bytes(gguf: &Gguf<'_>) -> u64 {
    let is_apart = gguf.has_tensor("output.weight");
    let is_read = |name: &str| !(is_apart && name == "token_embd.weight");
    gguf.tensors().filter(|tensor| is_read(&tensor.name)).map(|tensor| tensor.bytes.len() as u64).sum()
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mean, deviation) = mean_and_deviation(&self.speeds);
        let best = self.speeds.iter().copied().fold(0.0, f64::max);
        write!(f, "| {:<13} | {mean:>10.2} ± {deviation:>8.2} | {best:>8.2} | ", self.test)?;
        match self.token_bytes {
            Some(bytes) => write!(f, "{:>6.2} |", best * bytes as f64 / 1e9),
            None => write!(f, "{:>6} |", ""),
        }
    }
}

/// Return the mean, and the deviation of the sample from it.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_mean_deviation_best_and_bandwidth() {
        let row = Row { test: "tg2".into(), speeds: vec![10.0, 12.0, 14.0], token_bytes: Some(500_000_000) };
        assert_eq!(row.to_string(), "| tg2           |      12.00 ±     2.00 |    14.00 |   7.00 |");
        let row = Row { test: "pp8".into(), speeds: vec![10.0], token_bytes: None };
        assert_eq!(row.to_string(), "| pp8           |      10.00 ±     0.00 |    10.00 |        |");
    }
}
