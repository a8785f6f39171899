//! The interleaved layout: sixteen rows of a matrix woven together, so that one vector holds the same part of all of them.
//!
//! Rows are taken in groups of [`ROWS`]. A block of a group is its rows' blocks, unit by unit: the first unit of each
//! row, then the second of each, and so on. A unit is a binary16 (scales and minima), else four bytes, which are one float or two of
//! 16 bits. So a load of 64 bytes, the largest that there is, has a lane per row, and sixteen scales lie side by side; a smaller one has
//! the same of some rows. A group takes the bytes that its rows took, hence it can take their place. Rows behind the last whole group
//! stay as they are.
//!
//! This is a layout of ours: no file on a disk has it.

use core::array;
use core::ops::Range;

use super::{Block, TensorType, Weights, with_block};

/// Rows in a group.
pub const ROWS: usize = 16;

/// Bytes of a unit that is not a binary16.
const UNIT: usize = 4;

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
        TensorType::from_ggml(id ^ Self::MARK)
            .map_or((id, Self::Plain), |kind| (kind as u32, Self::Interleaved))
    }

    /// Return the type number that stands for interleaved rows of `kind`.
    pub(crate) fn interleaved_id(kind: TensorType) -> u32 {
        Self::MARK | kind as u32
    }
}

/// Return whether rows of `n_in` weights of `kind` are whole units.
pub(crate) fn can_interleave(kind: TensorType, n_in: usize) -> bool {
    let n_blocks = n_in / kind.block_len();
    n_in.is_multiple_of(kind.block_len()) && (n_blocks * kind.block_bytes()).is_multiple_of(woven_bytes(kind))
}

/// Return how many bytes of a row lie in a block of a group: a block, or as many as fill a unit.
fn woven_bytes(kind: TensorType) -> usize {
    kind.block_bytes().max(UNIT)
}

/// Weave the rows `group (ROWS, row_bytes)` of `kind`; `scratch` has as many bytes.
pub(crate) fn interleave(kind: TensorType, group: &mut [u8], scratch: &mut [u8]) {
    scratch.copy_from_slice(group);
    let (block_bytes, halves, row_bytes) = (woven_bytes(kind), halves(kind), scratch.len() / ROWS);
    for (i, woven) in group.chunks_exact_mut(ROWS * block_bytes).enumerate() {
        let block = |row| &scratch[row * row_bytes + i * block_bytes..][..block_bytes];
        let blocks = array::from_fn(block);
        weave::<UNIT>(&blocks, 0..halves.start, woven);
        weave::<2>(&blocks, halves.clone(), woven);
        weave::<UNIT>(&blocks, halves.end..block_bytes, woven);
    }
}

/// Return block `i` of row `row` of `group (ROWS, row_bytes)`, whose rows are woven.
pub(crate) fn block_of<B: Block>(kind: TensorType, group: &[u8], row: usize, i: usize) -> B {
    let (halves, woven_bytes) = (halves(kind), woven_bytes(kind));
    let at = i * size_of::<B>();
    let woven = &group[at / woven_bytes * woven_bytes * ROWS..][..woven_bytes * ROWS];
    let mut bytes = [0; MAX_BLOCK_BYTES];
    let unwoven = &mut bytes[..woven_bytes];
    unweave::<UNIT>(&woven[..ROWS * halves.start], row, &mut unwoven[..halves.start]);
    unweave::<2>(&woven[ROWS * halves.start..ROWS * halves.end], row, &mut unwoven[halves.clone()]);
    unweave::<UNIT>(&woven[ROWS * halves.end..], row, &mut unwoven[halves.end..]);
    B::read_from_bytes(&unwoven[at % woven_bytes..][..size_of::<B>()])
        .expect("as many bytes as the block has")
}

/// Write row `row` of the interleaved matrix `w (n_out, out.len())` as floats to `out`.
pub(crate) fn dequantize_row(kind: TensorType, w: &[u8], row: usize, out: &mut [f32]) {
    let row_bytes = out.len() / kind.block_len() * kind.block_bytes();
    let group = row / ROWS * ROWS;
    let Some(group) = w[group * row_bytes..].get(..ROWS * row_bytes) else {
        return kind.dequantize(&w[row * row_bytes..][..row_bytes], out);
    };
    with_block!(kind, B => {
        for (i, out) in out.chunks_exact_mut(<B as Block>::Weights::LEN).enumerate() {
            block_of::<B>(kind, group, row % ROWS, i).unpack().dequantize(out);
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

/// Write the units of `UNIT` bytes that are `part` of each block to their places.
fn weave<const UNIT: usize>(blocks: &[&[u8]; ROWS], part: Range<usize>, woven: &mut [u8]) {
    let woven = woven[ROWS * part.start..ROWS * part.end].as_chunks_mut::<UNIT>().0;
    for (at, places) in part.step_by(UNIT).zip(woven.as_chunks_mut::<ROWS>().0) {
        for (place, block) in places.iter_mut().zip(blocks) {
            place.copy_from_slice(&block[at..at + UNIT]);
        }
    }
}

/// Read the units of row `row` from their places.
fn unweave<const UNIT: usize>(woven: &[u8], row: usize, units: &mut [u8]) {
    let places = woven.as_chunks::<UNIT>().0.chunks_exact(ROWS);
    for (unit, places) in units.as_chunks_mut::<UNIT>().0.iter_mut().zip(places) {
        *unit = places[row];
    }
}
