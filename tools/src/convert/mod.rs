//! Checkpoints to GGUF: the folders that Hugging Face's transformers saves, and llama2.c's files.
//!
//! Names and meanings are those that llama.cpp's `convert_hf_to_gguf.py` writes, so that it runs the result too.

mod architecture;
mod config;
mod llama2c;
mod tokenizer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::checkpoint;
use crate::gguf::Header;
use crate::quantize::{FileType, Shape, refuse_existing};
use crate::weights::{Plan, Weights};
use config::Config;

/// What `bootlm convert` is told.
#[derive(Debug, clap::Args)]
pub struct ConvertArgs {
    /// Folders with a config.json, or llama2.c's .bin files beside their tokenizer.
    #[arg(value_name = "SOURCE", required_unless_present = "all")]
    sources: Vec<PathBuf>,
    /// Convert what is in the models folder and was not converted yet.
    #[arg(long, conflicts_with = "sources")]
    all: bool,
    /// The file to write; NAME.TYPE.gguf beside the source where it is left out.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What most of the weights become.
    #[arg(
        short = 't',
        long = "type",
        value_enum,
        value_name = "TYPE",
        ignore_case = true,
        default_value = "q8_0"
    )]
    file_type: FileType,
    /// The models folder.
    #[arg(long, value_name = "DIR", default_value = "models")]
    models_dir: PathBuf,
}

/// Do what `bootlm convert` is told.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let sources = if args.all { sources_in(&args.models_dir)? } else { args.sources.clone() };
    ensure!(
        args.output.is_none() || sources.len() == 1,
        "--output names one file, and there are {} sources; leave it out",
        sources.len()
    );
    for source in &sources {
        let output = match &args.output {
            Some(output) => output.clone(),
            None => output_beside(source, args.file_type)?,
        };
        if args.all && output.exists() {
            eprintln!("{}: there already", output.display());
            continue;
        }
        refuse_existing(&output)?;
        convert(source, &output, args.file_type)?;
        eprintln!("{}: {}", output.display(), args.file_type);
    }
    Ok(())
}

/// Return what there is to convert in the folder `dir`.
fn sources_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let is_source = |path: &PathBuf| path.join("config.json").is_file() || llama2c::is_model(path);
    let sources: Vec<_> = checkpoint::list(dir)?.into_iter().filter(is_source).collect();
    ensure!(
        !sources.is_empty(),
        "nothing in {} is to be converted; `bootlm fetch` brings models there",
        dir.display()
    );
    Ok(sources)
}

/// Return the path of the file that `source` becomes where a person names none.
fn output_beside(source: &Path, file_type: FileType) -> Result<PathBuf> {
    let whole = source.canonicalize().with_context(|| format!("cannot find {}", source.display()))?;
    let name = if source.is_dir() { whole.file_name() } else { whole.file_stem() };
    let name = name.with_context(|| format!("{} has no name; give one with --output", source.display()))?;
    Ok(whole.with_file_name(format!("{}.{file_type}.gguf", name.to_string_lossy())))
}

/// Write the model in `source` to `output` as `file_type`.
///
/// # Errors
/// When the source is no checkpoint of an architecture that the engine has, or is not whole; there is no output then.
pub fn convert(source: &Path, output: &Path, file_type: FileType) -> Result<()> {
    let converted = match source.is_dir() {
        true => convert_folder(source, output, file_type),
        false => llama2c::convert(source, output, file_type),
    };
    converted.with_context(|| format!("cannot convert {}", source.display()))
}

fn convert_folder(dir: &Path, output: &Path, file_type: FileType) -> Result<()> {
    let config = Config::read(&dir.join("config.json"))?;
    let tensors = tensors(dir, &config)?;
    let mut header = Header::default();
    let name = dir.canonicalize()?.file_name().unwrap_or_default().to_string_lossy().into_owned();
    config.describe(&mut header, &name);
    file_type.describe(&mut header);
    tokenizer::describe(dir, &config, &mut header)?;
    let shape = Shape {
        n_layer: config.n_layer,
        n_gqa: config.n_head / config.n_head_kv.max(1),
        has_output: tensors.iter().any(|(name, _)| name == "output.weight"),
    };
    let mut plan = Plan::new(header);
    for (name, weights) in tensors {
        let kind = file_type.tensor_type(&name, &weights.shape, shape);
        plan.add(&name, weights, kind)?;
    }
    plan.write(output)
}

/// Return the tensors of the checkpoint in `dir` under their names in GGUF, in the order in which a token meets them.
///
/// # Errors
/// When one is missing that the architecture needs, or is there that it does not have.
fn tensors(dir: &Path, config: &Config) -> Result<Vec<(String, Weights<'static>)>> {
    let stored = checkpoint::open(dir)?;
    let mut tensors = BTreeMap::new();
    for (name, stored) in &stored {
        if config.ignores(name) {
            continue;
        }
        let Some(place) = config.architecture.place(name) else {
            bail!("tensor {name} is none that {} has; is this another kind of model?", config.architecture)
        };
        let weights = stored.weights(name, place.order(config))?;
        tensors.insert(place.position(), (place.name(), weights));
    }
    if let Some((name, weights)) = config.rope_frequencies() {
        tensors.insert(architecture::Place::FIRST, (name, weights));
    }
    let shape_of =
        |name: &str| tensors.values().find(|(known, _)| known == name).map(|(_, weights)| &weights.shape);
    if let Some(missing) = config.architecture.needed(config.n_layer).find(|name| shape_of(name).is_none()) {
        bail!("{missing} of a model of {} layers is missing; is the checkpoint whole?", config.n_layer);
    }
    let n_rows = shape_of("token_embd.weight").and_then(|shape| shape.get(1));
    ensure!(
        n_rows == Some(&(config.n_vocab as u64)),
        "vocab_size in config.json is {}, and the embedding has {n_rows:?} rows; do both belong to one model?",
        config.n_vocab
    );
    Ok(tensors.into_values().collect())
}
