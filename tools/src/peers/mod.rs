//! How fast models run here and in other programs: `bootlm bench` and llama.cpp's llama-bench by turns, on the same files.
//!
//! A host's speed changes while one measures. So each round gives every program its turn, and what counts is the ratio of
//! medians. Each measurement is a process of its own, which warms up first.

mod llama2c;
mod page;
mod program;
mod shape;

use std::fs;
use std::io::Read as _;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use chrono::DateTime;
use engine::cpu::{Kernels, Processor};

use crate::bench::host::Host;
use crate::output::say;
use crate::quantize::FileType;
use crate::workers::Pool;
use page::{Row, median};
use program::{Memory, Program, Work};
use shape::Shape;

/// What can be asked of `bootlm peers`.
#[derive(Clone, Debug, clap::Args)]
pub struct PeersArgs {
    /// Another program that has llama-bench's options, and those that it is to get beside; several with a semicolon between.
    #[arg(long = "peer", value_name = "NAME=PROGRAM OPTIONS", value_delimiter = ';')]
    peers: Vec<Program>,
    /// llama2.c's run.c, built by its user, which is measured beside stories15M F32.
    #[arg(long, value_name = "PROGRAM")]
    run_c: Option<PathBuf>,
    /// How often each program has its turn; 0 to make the models and nothing else.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Only models that have one of these in their name.
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    only: Vec<String>,
    /// Numbers of threads; all that there are and one, where this is left out.
    #[arg(short, long, value_name = "N", value_delimiter = ',')]
    threads: Vec<usize>,
    /// The folder for models of random weights, which are made where they are missing.
    #[arg(long, value_name = "DIR", default_value = "target/peers")]
    dir: PathBuf,
    /// The page that gets the tables, between its marks.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

/// How often a process is started to time its first token.
const N_STARTS: usize = 10;

/// The model with real weights, whose first token is timed too.
const REAL: (&str, &str) = ("SmolLM2-135M Q4_1", "models/SmolLM2-135M-Instruct.Q4_1.gguf");

/// The shapes, and as what they are measured.
const SHAPES: [(&str, &[FileType]); 3] = [
    ("TinyLlama-1.1B", &[FileType::Q4_0, FileType::Q4_K_M, FileType::Q8_0, FileType::F16]),
    ("GPT-2-124M", &[FileType::Q8_0, FileType::F16]),
    ("stories15M", &[FileType::Q8_0, FileType::F32]),
];

/// The models that are measured in long contexts too, of so many tokens.
const DEEP: [(&str, &[usize]); 2] = [(REAL.0, &[2048, 4096]), ("TinyLlama-1.1B Q4_0", &[2048])];

/// The model that run.c is measured with: the shape, and its weights.
const RUN_C: (&str, FileType) = ("stories15M", FileType::F32);

/// A model whose weights are bytes, and the same with floats.
const QUANTIZED: (&str, &str) = ("stories15M Q8_0", "stories15M F32");

const N_PROMPT: usize = 512;
const N_GEN: usize = 128;

/// With SmolLM2's marks of turns around it, ten tokens.
const PROMPT: &str = "Hi there";

/// A model in a file.
struct Subject {
    name: String,
    path: PathBuf,
}

impl Subject {
    fn works(&self) -> Vec<Work> {
        let mut works = vec![Work::Empty { n_prompt: N_PROMPT, n_gen: N_GEN }];
        for (_, depths) in DEEP.iter().filter(|(name, _)| *name == self.name) {
            works.extend(depths.iter().map(|&n_depth| Work::Deep { n_depth, n_gen: N_GEN }));
        }
        works
    }
}

/// Carry out `bootlm peers`.
///
/// # Errors
/// When a model cannot be made, or this program does not tell what it is asked for. Another that does not has empty cells, and the
/// reason is printed.
pub fn run(args: &PeersArgs) -> Result<()> {
    let subjects = subjects(args)?;
    if args.rounds == 0 {
        return Ok(());
    }
    let all = thread::available_parallelism().map_or(1, NonZero::get);
    let mut threads = if args.threads.is_empty() { vec![all, 1] } else { args.threads.clone() };
    threads.dedup();
    let mut programs: Vec<_> = [Program::own()?].into_iter().chain(args.peers.iter().cloned()).collect();
    programs.extend(args.run_c.as_deref().map(Program::run_c));

    let mut table = page::head(&programs);
    say(&table)?;
    let mut memories = Vec::new();
    let mut all_rows: Vec<Row> = Vec::new();
    for subject in &subjects {
        let mut is_out = vec![false; programs.len()];
        for (work, &n_threads) in
            subject.works().into_iter().flat_map(|work| threads.iter().map(move |n| (work, n)))
        {
            let (rows, memory) = by_turns(subject, &programs, &mut is_out, n_threads, work, args.rounds)?;
            for row in rows {
                say(row.line())?;
                table += &row.line();
                all_rows.push(row);
            }
            if n_threads == threads[0] {
                memories.push((format!("{}, {}", subject.name, work.tests().join(" and ")), memory));
            }
        }
    }
    let hosts: Vec<_> = threads
        .iter()
        .map(|&n_threads| Host::measure(&Pool::new(n_threads), Kernels::detect()))
        .collect::<Result<_>>()?;
    let mut text = format!(
        "{}\n{table}\n{}\n{}",
        measured_on(&programs, args.rounds),
        page::host_table(&hosts),
        page::memory_table(&memories)
    );
    for &n_threads in &threads {
        let speed = |model: &str| {
            let test = format!("tg{N_GEN}");
            let row = all_rows
                .iter()
                .find(|row| (&*row.model, row.n_threads, &row.test) == (model, n_threads, &test))?;
            Some(median(&row.tokens_per_second[0]))
        };
        if let (Some(quantized), Some(floats)) = (speed(QUANTIZED.0), speed(QUANTIZED.1)) {
            let ratio = quantized / floats;
            text += &format!(
                "\nOn {n_threads} of the cores, {} writes {ratio:.2} times as fast as {}.\n",
                QUANTIZED.0, QUANTIZED.1
            );
        }
    }
    if let Some(real) = subjects.iter().find(|subject| subject.name == REAL.0) {
        let samples: Vec<_> = (0..N_STARTS).map(|_| first_token_ms(&real.path)).collect::<Result<_>>()?;
        // The first one warms up: the others find the file in memory, as all measurements do.
        let median = median(&samples[1..]);
        text += &format!(
            "\nFrom the start of `bootlm generate` to the first token of {}: {median:.0} ms.\n",
            real.name
        );
    }
    match &args.page {
        Some(path) => page::write(path, &text),
        None => say(format_args!("\n{}", text.replace(&table, ""))),
    }
}

/// Return the models that are asked for, and make those that are missing.
fn subjects(args: &PeersArgs) -> Result<Vec<Subject>> {
    let is_wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|text| name.contains(text));
    let mut subjects = Vec::new();
    if is_wanted(REAL.0) {
        ensure!(Path::new(REAL.1).exists(), "{} is not there; `make models` gets it", REAL.1);
        subjects.push(Subject { name: REAL.0.into(), path: REAL.1.into() });
    }
    fs::create_dir_all(&args.dir).with_context(|| args.dir.display().to_string())?;
    for (shape, file_types) in SHAPES {
        for &file_type in file_types {
            let name = format!("{shape} {file_type}");
            if !is_wanted(&name) {
                continue;
            }
            let path = args.dir.join(format!("{shape}.{file_type}.gguf"));
            if !path.exists() {
                Shape::named(shape).write(&path, file_type)?;
            }
            let is_there = || llama2c::files_of(&path).iter().all(|file| file.exists());
            if args.run_c.is_some() && (shape, file_type) == RUN_C && !is_there() {
                llama2c::write(Shape::named(shape), &path)?;
            }
            subjects.push(Subject { name, path });
        }
    }
    ensure!(!subjects.is_empty(), "no model has one of {:?} in its name", args.only);
    Ok(subjects)
}

/// Return the rows of `work`, for which each of `programs` had its turn `n_rounds` times, and what the first one took to run. One that
/// fails is out from then on.
fn by_turns(
    subject: &Subject,
    programs: &[Program],
    is_out: &mut [bool],
    n_threads: usize,
    work: Work,
    n_rounds: usize,
) -> Result<(Vec<Row>, Memory)> {
    let row = |test| Row {
        model: subject.name.clone(),
        n_threads,
        test,
        tokens_per_second: vec![Vec::new(); programs.len()],
    };
    let mut rows: Vec<_> = work.tests().into_iter().map(row).collect();
    let mut memory = Memory::default();
    for _ in 0..n_rounds {
        for (i, program) in programs.iter().enumerate() {
            if is_out[i] {
                continue;
            }
            let measured = match program.measure(&subject.path, n_threads, work) {
                Err(reason) if i > 0 => {
                    eprintln!("{} does not run {}: {reason:#}", program.name, subject.name);
                    is_out[i] = true;
                    continue;
                }
                measured => measured.with_context(|| format!("{}, {}", program.name, subject.name))?,
            };
            for (row, measured) in rows.iter_mut().zip(measured) {
                let Some(measured) = measured else { continue };
                row.tokens_per_second[i].push(measured.tokens_per_second);
                memory = measured.memory.unwrap_or(memory);
            }
        }
    }
    Ok((rows, memory))
}

/// Return the milliseconds from the start of a process to the first byte of an answer.
fn first_token_ms(model: &Path) -> Result<f64> {
    let own = std::env::current_exe().context("cannot tell where this program lies")?;
    let start = Instant::now();
    let mut command = Command::new(own);
    command.arg("generate").arg(model).args([PROMPT, "--max-tokens", "1", "--temp", "0"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdout = child.stdout.take().context("stdout is piped")?;
    let first = stdout.read_exact(&mut [0]);
    let elapsed = start.elapsed();
    child.wait()?;
    first.with_context(|| format!("{} answers nothing", model.display()))?;
    Ok(elapsed.as_secs_f64() * 1e3)
}

/// Return what was measured where and when.
fn measured_on(programs: &[Program], n_rounds: usize) -> String {
    let Processor { name, features } = Processor::detect();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let date = DateTime::from_timestamp(seconds as i64, 0).unwrap_or_default().date_naive();
    let peers: Vec<_> = programs[1..].iter().map(Program::describe).collect();
    let rounds = if n_rounds == 1 { "round" } else { "rounds" };
    format!(
        "{date}, {name} ({}), bootlm {} with {}, {n_rounds} {rounds}. {}\n",
        features.join(", "),
        env!("CARGO_PKG_VERSION"),
        Kernels::detect().isa(),
        peers.join("; ")
    )
}
