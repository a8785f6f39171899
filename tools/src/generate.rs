//! One answer on stdout and nothing else, for pipes and scripts: `bootlm generate`.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use engine::cpu::Kernels;
use shell::{ScreenSize, Terminal};

use crate::chat::ThisHost;
use crate::model_files::ModelFiles;
use crate::tuning::Tuning;

/// Ctrl-C as a byte (ETX), with which a terminal stops an answer.
const CTRL_C: u8 = 0x03;

/// What can be asked of `bootlm generate`.
#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
    /// A GGUF file, or llama2.c's .bin file with its tokenizer beside it.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// What to say to it; - reads it from stdin.
    #[arg(value_name = "PROMPT", allow_hyphen_values = true)]
    prompt: String,
    #[command(flatten)]
    tuning: Tuning,
}

/// Carry out `bootlm generate`.
///
/// # Errors
/// When there is no answer, or not all of it.
pub fn run(args: GenerateArgs) -> Result<()> {
    let mut options = args.tuning.options();
    let prompt = match args.prompt.as_str() {
        "-" => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context("the prompt from stdin")?;
            text.trim_end_matches(['\r', '\n']).to_string()
        }
        prompt => prompt.to_string(),
    };
    ensure!(!prompt.trim().is_empty(), "the prompt is empty");
    options.prompt = Some(prompt);
    let kernels = Kernels::detect();
    let host = ThisHost::new(kernels);
    let mut files = ModelFiles::load(&args.model, &host.workers, kernels)?;
    let answered = shell::answer(&mut Stdout::default(), &host.machine(), &files.for_shell(), &options);
    answered.map_err(|reason| anyhow!("{}: {reason}", args.model.display()))
}

/// Stdout as a terminal at which nobody types, so that stdin stays whoever's it is.
#[derive(Debug, Default)]
struct Stdout {
    /// Whether whoever read the answer has gone away.
    is_deserted: bool,
}

impl Terminal for Stdout {
    fn screen_size(&self) -> ScreenSize {
        ScreenSize::NoScreen
    }

    fn write(&mut self, text: &str) {
        let mut stdout = io::stdout().lock();
        self.is_deserted |= stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err();
    }

    fn try_read(&mut self) -> Option<u8> {
        self.is_deserted.then_some(CTRL_C)
    }

    fn read(&mut self) -> Option<u8> {
        self.try_read()
    }

    fn wait(&mut self) -> bool {
        self.is_deserted
    }
}
