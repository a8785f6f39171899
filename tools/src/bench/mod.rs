//! How fast a model runs on this host, told as llama.cpp's llama-bench tells it: tokens/s to read a prompt (pp) and to
//! write an answer (tg), mean and deviation over some repetitions.
//!
//! Which tokens they are does not matter to the time, so they are any. Tokenizer and sampler are not part of it. What the host
//! can do at most is measured beside ([`host`]).

pub(crate) mod host;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use engine::cpu::{Kernels, Numbers};
use engine::format::gguf::Gguf;
use engine::model::Model;
use engine::platform::Workers;
use engine::session::{KvType, Session};
use serde::Serialize;

use crate::model_files::ModelFiles;
use crate::output::{say, written};
use crate::workers::Pool;
use host::Host;

/// What can be asked of `bootlm bench`; the numbers of tokens are those of llama-bench's options.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Model files, measured one after the other.
    #[arg(required = true, value_name = "FILE")]
    models: Vec<PathBuf>,
    /// Tokens of a prompt to read; 0 for none.
    #[arg(short = 'p', long, value_name = "N", default_value_t = 512)]
    n_prompt: usize,
    /// Tokens to write; 0 for none.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    n_gen: usize,
    /// Tokens that the context holds before.
    #[arg(short = 'd', long, value_name = "N", default_value_t = 0)]
    n_depth: usize,
    /// How often each is measured, after once without.
    #[arg(short, long, value_name = "N", default_value_t = 5)]
    repetitions: usize,
    /// Threads that compute, as in 1,2,4; all that there are where it is left out.
    #[arg(short, long, value_name = "N", value_delimiter = ',')]
    threads: Vec<usize>,
    /// The instruction set to compute with, such as avx2; the best that there is where it is left out.
    #[arg(long, value_name = "NAME", value_parser = Kernels::named)]
    isa: Option<&'static Kernels>,
    /// How the results are written; json and csv have llama-bench's names where they mean the same.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// How the results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For a person.
    Table,
    /// A list with an object per test.
    Json,
    /// A row per test, without the single samples.
    Csv,
}

/// A kind of work on a number of threads, and how long it took.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    record: Record,
    samples_ns: Vec<u64>,
    /// Tokens per second.
    samples_ts: Vec<f64>,
    #[serde(skip)]
    token: PerToken,
    /// What the host can do at most; measured for a person only.
    #[serde(skip)]
    host: Option<Host>,
}

/// What a token takes.
#[derive(Clone, Copy, Debug)]
struct PerToken {
    /// The bytes of all weights that are multiplied.
    bytes: u64,
    /// Multiplications with weights, and as many additions, of each of [`Numbers::ALL`], where no logits are asked for. Those of
    /// attention come on top.
    ops: [u64; 3],
}

impl PerToken {
    /// Return the operations.
    fn ops(self) -> f64 {
        self.ops.iter().sum::<u64>() as f64
    }

    /// Return the seconds that its arithmetic takes `host` at least.
    fn arithmetic_s(self, host: &Host) -> f64 {
        self.ops.iter().zip(host.gop_s).map(|(&ops, gop_s)| ops as f64 / gop_s).sum::<f64>() / 1e9
    }
}

/// What is written of a test but its single samples, under llama-bench's names; `isa` is ours, and so are the bytes of the context
/// and the most that the process has had.
#[derive(Clone, Debug, Default, Serialize)]
struct Record {
    model_filename: String,
    model_type: String,
    model_size: u64,
    model_n_params: u64,
    isa: String,
    n_threads: usize,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    context_bytes: u64,
    peak_bytes: u64,
    avg_ns: u64,
    stddev_ns: u64,
    avg_ts: f64,
    stddev_ts: f64,
}

/// Carry out `bootlm bench`.
pub fn run(args: &BenchArgs) -> Result<()> {
    ensure!(args.repetitions > 0 && args.n_prompt + args.n_gen > 0, "there is nothing to measure");
    let mut rows = Vec::new();
    let mut csv = csv::Writer::from_writer(io::stdout());
    for path in &args.models {
        measure(path, args, &mut |row| {
            match args.output {
                Output::Table => say(format_args!("{row}\n"))?,
                Output::Csv => {
                    csv.serialize(&row.record).context("CSV")?;
                    written(csv.flush())?;
                }
                Output::Json => rows.push(row),
            }
            Ok(())
        })?;
    }
    if args.output == Output::Json {
        say(serde_json::to_string_pretty(&rows).context("JSON")? + "\n")?;
    }
    Ok(())
}

/// Measure how fast the model in `path` runs, and hand over each test when it is done.
fn measure(path: &Path, args: &BenchArgs, done: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
    let name = || path.display().to_string();
    let pools = match args.threads[..] {
        [] => vec![Pool::of_this_host()],
        ref counts => counts.iter().map(|&count| Pool::new(count)).collect(),
    };
    let kernels = args.isa.unwrap_or_else(Kernels::detect);
    let files = ModelFiles::load(path, &pools[0], kernels)?;
    let gguf = files.gguf().with_context(name)?;
    let model = Model::load(&gguf).with_context(name)?;
    let n_ctx = args.n_depth + args.n_prompt.max(args.n_gen);
    let record = Record {
        model_filename: name(),
        model_type: format!(
            "{} {:.1}M {}",
            model.architecture(),
            model.n_params() as f64 / 1e6,
            model.file_type()
        ),
        model_size: model.size_bytes(),
        model_n_params: model.n_params(),
        isa: kernels.isa().to_string(),
        n_depth: args.n_depth,
        ..Record::default()
    };
    if args.output == Output::Table {
        let Record { model_type, model_size, isa, .. } = &record;
        say(format_args!("{model_type}, {:.1} MB, with {isa}\n", *model_size as f64 / 1e6))?;
        say(
            "| threads | test          |              tokens/s |     best |   GB/s | of memory | GFLOP/s | of peak |\n",
        )?;
        say(
            "| ------: | ------------- | --------------------: | -------: | -----: | --------: | ------: | ------: |\n",
        )?;
    }
    let token = per_token(&gguf);
    let n_vocab = model.hparams().n_vocab;
    let tokens: Vec<_> = (0..n_ctx).map(|i| (i * 7919 % n_vocab) as u32).collect();
    for workers in &pools {
        let host = (args.output == Output::Table).then(|| Host::measure(workers, kernels)).transpose()?;
        let mut session =
            Session::with_kernels(&model, workers, n_ctx, KvType::default(), kernels).context("a session")?;
        if args.n_depth > 0 {
            read(&mut session, &tokens[..args.n_depth])?;
        }
        // A prompt is read at once, an answer token by token.
        for (n_prompt, n_gen) in [(args.n_prompt, 0), (0, args.n_gen)] {
            let n_tokens = n_prompt + n_gen;
            if n_tokens == 0 {
                continue;
            }
            let chunk = n_prompt.max(1);
            let mut samples_ns = Vec::new();
            for repetition in 0..=args.repetitions {
                session.truncate(args.n_depth);
                let start = Instant::now();
                for tokens in tokens[..n_tokens].chunks(chunk) {
                    read(&mut session, tokens)?;
                }
                // The first one brings the file into memory and the processor up to speed.
                if repetition > 0 {
                    samples_ns.push(start.elapsed().as_nanos() as u64);
                }
            }
            let memory = session.memory();
            let record = Record {
                n_threads: workers.count(),
                n_prompt,
                n_gen,
                context_bytes: memory.kv_cache_bytes + memory.scratch_bytes,
                peak_bytes: host::peak_bytes(),
                ..record.clone()
            };
            done(Row::new(record, samples_ns, token, host))?;
        }
        if let Some(host) = host {
            say(format_args!("{host}\n"))?;
        }
    }
    Ok(())
}

fn read(session: &mut Session<'_>, tokens: &[u32]) -> Result<()> {
    session.eval(tokens, &mut || true).context("a forward pass")?;
    Ok(())
}

/// Return what one token takes: all matrices are multiplied but an embedding that is not the output too, of which it is one row,
/// and the positions.
fn per_token(gguf: &Gguf<'_>) -> PerToken {
    let output = if gguf.has_tensor("output.weight") { "output.weight" } else { "token_embd.weight" };
    let is_multiplied = |name: &str| {
        name.ends_with(".weight")
            && name != "position_embd.weight"
            && (name != "token_embd.weight" || name == output)
    };
    let mut token = PerToken { bytes: 0, ops: [0; 3] };
    for tensor in gguf.tensors().filter(|tensor| tensor.shape.len() > 1 && is_multiplied(&tensor.name)) {
        token.bytes += tensor.size_bytes();
        if tensor.name == output {
            continue;
        }
        // What has no type of GGUF's is llama2.c's, and quantized.
        let numbers = tensor.kind().map_or(Numbers::Bytes, Numbers::of);
        token.ops[numbers as usize] += 2 * tensor.shape.iter().product::<u64>();
    }
    token
}

impl Row {
    fn new(record: Record, samples_ns: Vec<u64>, token: PerToken, host: Option<Host>) -> Self {
        let n_tokens = (record.n_prompt + record.n_gen) as f64;
        let samples_ts: Vec<_> = samples_ns.iter().map(|&ns| n_tokens * 1e9 / ns as f64).collect();
        let (avg_ts, stddev_ts) = mean_and_deviation(&samples_ts);
        let all_ns: Vec<_> = samples_ns.iter().map(|&ns| ns as f64).collect();
        let (avg_ns, stddev_ns) = mean_and_deviation(&all_ns);
        let record =
            Record { avg_ns: avg_ns as u64, stddev_ns: stddev_ns as u64, avg_ts, stddev_ts, ..record };
        Self { record, samples_ns, samples_ts, token, host }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { n_threads, n_prompt, n_gen, n_depth, avg_ts, stddev_ts, .. } = self.record;
        let mut test = if n_prompt > 0 { format!("pp{n_prompt}") } else { format!("tg{n_gen}") };
        if n_depth > 0 {
            test += &format!(" @ d{n_depth}");
        }
        let best = self.samples_ts.iter().copied().fold(0.0, f64::max);
        write!(f, "| {n_threads:>7} | {test:<13} | {avg_ts:>10.2} ± {stddev_ts:>8.2} | {best:>8.2} | ")?;
        let percent = |share: &dyn Fn(&Host) -> f64| {
            self.host.as_ref().map_or_else(String::new, |host| format!("{:.0} %", 100.0 * share(host)))
        };
        // A prompt meets each weight once and is bound by arithmetic, an answer once per token and by the memory.
        if n_prompt > 0 {
            let of_peak = percent(&|host| best * self.token.arithmetic_s(host));
            let gflop_s = best * self.token.ops() / 1e9;
            return write!(f, "{:>6} | {:>9} | {gflop_s:>7.1} | {of_peak:>7} |", "", "");
        }
        let gb_s = best * self.token.bytes as f64 / 1e9;
        let of_memory = percent(&|host| gb_s / host.read_gb_s);
        write!(f, "{gb_s:>6.2} | {of_memory:>9} | {:>7} | {:>7} |", "", "")
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
    fn a_row_tells_threads_mean_deviation_best_and_what_that_is_of_the_host() {
        let record = Record { n_threads: 2, n_gen: 2, ..Record::default() };
        let token = PerToken { bytes: 500_000_000, ops: [100_000_000, 100_000_000, 800_000_000] };
        let host = Host { n_threads: 2, read_gb_s: 20.0, meeting_ns: 100.0, gop_s: [20.0, 20.0 / 3.0, 20.0] };
        let samples = vec![200_000_000, 100_000_000, 1_000_000_000 / 15];
        let row = Row::new(record, samples, token, Some(host));
        assert_eq!(
            row.to_string(),
            "|       2 | tg2           |      20.00 ±    10.00 |    30.00 |  15.00 |      75 % |         |         |"
        );
        // A token's floats take 5 ms at least, its halves 15 ms, its bytes 40 ms.
        let record = Record { n_threads: 1, n_prompt: 8, n_depth: 4, ..Record::default() };
        let row = Row::new(record, vec![800_000_000], token, Some(host));
        assert_eq!(
            row.to_string(),
            "|       1 | pp8 @ d4      |      10.00 ±     0.00 |    10.00 |        |           |    10.0 |    60 % |"
        );
    }
}
