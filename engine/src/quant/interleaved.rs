//! The interleaved layout: sixteen rows of a matrix woven together, so that one vector holds the same part of all of them.
//!
//! Rows are taken in groups of [`ROWS`]. A block of a group is its rows' blocks, unit by unit: the first unit of each
//! row, then the second of each, and so on. A unit is a binary16 (scales and minima), else four bytes. So a load of 64 bytes,
//! the largest that there is, has a lane per row, and sixteen scales lie side by side; a smaller one has the same of some rows. A group
//! takes the bytes that its rows took, hence it can take their place. Rows behind the last whole group stay as they are.
//!
//! This is a layout of ours: no file on a disk has it.

use core::ops::Range;

use super::{Block, TensorType, Weights, with_block};

/// Rows in a group.
pub const ROWS: usize = 16;

/// More bytes than a block of any type has.
const MAX_BLOCK_BYTES: usize = 256;

/// How the rows of a matrix lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowLayout {
    /// One after the other, as in ggml.
    #[default]
    Plain,
    /// Interleaved.
    Interleaved,
}

impl RowLayout {
    /// What the numbers of types have above ggml's own where they are interleaved: "bl".
    const MARK: u32 = 0x626c_0000;

    /// Return ggml's number of a type, and the layout, that the type number `id` stands for.
    pub(crate) fn split(id: u32) -> (u32, Self) {
        let kind = TensorType::from_ggml(id ^ Self::MARK).filter(|kind| kind.is_quantized());
        kind.map_or((id, Self::Plain), |kind| (kind as u32, Self::Interleaved))
    }

    /// Return the type number that stands for interleaved rows of `kind`.
    pub(crate) fn interleaved_id(kind: TensorType) -> u32 {
        Self::MARK | kind as u32
    }
}

/// Weave the rows `group (ROWS, row_bytes)` of `kind`; `scratch` has as many bytes.
pub(crate) fn interleave(kind: TensorType, group: &mut [u8], scratch: &mut [u8]) {
    scratch.copy_from_slice(group);
    let (block_bytes, halves) = (kind.block_bytes(), halves(kind));
    for (row, bytes) in scratch.chunks_exact(scratch.len() / ROWS).enumerate() {
        let blocks = bytes.chunks_exact(block_bytes).zip(group.chunks_exact_mut(ROWS * block_bytes));
        for (block, woven) in blocks {
            weave::<4>(&block[..halves.start], row, &mut woven[..ROWS * halves.start]);
            weave::<2>(&block[halves.clone()], row, &mut woven[ROWS * halves.start..ROWS * halves.end]);
            weave::<4>(&block[halves.end..], row, &mut woven[ROWS * halves.end..]);
        }
    }
}

/// Return the block of row `row` in a block of a group.
pub(crate) fn block_of<B: Block>(kind: TensorType, woven: &[u8], row: usize) -> B {
    let halves = halves(kind);
    let mut bytes = [0; MAX_BLOCK_BYTES];
    let block = &mut bytes[..size_of::<B>()];
    unweave::<4>(&woven[..ROWS * halves.start], row, &mut block[..halves.start]);
    unweave::<2>(&woven[ROWS * halves.start..ROWS * halves.end], row, &mut block[halves.clone()]);
    unweave::<4>(&woven[ROWS * halves.end..], row, &mut block[halves.end..]);
    B::read_from_bytes(block).expect("as many bytes as the block has")
}

/// Write row `row` of the interleaved matrix `w (n_out, out.len())` as floats to `out`.
pub(crate) fn dequantize_row(kind: TensorType, w: &[u8], row: usize, out: &mut [f32]) {
    let row_bytes = out.len() / kind.block_len() * kind.block_bytes();
    let group = row / ROWS * ROWS;
    let Some(group) = w[group * row_bytes..].get(..ROWS * row_bytes) else {
        return kind.dequantize(&w[row * row_bytes..][..row_bytes], out);
    };
    with_block!(kind, B => {
        let woven = group.chunks_exact(ROWS * size_of::<B>());
        for (woven, out) in woven.zip(out.chunks_exact_mut(<B as Block>::Weights::LEN)) {
            block_of::<B>(kind, woven, row % ROWS).unpack().dequantize(out);
        }
    });
}

/// Return which bytes of a block are binary16.
fn halves(kind: TensorType) -> Range<usize> {
    match kind {
        TensorType::F32 | TensorType::F16 | TensorType::BF16 => 0..0,
        TensorType::Q8_0 | TensorType::Q4_0 | TensorType::Q5_0 | TensorType::IQ4_NL => 0..2,
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => 0..4,
        TensorType::Q2_K => 80..84,
        TensorType::Q3_K => 108..110,
        TensorType::Q6_K => 208..210,
    }
}

/// Write the units of `UNIT` bytes of row `row` to their places.
fn weave<const UNIT: usize>(units: &[u8], row: usize, woven: &mut [u8]) {
    let places = woven.as_chunks_mut::<UNIT>().0.chunks_exact_mut(ROWS);
    for (unit, places) in units.as_chunks::<UNIT>().0.iter().zip(places) {
        places[row] = *unit;
    }
}

/// Read the units of row `row` from their places.
fn unweave<const UNIT: usize>(woven: &[u8], row: usize, units: &mut [u8]) {
    let places = woven.as_chunks::<UNIT>().0.chunks_exact(ROWS);
    for (unit, places) in units.as_chunks_mut::<UNIT>().0.iter_mut().zip(places) {
        *unit = places[row];
    }
}
