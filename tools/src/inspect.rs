//! What a model file holds, and what it takes to run it: `bootlm inspect`.
//!
//! What cannot be run is still shown as far as it can be read, with the engine's reason.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use engine::chat::ChatTemplate;
use engine::format::gguf::{Gguf, Tensor};
use engine::model::Model;
use engine::quant::TensorType;
use engine::session::{self, KvType};
use engine::tokenizer::{self, Tokenizer};
use serde::Serialize;

use crate::image::MAX_FILE_BYTES;
use crate::model_files::ModelFiles;
use crate::output::say;

/// The contexts whose memory is told, beside the one that the model was trained with.
const CONTEXTS: [usize; 3] = [512, 2048, 8192];

/// What can be asked of `bootlm inspect`.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// GGUF files, or llama2.c's .bin files with their tokenizer beside them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Show every tensor: name, shape, type and bytes.
    #[arg(long)]
    tensors: bool,
    /// Write JSON, a list with an object per file, for programs.
    #[arg(long)]
    json: bool,
}

/// Carry out `bootlm inspect`.
///
/// # Errors
/// When one of the files cannot be run; all are shown before.
pub fn run(args: &InspectArgs) -> Result<()> {
    let reports: Vec<_> = args.files.iter().map(|path| Report::of(path, args.tensors)).collect();
    if args.json {
        say(serde_json::to_string_pretty(&reports).context("JSON")? + "\n")?;
    } else {
        let shown: Vec<_> = reports.iter().map(Report::to_string).collect();
        say(shown.join("\n"))?;
    }
    let n_bad = reports.iter().filter(|report| report.error.is_some()).count();
    ensure!(n_bad == 0, "{n_bad} of {} files cannot be run; the reasons are above", reports.len());
    Ok(())
}

/// What there is to say of a file.
#[derive(Debug, Default, Serialize)]
struct Report {
    file: String,
    /// Of the files that the model is made of.
    file_bytes: Vec<u64>,
    /// What the file says of itself: metadata that are text.
    general: BTreeMap<String, String>,
    n_params: Option<u64>,
    hyperparameters: Vec<(&'static str, usize)>,
    tokenizer: Option<TokenizerReport>,
    /// The dialect in which turns are written.
    chat_template: Option<&'static str>,
    types: Vec<TypeReport>,
    memory: Vec<MemoryReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<TensorReport>>,
    warnings: Vec<String>,
    /// Why the engine cannot run it.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct TokenizerReport {
    model: String,
    pre: Option<String>,
    n_tokens: usize,
    bos: Option<u32>,
    eos: Option<u32>,
}

/// All tensors of a type.
#[derive(Debug, Serialize)]
struct TypeReport {
    r#type: &'static str,
    n_tensors: usize,
    n_params: u64,
    bytes: u64,
}

/// What a context takes, beside the file.
#[derive(Debug, Serialize)]
struct MemoryReport {
    n_ctx: usize,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct TensorReport {
    name: String,
    shape: Vec<u64>,
    r#type: &'static str,
    bytes: u64,
}

impl Report {
    fn of(path: &Path, lists_tensors: bool) -> Self {
        let mut report = Self { file: path.display().to_string(), ..Self::default() };
        if let Err(error) = report.fill(path, lists_tensors) {
            report.error = Some(format!("{error:#}"));
        }
        report
    }

    /// Find out everything, up to the first thing that is wrong.
    fn fill(&mut self, path: &Path, lists_tensors: bool) -> Result<()> {
        let files = ModelFiles::map(path)?;
        self.file_bytes = files.sizes_bytes();
        // FAT32 is what firmware boots from; and Limine puts modules below 4 GiB when a BIOS starts it.
        if self.file_bytes.iter().any(|&bytes| bytes > MAX_FILE_BYTES) {
            let what = "a file of 4 GiB or more fits on no FAT32, and a BIOS cannot boot with it: split it";
            self.warnings.push(what.into());
        }
        let gguf = files.gguf()?;
        for key in ["name", "architecture", "basename", "size_label", "license", "quantized_by"] {
            if let Some(value) = gguf.str(&format!("general.{key}")).ok().flatten() {
                self.general.insert(key.into(), value.into());
            }
        }
        self.tell_tensors(&gguf, lists_tensors);
        let model = Model::load(&gguf)?;
        self.tell_model(&model, &gguf);
        let tokenizer = Tokenizer::load(&gguf)?;
        let text = |key| gguf.str(key).ok().flatten().map(str::to_string);
        self.tokenizer = Some(TokenizerReport {
            model: text("tokenizer.ggml.model").unwrap_or_default(),
            pre: text("tokenizer.ggml.pre"),
            n_tokens: tokenizer.n_vocab(),
            bos: tokenizer.bos(),
            eos: tokenizer.eos(),
        });
        let template = ChatTemplate::of(&gguf, &tokenizer)?;
        self.chat_template = Some(template.name());
        if tokenizer.eos().is_none() {
            self.warnings.push("no token ends a sequence: an answer is as long as it may be".into());
        }
        Ok(())
    }

    fn tell_tensors(&mut self, gguf: &Gguf<'_>, lists_tensors: bool) {
        let mut types: BTreeMap<&str, TypeReport> = BTreeMap::new();
        for tensor in gguf.tensors() {
            let name = TensorType::ggml_name(tensor.ggml_type);
            let all =
                types.entry(name).or_insert(TypeReport { r#type: name, n_tensors: 0, n_params: 0, bytes: 0 });
            all.n_tensors += 1;
            all.n_params += n_params(tensor);
            all.bytes += tensor.size_bytes();
        }
        self.types = types.into_values().collect();
        self.types.sort_by_key(|all| std::cmp::Reverse(all.n_params));
        if lists_tensors {
            let report = |tensor: &Tensor<'_>| TensorReport {
                name: tensor.name.to_string(),
                shape: tensor.shape.clone(),
                r#type: TensorType::ggml_name(tensor.ggml_type),
                bytes: tensor.size_bytes(),
            };
            let mut tensors: Vec<_> = gguf.tensors().map(report).collect();
            tensors.sort_by(|a, b| by_layer(&a.name, &b.name));
            self.tensors = Some(tensors);
        }
    }

    fn tell_model(&mut self, model: &Model<'_>, gguf: &Gguf<'_>) {
        self.n_params = Some(model.n_params());
        self.hyperparameters = model.hparams().named().to_vec();
        let n_ctx_train = model.hparams().n_ctx_train;
        let mut contexts = CONTEXTS.to_vec();
        contexts.retain(|&n_ctx| n_ctx < n_ctx_train);
        contexts.push(n_ctx_train);
        let memory = |n_ctx| {
            let context_bytes = session::memory_required(model.hparams(), n_ctx, KvType::default(), 1);
            MemoryReport { n_ctx, bytes: context_bytes + tokenizer::memory_required(gguf) }
        };
        self.memory = contexts.into_iter().map(memory).collect();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &str| writeln!(f, "  {name:14}{}", printable(value));
        row("file", &self.file)?;
        let sizes: Vec<_> =
            self.file_bytes.iter().map(|bytes| format!("{bytes} ({})", megabytes(*bytes))).collect();
        row("bytes", &sizes.join(" + "))?;
        for (key, value) in &self.general {
            row(key, value)?;
        }
        if let Some(n_params) = self.n_params {
            row("n_params", &n_params.to_string())?;
        }
        for (name, value) in &self.hyperparameters {
            row(name, &value.to_string())?;
        }
        for TypeReport { r#type, n_tensors, n_params, bytes } in &self.types {
            let value =
                format!("{:8}{n_tensors:>5}{n_params:>15} weights  {:>12}", r#type, megabytes(*bytes));
            row("tensors", &value)?;
        }
        if let Some(TokenizerReport { model, pre, n_tokens, bos, eos }) = &self.tokenizer {
            let token = |token: &Option<u32>| token.map_or_else(|| "none".into(), |token| token.to_string());
            let pre = pre.as_deref().unwrap_or("none");
            let marks = format!("bos {}, eos {}", token(bos), token(eos));
            row("tokenizer", &format!("{model}, pre-tokenizer {pre}, {n_tokens} tokens, {marks}"))?;
        }
        if let Some(name) = self.chat_template {
            row("template", name)?;
        }
        for MemoryReport { n_ctx, bytes } in &self.memory {
            row("memory", &format!("{:>12} beside the file, with n_ctx {n_ctx}", megabytes(*bytes)))?;
        }
        for TensorReport { name, shape, r#type, bytes } in self.tensors.iter().flatten() {
            let shape: Vec<_> = shape.iter().map(u64::to_string).collect();
            row("", &format!("{name:32} [{}] {} {bytes}", shape.join(", "), r#type))?;
        }
        for warning in &self.warnings {
            row("warning", warning)?;
        }
        match &self.error {
            Some(error) => row("cannot run", error),
            None => Ok(()),
        }
    }
}

/// Return the number of weights.
fn n_params(tensor: &Tensor<'_>) -> u64 {
    tensor.shape.iter().product()
}

/// Compare names of tensors so that layer 2 comes before layer 10.
fn by_layer(a: &str, b: &str) -> Ordering {
    let number = |part: &str| part.parse::<u64>().ok();
    let parts = |name| str::split(name, '.').map(move |part| (number(part), part));
    parts(a).cmp(parts(b))
}

/// Return text from a file as one row that does not steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
