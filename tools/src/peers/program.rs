//! The programs that are measured: this one, and those that have llama-bench's options and its JSON.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};
use serde::Deserialize;

use super::llama2c;

/// What a context of tokens has to be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// A prompt and an answer, each in an empty context.
    Empty { n_prompt: usize, n_gen: usize },
    /// An answer in a context that holds so many tokens before.
    Deep { n_depth: usize, n_gen: usize },
}

impl Work {
    /// Return the names of the tests, in the order in which their results come.
    pub(super) fn tests(self) -> Vec<String> {
        match self {
            Self::Empty { n_prompt, n_gen } => vec![format!("pp{n_prompt}"), format!("tg{n_gen}")],
            Self::Deep { n_depth, n_gen } => vec![format!("tg{n_gen} @ d{n_depth}")],
        }
    }
}

/// A program that measures how fast a model runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// What it is called in the table.
    pub(super) name: String,
    path: PathBuf,
    options: Vec<String>,
    dialect: Dialect,
}

/// How a program is told what to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// `bootlm bench`.
    Own,
    /// llama-bench.
    LlamaBench,
    /// llama-bench of a fork from before `-d DEPTH`: an answer behind a prompt is a test of its own, `-gp DEPTH,GEN`.
    OlderLlamaBench,
    /// llama2.c's run.c, which has a model format of its own ([`super::llama2c`]) and times what it writes.
    RunC,
}

/// What a program says of one test.
#[derive(Debug, Deserialize)]
pub(super) struct Measured {
    #[serde(rename = "avg_ts")]
    pub(super) tokens_per_second: f64,
    /// What only `bootlm bench` tells.
    #[serde(flatten)]
    pub(super) memory: Option<Memory>,
}

/// What a model took to run, in bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Memory {
    pub(super) model_size: u64,
    pub(super) context_bytes: u64,
    pub(super) peak_bytes: u64,
}

impl Program {
    /// Return `bootlm bench`.
    pub(super) fn own() -> Result<Self> {
        let path = env::current_exe().context("cannot tell where this program lies")?;
        Ok(Self { name: "bootlm".into(), path, options: vec!["bench".into()], dialect: Dialect::Own })
    }

    /// Return llama2.c's run.c, built as `path`.
    pub(super) fn run_c(path: &Path) -> Self {
        let path = path.to_path_buf();
        Self { name: "run.c".into(), path, options: Vec::new(), dialect: Dialect::RunC }
    }

    /// Return how many tokens a second `model` does on `n_threads` threads, and what else the program says, for each of the tests
    /// of `work`; nothing for a test that it does not have.
    pub(super) fn measure(
        &self,
        model: &Path,
        n_threads: usize,
        work: Work,
    ) -> Result<Vec<Option<Measured>>> {
        match self.dialect {
            Dialect::RunC => self.measure_run_c(model, n_threads, work),
            _ => self.measure_llama_bench(model, n_threads, work),
        }
    }

    /// As [`Self::measure`], told as by llama-bench.
    fn measure_llama_bench(
        &self,
        model: &Path,
        n_threads: usize,
        work: Work,
    ) -> Result<Vec<Option<Measured>>> {
        let mut command = Command::new(&self.path);
        command.args(&self.options).args(["-r", "1", "-o", "json", "-t", &n_threads.to_string()]);
        command.args(self.words(work)).args((self.dialect != Dialect::Own).then_some("-m")).arg(model);
        command.stdin(Stdio::null());
        let output = self.output(command)?;
        let failed = || String::from_utf8_lossy(&output.stderr).trim_end().to_string();
        let measured: Vec<Measured> = serde_json::from_slice(&output.stdout).with_context(failed)?;
        let expected = work.tests().len();
        ensure!(
            measured.len() == expected,
            "{} tests where {expected} were asked for: {}",
            measured.len(),
            failed()
        );
        Ok(measured.into_iter().map(Some).collect())
    }

    /// As [`Self::measure`], told on the last line of its errors. It reads prompts as it writes, so that only what it writes counts.
    fn measure_run_c(&self, model: &Path, n_threads: usize, work: Work) -> Result<Vec<Option<Measured>>> {
        let files = llama2c::files_of(model);
        let (Work::Empty { n_gen, .. }, true) = (work, files.iter().all(|file| file.exists())) else {
            return Ok(work.tests().iter().map(|_| None).collect());
        };
        let [model, tokenizer] = &files;
        let mut command = Command::new(&self.path);
        command.arg(model).arg("-z").arg(tokenizer).args(["-t", "0", "-n", &n_gen.to_string()]);
        command.env("OMP_NUM_THREADS", n_threads.to_string()).stdin(Stdio::null());
        let said = String::from_utf8_lossy(&self.output(command)?.stderr).into_owned();
        let speed = said.lines().find_map(|line| line.strip_prefix("achieved tok/s: ")?.trim().parse().ok());
        let tokens_per_second = speed.with_context(|| format!("no tokens per second in {said:?}"))?;
        Ok(vec![None, Some(Measured { tokens_per_second, memory: None })])
    }

    /// Return what `command` writes.
    fn output(&self, mut command: Command) -> Result<Output> {
        let output = command.output().with_context(|| format!("cannot start {}", self.path.display()))?;
        let said = || String::from_utf8_lossy(&output.stderr).trim_end().to_string();
        ensure!(output.status.success(), "{}: {}", output.status, said());
        Ok(output)
    }

    /// Return the options that ask for `work`.
    fn words(&self, work: Work) -> Vec<String> {
        let words = match (work, self.dialect) {
            (Work::Empty { n_prompt, n_gen }, _) => format!("-p {n_prompt} -n {n_gen}"),
            (Work::Deep { n_depth, n_gen }, Dialect::OlderLlamaBench) => {
                format!("-p 0 -n 0 -gp {n_depth},{n_gen}")
            }
            (Work::Deep { n_depth, n_gen }, _) => format!("-p 0 -n {n_gen} -d {n_depth}"),
        };
        words.split(' ').map(String::from).collect()
    }

    /// Return what it is, for a page: its name, and the options that it got.
    pub(super) fn describe(&self) -> String {
        match self.options[..] {
            [] => self.name.clone(),
            _ => format!("{} with {}", self.name, self.options.join(" ")),
        }
    }
}

/// `NAME=PROGRAM OPTIONS`, as in `ik=/opt/ik/llama-bench -rtr 1`.
impl FromStr for Program {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, command) = text.split_once('=').context("expected NAME=PROGRAM OPTIONS")?;
        let mut words = command.split_whitespace();
        let path = PathBuf::from(words.next().with_context(|| format!("{name} has no program"))?);
        let options = words.map(String::from).collect();
        let help = Command::new(&path).arg("--help").stdin(Stdio::null()).output();
        let help = help.with_context(|| format!("cannot start {}", path.display()))?;
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let dialect = match help.contains("--n-depth") {
            true => Dialect::LlamaBench,
            false => Dialect::OlderLlamaBench,
        };
        Ok(Self { name: name.trim().to_string(), path, options, dialect })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_its_name_its_path_and_its_options() {
        let echo: Program = "a b=echo -rtr 1".parse().unwrap();
        assert_eq!((&*echo.name, echo.path.to_str()), ("a b", Some("echo")));
        assert_eq!(echo.options, ["-rtr", "1"]);
        assert_eq!(echo.describe(), "a b with -rtr 1");
        for (bad, said) in [("echo", "NAME=PROGRAM"), ("a=", "a has no program"), ("a=/nowhere", "/nowhere")]
        {
            let refused = bad.parse::<Program>().unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }

    #[test]
    fn a_fork_without_a_depth_gets_the_test_that_it_has_for_it() {
        let words = |dialect, work| {
            Program { name: String::new(), path: PathBuf::new(), options: Vec::new(), dialect }
                .words(work)
                .join(" ")
        };
        let deep = Work::Deep { n_depth: 64, n_gen: 8 };
        assert_eq!(words(Dialect::LlamaBench, deep), "-p 0 -n 8 -d 64");
        assert_eq!(words(Dialect::OlderLlamaBench, deep), "-p 0 -n 0 -gp 64,8");
        assert_eq!(words(Dialect::OlderLlamaBench, Work::Empty { n_prompt: 4, n_gen: 8 }), "-p 4 -n 8");
    }
}
