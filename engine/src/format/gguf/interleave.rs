//! Interleaving the matrices of a file, where it lies in memory.
//!
//! The file stays one: a tensor that was interleaved says so by its type number ([`RowLayout`]), so that whoever parses the file
//! again sees what is there. Nothing is copied; each core needs room for one group of rows.

use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

use spin::Mutex;

use super::read;
use crate::cpu::Kernels;
use crate::memory::zeroed;
use crate::parallel::share;
use crate::platform::Workers;
use crate::quant::{self, ROWS, RowLayout, TensorType};

/// A matrix to be interleaved.
struct Plan {
    kind: TensorType,
    /// Where its type number lies.
    type_at: usize,
    /// Where its whole groups of rows lie.
    groups: Range<usize>,
    /// Bytes of a group.
    group_bytes: usize,
}

/// Some groups of a matrix, and room for one.
struct Part<'f> {
    groups: &'f mut [u8],
    scratch: &'f mut [u8],
}

/// Interleave those matrices of a GGUF file that `kernels` multiply faster then, with all cores. After each of them, `progress` gets
/// the bytes that are done and all that there are to do.
///
/// A file that is none, or is damaged, stays as it is: reading it tells why. So does one whose tensors share bytes, and one
/// for which there is no memory.
pub fn interleave(
    file: &mut [u8],
    workers: &dyn Workers,
    kernels: &Kernels,
    progress: &mut dyn FnMut(usize, usize),
) {
    let Some(plans) = plan(file, kernels) else { return };
    let most = plans.iter().map(|plan| plan.group_bytes).max().unwrap_or_default();
    let n_cores = workers.count();
    let Ok(mut scratch) = zeroed("the scratch of interleaving", most * n_cores) else { return };
    let n_bytes = plans.iter().map(|plan| plan.groups.len()).sum();
    let mut n_done = 0;
    for Plan { kind, type_at, groups, group_bytes } in plans {
        let id = RowLayout::interleaved_id(kind).to_le_bytes();
        file[type_at..][..id.len()].copy_from_slice(&id);
        n_done += groups.len();
        interleave_matrix(kind, group_bytes, &mut file[groups], &mut scratch, workers);
        progress(n_done, n_bytes);
    }
}

/// Interleave the groups of a matrix; each core has its share of them, and of `scratch`.
fn interleave_matrix(
    kind: TensorType,
    group_bytes: usize,
    mut groups: &mut [u8],
    scratch: &mut [u8],
    workers: &dyn Workers,
) {
    let (n_cores, n_groups) = (workers.count(), groups.len() / group_bytes);
    let scratch_bytes = scratch.len() / n_cores;
    let mut parts = Vec::new();
    for (core, scratch) in scratch.chunks_exact_mut(scratch_bytes).enumerate() {
        let len = share(n_groups, core, n_cores).len() * group_bytes;
        let (its, others) = mem::take(&mut groups).split_at_mut(len);
        groups = others;
        parts.push(Mutex::new(Part { groups: its, scratch }));
    }
    workers.run(&|core| {
        let Some(part) = parts.get(core) else { return };
        let Part { groups, scratch } = &mut *part.lock();
        for group in groups.chunks_exact_mut(group_bytes) {
            quant::interleave(kind, group, &mut scratch[..group_bytes]);
        }
    });
}

/// Return what is to be interleaved, in the order of the bytes.
fn plan(file: &[u8], kernels: &Kernels) -> Option<Vec<Plan>> {
    let (_, mut tensors) = read(file).ok()?;
    tensors.sort_by_key(|placed| placed.start);
    let mut plans = Vec::new();
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
            plans.push(Plan { kind, type_at: placed.type_at, groups, group_bytes });
        }
    }
    Some(plans)
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
            let n_bytes: usize =
                [16 * 2 * 20, 16 * 3 * 34, 32 * 210, 16 * 3 * 4, 16 * 6 * 2].into_iter().sum();
            assert_eq!(steps.len(), 5);
            assert!(steps.is_sorted() && steps.iter().all(|&(_, all)| all == n_bytes), "{steps:?}");
            assert_eq!(steps[4].0, n_bytes);
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
