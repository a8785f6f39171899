//! Weights on their way from one file into another: where they lie, in which order, and the copying itself.
//!
//! They are read, quantized and written some rows at a time, the rows shared among the cores. So how much memory this takes
//! does not depend on the model.

use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, ensure};
use engine::quant::{Groups, QK, TensorType};

use crate::gguf::{Header, TensorInfo, Writer};
use crate::mapped::MappedFile;
use crate::progress::{Progress, Unit};
use crate::quantize::encode;

/// How many weights a core takes at once: 4 MiB as 32-bit floats.
const PART_LEN: usize = 1 << 20;

/// The weights of one tensor, wherever they are.
#[derive(Clone, Debug)]
pub(crate) struct Weights<'a> {
    /// The dimensions after what [`Order`] does, the fastest first: a matrix is `[n_in, n_out]`.
    pub(crate) shape: Vec<u64>,
    /// Where they are.
    pub(crate) source: Source<'a>,
    /// How they lie there.
    pub(crate) order: Order,
}

/// Where weights are.
#[derive(Clone, Debug)]
pub(crate) enum Source<'a> {
    /// In a file, one behind the other.
    File {
        /// The file.
        file: Arc<MappedFile>,
        /// Where they begin in it.
        offset: u64,
        /// Their type there.
        kind: TensorType,
    },
    /// In a file of llama2.c, their scales apart.
    Groups(Groups<'a>),
    /// Computed.
    Values(Vec<f32>),
    /// Any, and the same whenever they are read: of mean 0 and variance `1 / row_len`, so that the products of a row are as large
    /// as what it meets. The number tells one tensor's from another's.
    Random(u64),
}

/// How weights lie at their source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As in GGUF: row by row.
    Rows,
    /// Row by row; of each of so many heads first those that rotations turn to one side, then those to the other. GGUF's llama
    /// has the two of a pair beside each other.
    HalvesOfHeads(usize),
    /// Column by column, as in GPT-2's own code, whose matrices stand on the other side of the product.
    Columns,
}

impl Weights<'_> {
    fn row_len(&self) -> usize {
        self.shape[0] as usize
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.shape[1..].iter().product::<u64>() as usize
    }

    /// Return `rows` as the type `kind`.
    pub(crate) fn encode(&self, rows: Range<usize>, kind: TensorType) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match &self.source {
            // Nothing to compute, and nothing to lose.
            Source::File { file, offset, kind: known } if *known == kind && self.order == Order::Rows => {
                let row_bytes = self.row_len() / kind.block_len() * kind.block_bytes();
                bytes.resize(rows.len() * row_bytes, 0);
                file.read(offset + (rows.start * row_bytes) as u64, &mut bytes)?;
            }
            _ => {
                let mut floats = vec![0.0; rows.len() * self.row_len()];
                self.read(rows, &mut floats)?;
                encode(kind, &floats, &mut bytes);
            }
        }
        Ok(bytes)
    }

    /// Write `rows` to `out (rows.len(), row_len)`.
    fn read(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        let row_len = self.row_len();
        let (file, offset, kind) = match &self.source {
            Source::File { file, offset, kind } => (file, *offset, *kind),
            Source::Groups(groups) => {
                let n_blocks = row_len / QK;
                groups.cut(rows.start * n_blocks..rows.end * n_blocks).dequantize(out);
                return Ok(());
            }
            Source::Values(values) => {
                out.copy_from_slice(&values[rows.start * row_len..rows.end * row_len]);
                return Ok(());
            }
            Source::Random(seed) => {
                let most = (3.0 / row_len as f32).sqrt();
                for (i, out) in ((rows.start * row_len) as u64..).zip(out) {
                    *out = (uniform(seed << 40 | i) * 2.0 - 1.0) * most;
                }
                return Ok(());
            }
        };
        let bytes_of = |len: usize| len / kind.block_len() * kind.block_bytes();
        let mut bytes = Vec::new();
        // Write those weights to `out` that lie behind `first` others.
        let mut read = |first: usize, out: &mut [f32]| {
            bytes.resize(bytes_of(out.len()), 0);
            file.read(offset + bytes_of(first) as u64, &mut bytes)?;
            kind.dequantize(&bytes, out);
            anyhow::Ok(())
        };
        match self.order {
            Order::Rows => read(rows.start * row_len, out),
            Order::HalvesOfHeads(n_head) => {
                // A bias has a number where a matrix has a row.
                let unit = if self.shape.len() == 1 { 1 } else { row_len };
                let n_units = self.n_rows() * row_len / unit;
                let head_len = n_units / n_head;
                ensure!(
                    n_units.is_multiple_of(2 * n_head),
                    "{n_units} rows are not {n_head} heads of an even width"
                );
                for (row, out) in (rows.start * row_len / unit..).zip(out.chunks_exact_mut(unit)) {
                    let (head, i) = (row / head_len, row % head_len);
                    read((head * head_len + i % 2 * (head_len / 2) + i / 2) * unit, out)?;
                }
                Ok(())
            }
            Order::Columns => {
                let mut column = vec![0.0; rows.len()];
                for i in 0..row_len {
                    read(i * self.n_rows() + rows.start, &mut column)?;
                    for (out, &weight) in out.iter_mut().skip(i).step_by(row_len).zip(&column) {
                        *out = weight;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Return a number from 0 to 1 for `i`: SplitMix64 (Steele, Lea and Flood 2014), of which this is the `i`th.
fn uniform(i: u64) -> f32 {
    let mut z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 40) as f32 / (1 << 24) as f32
}

/// A model in the making: what its file will say, and where each tensor's weights come from.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    /// The metadata, and the tensors that were added so far.
    pub(crate) header: Header,
    weights: Vec<(Weights<'a>, TensorType)>,
}

impl<'a> Plan<'a> {
    /// Return a plan that begins with `header`, in which there are no tensors yet.
    pub(crate) fn new(header: Header) -> Self {
        Self { header, weights: Vec::new() }
    }

    /// Add the tensor `name`, whose `weights` become the type `kind`.
    ///
    /// # Errors
    /// When its rows are not whole blocks of this type.
    pub(crate) fn add(&mut self, name: &str, weights: Weights<'a>, kind: TensorType) -> Result<()> {
        self.header.add_tensor(TensorInfo::new(name, &weights.shape, kind)?);
        self.weights.push((weights, kind));
        Ok(())
    }

    /// Write the file `path`, if the engine can load what it is then.
    pub(crate) fn write(self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut bar = Progress::new(&name, Unit::Bytes, Some(self.header.file_bytes()));
        let n_cores = thread::available_parallelism().map_or(1, NonZero::get);
        let mut writer = Writer::create(path, self.header)?;
        for (weights, kind) in &self.weights {
            let n_rows = weights.n_rows();
            let step = (PART_LEN / weights.row_len()).max(1);
            let parts: Vec<_> =
                (0..n_rows).step_by(step).map(|start| start..(start + step).min(n_rows)).collect();
            for parts in parts.chunks(n_cores) {
                for bytes in encode_parts(weights, *kind, parts)? {
                    writer.write(&bytes)?;
                    bar.advance(bytes.len() as u64);
                }
            }
        }
        writer.finish_if(loads)
    }
}

/// Return each of `parts`, some rows of `weights`, as the type `kind`; each is the work of one thread.
fn encode_parts(weights: &Weights<'_>, kind: TensorType, parts: &[Range<usize>]) -> Result<Vec<Vec<u8>>> {
    if let [rows] = parts {
        return Ok(vec![weights.encode(rows.clone(), kind)?]);
    }
    thread::scope(|scope| {
        let threads: Vec<_> =
            parts.iter().map(|rows| scope.spawn(move || weights.encode(rows.clone(), kind))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a panic ends the program")).collect()
    })
}

/// Return an error with the engine's reason unless it can load the model in `path`.
fn loads(path: &Path) -> Result<()> {
    let file = MappedFile::open(path)?;
    let load = || {
        let gguf = engine::format::gguf::Gguf::parse(&file)?;
        engine::tokenizer::Tokenizer::load(&gguf)?;
        engine::model::Model::load(&gguf).map(|_| ())
    };
    load().context("the result is no model that bootlm can run, so it was not kept")
}
