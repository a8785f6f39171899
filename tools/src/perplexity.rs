//! How well a model foresees a text, measured as llama.cpp's llama-perplexity does: `bootlm perplexity`.
//!
//! The text is cut into chunks of n_ctx tokens. Each is read from an empty context, with the beginning of a sequence in place of
//! its first token where the model wants one; the tokens of its second half are scored, so that each has at least half
//! a context before it. A rest that is no whole chunk is left out.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use engine::Token;
use engine::cpu::Kernels;
use engine::model::Model;
use engine::sampler::{Probabilities, perplexity};
use engine::session::{KvType, Session};
use engine::tokenizer::Tokenizer;

use crate::model_files::ModelFiles;
use crate::output::say;
use crate::progress::{Progress, Unit};
use crate::workers::Pool;

/// llama-perplexity's size of a chunk.
const DEFAULT_N_CTX: usize = 512;

/// What can be asked of `bootlm perplexity`.
#[derive(Debug, clap::Args)]
pub struct PerplexityArgs {
    /// A GGUF file, or llama2.c's .bin file with its tokenizer beside it.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The text.
    #[arg(value_name = "TEXTFILE")]
    text: PathBuf,
    /// The size of a chunk, in tokens; 512, or as many as the model was trained with, where it is left out.
    #[arg(short = 'c', long, value_name = "TOKENS")]
    n_ctx: Option<usize>,
    /// Threads that compute; all that there are where it is left out.
    #[arg(short, long, value_name = "N")]
    threads: Option<usize>,
    /// The instruction set to compute with, such as avx2; the best that there is where it is left out.
    #[arg(long, value_name = "NAME", value_parser = Kernels::named)]
    isa: Option<&'static Kernels>,
}

/// Carry out `bootlm perplexity`.
pub fn run(args: &PerplexityArgs) -> Result<()> {
    let name = || args.text.display().to_string();
    let text = fs::read(&args.text).with_context(name)?;
    let text = String::from_utf8(text).with_context(name)?;
    let workers = args.threads.map_or_else(Pool::of_this_host, Pool::new);
    let kernels = args.isa.unwrap_or_else(Kernels::detect);
    let files = ModelFiles::load(&args.model, &workers, kernels)?;
    let model_name = || args.model.display().to_string();
    let gguf = files.gguf().with_context(model_name)?;
    let model = Model::load(&gguf).with_context(model_name)?;
    let tokenizer = Tokenizer::load(&gguf).with_context(model_name)?;
    let n_ctx = args.n_ctx.unwrap_or(model.hparams().n_ctx_train.min(DEFAULT_N_CTX));
    let mut session =
        Session::with_kernels(&model, &workers, n_ctx, KvType::default(), kernels).context("a session")?;

    let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
    let tokens: Vec<Token> = bos.into_iter().chain(tokenizer.encode(&text)).collect();
    let chunks = tokens.chunks_exact(n_ctx);
    ensure!(n_ctx >= 4, "a chunk of {n_ctx} tokens has nothing to score");
    ensure!(
        chunks.len() > 0,
        "{}: {} tokens are less than a chunk of {}; take smaller chunks with --n-ctx, or more text",
        name(),
        tokens.len(),
        n_ctx
    );
    let n_chunks = chunks.len();
    let mut progress = Progress::new("tokens", Unit::Steps, Some((n_chunks * n_ctx) as u64));
    let mut logs = Vec::new();
    for chunk in chunks {
        score(&mut session, chunk, bos, &mut logs, &mut progress)?;
        progress.tell(format!("PPL {:.4}", perplexity(&logs)));
    }
    drop(progress);
    let (value, error) = (perplexity(&logs), perplexity_error(&logs));
    say(format_args!(
        "PPL = {value:.4} +/- {error:.5}, {} tokens scored in {n_chunks} chunks of {n_ctx}\n",
        logs.len()
    ))
}

/// Add to `logs` the logarithms of the probabilities that the tokens in the second half of `chunk` have for the model.
fn score(
    session: &mut Session<'_>,
    chunk: &[Token],
    bos: Option<Token>,
    logs: &mut Vec<f64>,
    progress: &mut Progress,
) -> Result<()> {
    let mut chunk = chunk.to_vec();
    if let Some(bos) = bos {
        chunk[0] = bos;
    }
    session.clear();
    // The one after the first half is the first that foresees one to be scored.
    let n_before = chunk.len() / 2;
    let mut read = |tokens: &[Token]| -> Result<Vec<f32>> {
        let logits = session.eval(tokens, &mut || true).context("a forward pass")?;
        progress.advance(tokens.len() as u64);
        Ok(logits.unwrap_or_default().to_vec())
    };
    read(&chunk[..n_before])?;
    for pair in chunk[n_before..].windows(2) {
        let logits = read(&pair[..1])?;
        logs.push(Probabilities::new(&logits).log_of(pair[1]));
    }
    progress.advance(1); // the last token foresees nothing that is there
    Ok(())
}

/// Return the standard error of the perplexity of tokens with these `logs`: that of their mean, times the perplexity, which is the
/// derivative of the exponential there.
fn perplexity_error(logs: &[f64]) -> f64 {
    let n = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / n;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / n;
    perplexity(logs) * (variance / (n - 1.0).max(1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_the_mean_carried_through_the_exponential() {
        // Mean -2, variance 1 of four: sqrt(1 / 3) * e^2.
        let error = perplexity_error(&[-1.0, -3.0, -1.0, -3.0]);
        assert!((error - (1.0_f64 / 3.0).sqrt() * 2.0_f64.exp()).abs() < 1e-12, "{error}");
    }
}
