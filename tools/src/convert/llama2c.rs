//! llama2.c's files, which the engine describes in GGUF's terms already.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use engine::format::gguf::{Gguf, Tensor, Value};
use engine::format::llama2c::{Checkpoint, TokenizerBin};
use engine::format::{File, models};
use zerocopy::IntoBytes as _;

use super::tokenizer::SPACE;
use crate::checkpoint;
use crate::gguf::Header;
use crate::mapped::MappedFile;
use crate::quantize::{FileType, Shape};
use crate::weights::{Order, Plan, Source, Weights};

/// Return whether the file `path` is a model of llama2.c.
pub(super) fn is_model(path: &Path) -> bool {
    let is_model = |file: MappedFile| {
        TokenizerBin::parse(&file).is_none() && matches!(Checkpoint::parse(&file), Ok(Some(_)))
    };
    is_bin(path) && MappedFile::open(path).is_ok_and(is_model)
}

fn is_bin(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "bin")
}

/// Write the model in the file `source`, with the tokenizer beside it that fits it best, to `output` as `file_type`.
pub(super) fn convert(source: &Path, output: &Path, file_type: FileType) -> Result<()> {
    let file = Arc::new(MappedFile::open(source)?);
    ensure!(
        !file.starts_with(b"GGUF"),
        "this is a GGUF file already; `bootlm quantize` gives its weights another type"
    );
    let dir = source.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut tokenizers = Vec::new();
    for path in checkpoint::list(dir)?.into_iter().filter(|path| is_bin(path) && path != source) {
        let bytes = MappedFile::open(&path)?;
        if TokenizerBin::parse(&bytes).is_some() {
            tokenizers.push((name_of(&path), bytes));
        }
    }
    let name = name_of(source);
    let mut files = vec![File { name: &name, bytes: &file }];
    files.extend(tokenizers.iter().map(|(name, bytes)| File { name, bytes }));
    let found =
        models(&files).into_iter().find(|found| found.name == name).context("the file is not among those")?;
    let gguf = found.model?;

    let mut header = Header::default();
    describe(&gguf, &source.file_stem().unwrap_or_default().to_string_lossy(), &mut header)?;
    file_type.describe(&mut header);
    let shape = Shape::of(&gguf)?;
    let mut tensors: Vec<&Tensor<'_>> = gguf.tensors().collect();
    tensors.sort_by_key(|tensor| {
        let start = tensor.groups.map_or(tensor.bytes, |groups| groups.quants().as_bytes());
        file.offset_of(start)
    });
    let mut plan = Plan::new(header);
    for tensor in tensors {
        let source = match tensor.groups {
            Some(groups) => Source::Groups(groups),
            None => Source::File {
                file: Arc::clone(&file),
                offset: file.offset_of(tensor.bytes),
                kind: tensor.kind()?,
            },
        };
        // What is described as a matrix of one row is a vector.
        let mut dims = tensor.shape.clone();
        while dims.len() > 1 && dims.last() == Some(&1) {
            dims.pop();
        }
        let kind = file_type.tensor_type(&tensor.name, &dims, shape);
        plan.add(&tensor.name, Weights { shape: dims, source, order: Order::Rows }, kind)?;
    }
    plan.write(output)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Write the metadata of `gguf` into `header` as llama.cpp expects them, with the tokenizer as SentencePiece has it.
fn describe(gguf: &Gguf<'_>, name: &str, header: &mut Header) -> Result<()> {
    header.set("general.architecture", "llama");
    header.set("general.type", "model");
    header.set("general.name", name);
    let count = |key: &str| gguf.count(key)?.with_context(|| format!("{key} is missing"));
    let keys = ["context_length", "embedding_length", "block_count", "feed_forward_length"];
    let attention = ["attention.head_count", "attention.head_count_kv"];
    for key in keys.into_iter().chain(attention) {
        let key = format!("llama.{key}");
        header.set(&key, count(&key)? as u32);
    }
    header.set(
        "llama.rope.dimension_count",
        (count("llama.embedding_length")? / count("llama.attention.head_count")?) as u32,
    );
    let eps = gguf.float("llama.attention.layer_norm_rms_epsilon")?.context("the epsilon is missing")?;
    header.set("llama.attention.layer_norm_rms_epsilon", eps);

    // tokenizer.py of llama2.c writes spaces as they are, and puts line feeds around the two marks.
    let mut tokens = Vec::new();
    for piece in gguf.strings("tokenizer.ggml.tokens")?.iter() {
        let piece = std::str::from_utf8(piece).context("a piece of the tokenizer is not UTF-8")?;
        tokens.push(match piece {
            "\n<s>\n" => "<s>".to_string(),
            "\n</s>\n" => "</s>".to_string(),
            other => other.replace(' ', &SPACE.to_string()),
        });
    }
    let numbers = |key: &str| match gguf.value(key) {
        Some(Value::Array(numbers)) => Ok(numbers),
        _ => anyhow::bail!("{key} is missing"),
    };
    let scores = numbers("tokenizer.ggml.scores")?;
    let scores: Vec<f32> =
        scores.iter().map(|score| if let Value::Float(score) = score { score as f32 } else { 0.0 }).collect();
    let types = numbers("tokenizer.ggml.token_type")?;
    let types: Vec<i32> =
        types.iter().map(|kind| if let Value::Unsigned(kind) = kind { kind as i32 } else { 1 }).collect();
    header.set("tokenizer.ggml.model", "llama");
    header.set("tokenizer.ggml.pre", "default");
    header.set("tokenizer.ggml.tokens", tokens.as_slice());
    header.set("tokenizer.ggml.scores", scores.as_slice());
    header.set("tokenizer.ggml.token_type", types.as_slice());
    for id in ["bos", "eos", "eot"] {
        let key = format!("tokenizer.ggml.{id}_token_id");
        if let Some(token) = gguf.count(&key)? {
            header.set(&key, token as u32);
        }
    }
    header.set("tokenizer.ggml.add_bos_token", true);
    Ok(())
}
