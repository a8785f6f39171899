//! Interleaving the matrices of a file, where it lies in memory.
//!
//! The file stays one: a tensor that was interleaved says so by its type number ([`RowLayout`]), so that whoever parses the file
//! again sees what is there. Nothing is copied; each core needs room for one group of rows. It is done piece by piece, so that one who
//! reads a file can interleave each piece while the caches still have it.

use alloc::vec::Vec;
use core::iter;
use core::mem;
use core::ops::Range;

use spin::Mutex;

use super::read;
use crate::cpu::Kernels;
use crate::memory::zeroed;
use crate::platform::Workers;
use crate::quant::{self, ROWS, RowLayout, TensorType};

/// Bytes of a piece: enough that taking the next one costs nothing.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces per core between two reports of progress.
const PIECES_PER_REPORT: usize = 8;

/// What there is to interleave in a file.
#[derive(Debug, Default)]
pub struct Interleaving {
    /// In the order of the bytes.
    matrices: Vec<Matrix>,
}

/// A matrix to be interleaved.
#[derive(Debug)]
struct Matrix {
    kind: TensorType,
    /// Where its type number lies.
    type_at: usize,
    /// Where its whole groups of rows lie.
    groups: Range<usize>,
    /// Bytes of a group.
    group_bytes: usize,
}

/// A part of a file that cuts no group of rows.
#[derive(Debug)]
pub struct Piece<'f> {
    /// Where it begins in the file.
    pub offset: usize,
    /// Its bytes.
    pub bytes: &'f mut [u8],
    matrices: &'f [Matrix],
}

impl Interleaving {
    /// Return what `kernels` would multiply faster if it were interleaved, and is not.
    ///
    /// That is nothing where `file` is none or is damaged: reading it tells why; nor where its tensors share bytes.
    pub fn of(file: &[u8], kernels: &Kernels) -> Self {
        Self { matrices: matrices(file, kernels).unwrap_or_default() }
    }

    /// Return how many bytes of scratch a core needs.
    pub fn scratch_bytes(&self) -> usize {
        self.matrices.iter().map(|matrix| matrix.group_bytes).max().unwrap_or_default()
    }

    /// Cut `file` into pieces; each begins behind a multiple of `piece_bytes`, by less than a group of rows.
    pub fn pieces<'f>(
        &'f self,
        mut file: &'f mut [u8],
        piece_bytes: usize,
    ) -> impl Iterator<Item = Piece<'f>> {
        let mut offset = 0;
        iter::from_fn(move || {
            let end = self.group_end((offset / piece_bytes + 1) * piece_bytes);
            let len = (end - offset).min(file.len());
            let (bytes, rest) = mem::take(&mut file).split_at_mut(len);
            file = rest;
            let piece = Piece { offset, bytes, matrices: &self.matrices };
            offset = end;
            (!piece.bytes.is_empty()).then_some(piece)
        })
    }

    /// Return the end of the group of rows that `at` lies in, or `at` itself.
    fn group_end(&self, at: usize) -> usize {
        let matrix = self.matrices.iter().find(|matrix| matrix.groups.contains(&at));
        matrix.map_or(at, |Matrix { groups, group_bytes, .. }| {
            groups.start + (at - groups.start).next_multiple_of(*group_bytes)
        })
    }

    /// Say in `file` that all of its pieces are interleaved.
    pub fn mark(&self, file: &mut [u8]) {
        for matrix in &self.matrices {
            let id = RowLayout::interleaved_id(matrix.kind).to_le_bytes();
            file[matrix.type_at..][..id.len()].copy_from_slice(&id);
        }
    }
}

impl Piece<'_> {
    /// Interleave the groups of rows in it; `scratch` has [`Interleaving::scratch_bytes`].
    pub fn interleave(&mut self, scratch: &mut [u8]) {
        let end = self.offset + self.bytes.len();
        for Matrix { kind, groups, group_bytes, .. } in self.matrices {
            let start = groups.start.max(self.offset) - self.offset;
            let groups = start..groups.end.min(end).saturating_sub(self.offset);
            for group in self.bytes.get_mut(groups).unwrap_or_default().chunks_exact_mut(*group_bytes) {
                quant::interleave(*kind, group, &mut scratch[..*group_bytes]);
            }
        }
    }
}

/// Interleave what there is to interleave in `file` for `kernels`, with all cores. Now and then `progress` gets the bytes that are done
/// and all that there are to do. Where there is no memory for it, all stays as it is.
pub fn interleave(
    file: &mut [u8],
    workers: &dyn Workers,
    kernels: &Kernels,
    progress: &mut dyn FnMut(usize, usize),
) {
    let interleaving = Interleaving::of(file, kernels);
    let (n_cores, scratch_bytes) = (workers.count(), interleaving.scratch_bytes());
    if scratch_bytes == 0 {
        return;
    }
    let Ok(mut scratch) = zeroed("the scratch of interleaving", scratch_bytes * n_cores) else { return };
    let scratch: Vec<_> = scratch.chunks_exact_mut(scratch_bytes).map(Mutex::new).collect();
    interleaving.mark(file);
    let n_bytes = file.len();
    let mut pieces = interleaving.pieces(file, PIECE_BYTES).peekable();
    while let Some(piece) = pieces.peek() {
        progress(piece.offset, n_bytes);
        let some = Mutex::new(pieces.by_ref().take(n_cores * PIECES_PER_REPORT));
        let next = || some.lock().next();
        workers.run(&|core| {
            let Some(scratch) = scratch.get(core) else { return };
            while let Some(mut piece) = next() {
                piece.interleave(&mut scratch.lock());
            }
        });
    }
    progress(n_bytes, n_bytes);
}

/// Return what is to be interleaved, in the order of the bytes.
fn matrices(file: &[u8], kernels: &Kernels) -> Option<Vec<Matrix>> {
    let (_, mut tensors) = read(file).ok()?;
    tensors.sort_by_key(|placed| placed.start);
    let mut matrices = Vec::new();
    let mut end = 0;
    for placed in tensors {
        let tensor = placed.tensor;
        if tensor.bytes.is_empty() {
            continue;
        }
        if placed.start < end {
            return None;
        }
        end = placed.start + tensor.bytes.len();
        let n_groups = tensor.n_groups_to_interleave(kernels);
        if let (Ok(kind), 1..) = (tensor.kind(), n_groups) {
            let group_bytes = tensor.bytes.len() / tensor.n_rows() * ROWS;
            let groups = placed.start..placed.start + n_groups * group_bytes;
            matrices.push(Matrix { kind, type_at: placed.type_at, groups, group_bytes });
        }
    }
    Some(matrices)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::format::gguf::Gguf;
    use crate::platform::OneCore;
    use crate::testing::{GgufWriter, InTurn};

    /// Return the inner loops that interleave, or `None` and say so.
    fn kernels() -> Option<&'static Kernels> {
        let kernels = Kernels::of(crate::cpu::Isa::Avx2);
        if kernels.is_none() {
            std::println!("SKIPPED: this processor does not run AVX2, the one set that interleaves");
        }
        kernels
    }

    /// Return a file with matrices of several types and sizes, and a vector.
    fn file() -> Vec<u8> {
        let mut gguf = GgufWriter::default();
        gguf.tensor_f32("vector", &[3], [1.0, 2.0, 3.0]);
        for (kind, n_in, n_out) in [
            (TensorType::Q4_1, 64, 19),
            (TensorType::Q8_0, 96, 16),
            (TensorType::Q4_0, 32, 15),
            (TensorType::Q6_K, 256, 33),
            (TensorType::Q2_K, 256, 16),
            (TensorType::F32, 3, 17),
            (TensorType::F16, 6, 18),
            // Rows that are not whole units.
            (TensorType::BF16, 5, 16),
        ] {
            let len = n_in / kind.block_len() * kind.block_bytes() * n_out;
            // No byte makes a binary16 that is not a number.
            let bytes: Vec<u8> = (0..len).map(|i| (i * i / 3 % 120) as u8).collect();
            gguf.tensor(&std::format!("{kind}"), &[n_in as u64, n_out as u64], kind as u32, &bytes);
        }
        gguf.file()
    }

    #[test]
    fn an_interleaved_file_holds_the_same_weights_on_any_number_of_cores() {
        let Some(kernels) = kernels() else { return };
        let before = file();
        let before = Gguf::parse(&before).unwrap();
        for n_cores in [1, 2, 5] {
            let mut after = file();
            let mut steps = Vec::new();
            interleave(&mut after, &InTurn(n_cores), kernels, &mut |done, all| steps.push((done, all)));
            assert_eq!(steps, [(0, after.len()), (after.len(), after.len())]);
            let after = Gguf::parse(&after).unwrap();
            for tensor in before.tensors() {
                let (other, kind) = (after.tensor(&tensor.name).unwrap(), tensor.kind().unwrap());
                assert_eq!((other.ggml_type, &other.shape), (tensor.ggml_type, &tensor.shape));
                let is_woven = matches!(&*tensor.name, "Q4_1" | "Q8_0" | "Q6_K" | "F32" | "F16");
                assert_eq!(other.layout == RowLayout::Interleaved, is_woven, "{kind}");
                if !is_woven {
                    assert_eq!(other.bytes, tensor.bytes);
                    continue;
                }
                assert_ne!(other.bytes, tensor.bytes);
                let (n_in, n_out) = (tensor.shape[0] as usize, tensor.shape[1] as usize);
                let row_bytes = tensor.bytes.len() / n_out;
                for row in 0..n_out {
                    let [mut expected, mut found] = [vec![0.0; n_in], vec![f32::NAN; n_in]];
                    kind.dequantize(&tensor.bytes[row * row_bytes..][..row_bytes], &mut expected);
                    quant::dequantize_row(kind, other.bytes, row, &mut found);
                    assert_eq!(found, expected, "{kind}, row {row}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_is_interleaved_while_it_is_read_becomes_the_same() {
        let Some(kernels) = kernels() else { return };
        let file = file();
        let mut expected = file.clone();
        interleave(&mut expected, &OneCore, kernels, &mut |_, _| {});
        let interleaving = Interleaving::of(&file, kernels);
        let mut scratch = vec![0; interleaving.scratch_bytes()];
        // A group of rows has 192 to 3,360 bytes.
        for piece_bytes in [1, 100, 1000, 1 << 20] {
            let mut found = vec![0; file.len()];
            let mut end = 0;
            for mut piece in interleaving.pieces(&mut found, piece_bytes) {
                assert_eq!(piece.offset, end);
                end += piece.bytes.len();
                piece.bytes.copy_from_slice(&file[piece.offset..end]);
                piece.interleave(&mut scratch);
            }
            interleaving.mark(&mut found);
            assert!(end == file.len() && found == expected, "{piece_bytes}");
        }
    }

    #[test]
    fn progress_is_told_in_bytes_while_there_is_more_to_do() {
        let Some(kernels) = kernels() else { return };
        let mut gguf = GgufWriter::default();
        let rows = vec![0; 40 << 20];
        gguf.tensor("rows", &[1 << 10, 10 << 10], TensorType::F32 as u32, &rows);
        let mut file = gguf.file();
        let n_bytes = file.len();
        let mut steps = Vec::new();
        interleave(&mut file, &InTurn(2), kernels, &mut |done, all| steps.push((done, all)));
        assert!(steps.len() > 2 && steps.is_sorted() && steps.iter().all(|&(_, all)| all == n_bytes));
        assert_eq!((steps[0].0, steps[steps.len() - 1].0), (0, n_bytes));
    }

    #[test]
    fn interleaving_twice_changes_nothing_more() {
        let Some(kernels) = kernels() else { return };
        let mut once = file();
        interleave(&mut once, &OneCore, kernels, &mut |_, _| {});
        let mut twice = once.clone();
        interleave(&mut twice, &OneCore, kernels, &mut |_, _| {});
        assert_eq!(once, twice);
    }

    #[test]
    fn a_file_that_calls_rows_interleaved_that_cannot_be_is_refused() {
        for (n_in, is_well) in [(5, false), (6, true)] {
            let mut gguf = GgufWriter::default();
            let bytes = vec![0; 16 * n_in * 2];
            gguf.tensor("a", &[n_in as u64, 16], RowLayout::interleaved_id(TensorType::F16), &bytes);
            let file = gguf.file();
            let parsed = Gguf::parse(&file);
            assert_eq!(parsed.is_ok(), is_well, "{n_in}: {:?}", parsed.err());
        }
    }

    #[test]
    fn what_cannot_be_interleaved_stays_as_it_is() {
        let Some(kernels) = kernels() else { return };
        let whole = file();
        let mut shared = GgufWriter::default();
        shared.tensor("a", &[32, 16], TensorType::Q8_0 as u32, &[1; 16 * 34]);
        shared.tensor("b", &[32, 16], TensorType::Q8_0 as u32, &[2; 16 * 34]);
        let mut shared = shared.file();
        // The offset of b, behind its type number.
        let at =
            shared.windows(12).rposition(|bytes| bytes == [8, 0, 0, 0, 32, 2, 0, 0, 0, 0, 0, 0]).unwrap();
        shared[at + 4..at + 12].fill(0);
        assert!(Gguf::parse(&shared).is_ok());
        let cut = &whole[..whole.len() - 64];
        for (what, file) in [("cut", cut), ("tensors that share", &shared), ("none", b"GGU"), ("empty", b"")]
        {
            let mut found = file.to_vec();
            interleave(&mut found, &OneCore, kernels, &mut |_, _| {});
            assert_eq!(found, file, "{what}");
        }
    }
}
