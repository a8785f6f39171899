//! Quantizing: fewer bits per weight, in the block types that the engine dequantizes.
//!
//! [`encode`] makes blocks of floats, [`FileType`] says which tensor of a model gets which type, and [`quantize`] turns one
//! GGUF file into another.

mod blocks;
mod file_type;
mod fit;
mod super_blocks;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use engine::format::gguf::{Gguf, Tensor};
use engine::quant::TensorType;
use half::{bf16, f16};
use zerocopy::{Immutable, IntoBytes};

pub use file_type::{FileType, Shape};

use crate::gguf::Header;
use crate::mapped::MappedFile;
use crate::weights::{Order, Plan, Source, Weights};

/// What `bootlm quantize` is told.
#[derive(Debug, clap::Args)]
pub struct QuantizeArgs {
    /// The model, a GGUF file.
    #[arg(value_name = "IN.gguf")]
    input: PathBuf,
    /// The file to write.
    #[arg(value_name = "OUT.gguf")]
    output: PathBuf,
    /// What most of the weights become.
    #[arg(value_enum, value_name = "TYPE", ignore_case = true)]
    file_type: FileType,
}

/// Do what `bootlm quantize` is told.
pub fn run(args: &QuantizeArgs) -> Result<()> {
    refuse_existing(&args.output)?;
    quantize(&args.input, &args.output, args.file_type)?;
    eprintln!("{}: {}", args.output.display(), args.file_type);
    Ok(())
}

/// Write the model in `input`, a GGUF file, to `output` as `file_type`.
///
/// # Errors
/// When the input is no model that the engine can run, or is split over several files.
pub fn quantize(input: &Path, output: &Path, file_type: FileType) -> Result<()> {
    let file = Arc::new(MappedFile::open(input)?);
    let gguf = Gguf::parse(&file).with_context(|| input.display().to_string())?;
    ensure!(
        gguf.count("split.count")?.unwrap_or(0) <= 1,
        "{} is one part of a model that is split over several files; put them together with `bootlm merge` first",
        input.display()
    );
    let mut header = Header::with_metadata_of(&file)?;
    file_type.describe(&mut header);
    let shape = Shape::of(&gguf)?;
    let mut tensors: Vec<&Tensor<'_>> = gguf.tensors().collect();
    tensors.sort_by_key(|tensor| file.offset_of(tensor.bytes));
    let mut plan = Plan::new(header);
    for tensor in tensors {
        let source = Source::File {
            file: Arc::clone(&file),
            offset: file.offset_of(tensor.bytes),
            kind: tensor.kind()?,
        };
        let weights = Weights { shape: tensor.shape.clone(), source, order: Order::Rows };
        plan.add(&tensor.name, weights, file_type.tensor_type(&tensor.name, &tensor.shape, shape))?;
    }
    plan.write(output)
}

/// Return an error if there is a file at `path`: what took long to make is not overwritten.
pub(crate) fn refuse_existing(path: &Path) -> Result<()> {
    let is_there = path.try_exists().with_context(|| path.display().to_string())?;
    ensure!(!is_there, "{} is there already; delete it, or choose another name", path.display());
    Ok(())
}

/// Add `weights`, whole blocks of the type `kind`, to `bytes`.
///
/// # Panics
/// When they are not whole blocks.
pub fn encode(kind: TensorType, weights: &[f32], bytes: &mut Vec<u8>) {
    match kind {
        TensorType::F32 => bytes.extend(weights.iter().flat_map(|weight| weight.to_le_bytes())),
        TensorType::F16 => {
            bytes.extend(weights.iter().flat_map(|&weight| f16::from_f32(weight).to_le_bytes()))
        }
        TensorType::BF16 => {
            bytes.extend(weights.iter().flat_map(|&weight| bf16::from_f32(weight).to_le_bytes()))
        }
        TensorType::Q8_0 => add_blocks(weights, blocks::q8_0, bytes),
        TensorType::Q4_0 => add_blocks(weights, blocks::q4_0, bytes),
        TensorType::Q4_1 => add_blocks(weights, blocks::q4_1, bytes),
        TensorType::Q5_0 => add_blocks(weights, blocks::q5_0, bytes),
        TensorType::Q5_1 => add_blocks(weights, blocks::q5_1, bytes),
        TensorType::IQ4_NL => add_blocks(weights, blocks::iq4_nl, bytes),
        TensorType::Q2_K => add_blocks(weights, super_blocks::q2_k, bytes),
        TensorType::Q3_K => add_blocks(weights, super_blocks::q3_k, bytes),
        TensorType::Q4_K => add_blocks(weights, super_blocks::q4_k, bytes),
        TensorType::Q5_K => add_blocks(weights, super_blocks::q5_k, bytes),
        TensorType::Q6_K => add_blocks(weights, super_blocks::q6_k, bytes),
    }
}

/// Add the blocks that `block` makes of `weights` to `bytes`.
fn add_blocks<const LEN: usize, B: IntoBytes + Immutable>(
    weights: &[f32],
    block: impl Fn(&[f32; LEN]) -> B,
    bytes: &mut Vec<u8>,
) {
    let (whole, rest) = weights.as_chunks();
    assert!(rest.is_empty(), "{} weights are not whole blocks of {LEN}", weights.len());
    whole.iter().for_each(|weights| bytes.extend(block(weights).as_bytes()));
}
