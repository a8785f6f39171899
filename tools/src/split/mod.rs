//! A model over several GGUF files, and back into one, as llama.cpp's gguf-split does it.
//!
//! The parts are called `NAME-00001-of-00003.gguf`; the first has the model's metadata, and each has `split.no` (from 0 on),
//! `split.count` and `split.tensors.count`, of the types that llama.cpp reads, and some of the tensors, in their order. The engine reads such
//! parts as the model that they make.

mod merge;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use engine::format::gguf::{Gguf, Tensor};

use crate::gguf::{Header, TensorInfo, Writer};
use crate::mapped::MappedFile;
use crate::progress::{Progress, Unit};
pub use merge::{MergeArgs, merge};

/// The keys of a part, and of no whole model.
const NO: &str = "split.no";
const COUNT: &str = "split.count";
const N_TENSORS: &str = "split.tensors.count";

/// What `bootlm split` is asked for.
#[derive(Debug, clap::Args)]
pub struct SplitArgs {
    /// The GGUF file; its parts are written beside it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The most that a part may have: a number, or one with M or G behind it for millions or billions of bytes.
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = parse_size)]
    max_size: u64,
}

/// Split a model as `args` ask for it, and say into what.
pub fn carry_out(args: &SplitArgs) -> Result<()> {
    let dir = args.file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for part in split(&args.file, args.max_size, dir)? {
        eprintln!("{}: {} bytes", part.display(), fs::metadata(&part)?.len());
    }
    Ok(())
}

/// Return a size in bytes, in gguf-split's units.
fn parse_size(text: &str) -> Result<u64> {
    let (number, unit) = match text.strip_suffix('G') {
        Some(number) => (number, 1_000_000_000),
        None => text.strip_suffix('M').map_or((text, 1), |number| (number, 1_000_000)),
    };
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .with_context(|| format!("expected a size such as 4G or 500M, found {text}"))
}

/// Write the model `path` into the folder `dir`, as parts of at most `max_bytes` bytes, and return their paths in order.
///
/// # Errors
/// When the file is no GGUF file, a part already, as small as a part may be, or has a tensor that is larger than that.
pub fn split(path: &Path, max_bytes: u64, dir: &Path) -> Result<Vec<PathBuf>> {
    let file = MappedFile::open(path)?;
    split_file(&file, max_bytes, dir).with_context(|| format!("cannot split {}", path.display()))
}

fn split_file(file: &MappedFile, max_bytes: u64, dir: &Path) -> Result<Vec<PathBuf>> {
    let model = Gguf::parse(file)?;
    ensure!(model.count(COUNT)?.unwrap_or(0) <= 1, "it is a part of a split model already; merge that first");
    let n_bytes = file.len() as u64;
    ensure!(n_bytes > max_bytes, "it has {n_bytes} bytes, and a part may have {max_bytes}");
    let stem = file.path().file_stem().and_then(|stem| stem.to_str()).context("its name is not UTF-8")?;

    let first = Header::with_metadata_of(file)?;
    let tensors = in_order(file, model.tensors())?;
    let parts = cut(&first, &tensors, max_bytes)?;
    let (Ok(count), Ok(n_tensors)) = (u16::try_from(parts.len()), i32::try_from(tensors.len())) else {
        bail!("it would be {} parts of {} tensors, more than can be numbered", parts.len(), tensors.len())
    };

    // The parts get their names when all of them are there.
    let scratch = tempfile::Builder::new().suffix(".part").tempdir_in(dir)?;
    let n_bytes = tensors.iter().map(|(info, _)| info.n_bytes).sum();
    let mut progress = Progress::new("splitting", Unit::Bytes, Some(n_bytes));
    let mut names = Vec::new();
    let mut rest = tensors.as_slice();
    for (no, n_here) in (0..count).zip(parts) {
        let (here, others) = rest.split_at(n_here);
        rest = others;
        let mut header = if no == 0 { first.clone() } else { Header::default() };
        header.set(NO, no);
        header.set(COUNT, count);
        header.set(N_TENSORS, n_tensors);
        here.iter().for_each(|(info, _)| header.add_tensor(info.clone()));
        let name = part_name(stem, no, count);
        let mut writer = Writer::create(&scratch.path().join(&name), header)?;
        for (info, offset) in here {
            copy(file, *offset, info.n_bytes, &mut writer, &mut progress)?;
        }
        writer.finish()?;
        names.push(name);
    }
    names.into_iter().map(|name| move_into(dir, &scratch.path().join(name))).collect()
}

/// Return how many tensors each part has, in order; the first part also holds what `first` has.
fn cut(first: &Header, tensors: &[(TensorInfo, u64)], max_bytes: u64) -> Result<Vec<usize>> {
    let with_keys = |header: &Header| {
        let mut header = header.clone();
        header.set(NO, 0_u16);
        header.set(COUNT, 0_u16);
        header.set(N_TENSORS, 0_i32);
        header.file_bytes()
    };
    let (first_bytes, later_bytes) = (with_keys(first), with_keys(&Header::default()));
    ensure!(
        first_bytes <= max_bytes,
        "its metadata alone take {first_bytes} of the {max_bytes} bytes of a part"
    );
    let mut parts = vec![0];
    let mut part_bytes = first_bytes;
    for (info, _) in tensors {
        // A file of this tensor alone has its description, its weights and some bytes more.
        let mut alone = Header::default();
        alone.add_tensor(info.clone());
        let tensor_bytes = alone.file_bytes();
        if part_bytes + tensor_bytes > max_bytes {
            ensure!(
                later_bytes + tensor_bytes <= max_bytes,
                "tensor {} alone takes more than the {max_bytes} bytes of a part",
                info.name
            );
            parts.push(0);
            part_bytes = later_bytes;
        }
        part_bytes += tensor_bytes;
        *parts.last_mut().expect("there is a first part") += 1;
    }
    Ok(parts)
}

/// Return the descriptions of `tensors`, all of them in `file`, in the order in which their weights lie there, and where.
fn in_order<'a>(
    file: &MappedFile,
    tensors: impl Iterator<Item = &'a Tensor<'a>>,
) -> Result<Vec<(TensorInfo, u64)>> {
    let mut placed = tensors
        .map(|tensor| Ok((TensorInfo::of(tensor)?, file.offset_of(tensor.bytes))))
        .collect::<Result<Vec<_>>>()?;
    placed.sort_by_key(|(_, offset)| *offset);
    Ok(placed)
}

/// Copy `n_bytes` bytes of `file` from `offset` on to `writer`, a piece at a time.
fn copy(
    file: &MappedFile,
    offset: u64,
    n_bytes: u64,
    writer: &mut Writer,
    progress: &mut Progress,
) -> Result<()> {
    let mut buffer = vec![0; n_bytes.min(1 << 20) as usize];
    let mut n_done = 0;
    while n_done < n_bytes {
        let piece = &mut buffer[..(n_bytes - n_done).min(1 << 20) as usize];
        file.read(offset + n_done, piece)?;
        writer.write(piece)?;
        n_done += piece.len() as u64;
        progress.advance(piece.len() as u64);
    }
    Ok(())
}

/// Return how the part `no`, from 0 on, of `count` is called.
fn part_name(stem: &str, no: u16, count: u16) -> String {
    format!("{stem}-{:05}-of-{count:05}.gguf", u32::from(no) + 1)
}

/// Move the file `from` into the folder `dir` and return its path there.
fn move_into(dir: &Path, from: &Path) -> Result<PathBuf> {
    let to = dir.join(from.file_name().context("a part has a name")?);
    fs::rename(from, &to).with_context(|| format!("cannot rename the finished part to {}", to.display()))?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use engine::testing::ChainModel;

    use super::*;

    /// Write a model of 231K weights in F32 into `dir` and return its path.
    fn model(dir: &Path) -> PathBuf {
        let path = dir.join("chain.gguf");
        fs::write(&path, ChainModel::answers("one").file()).unwrap();
        path
    }

    #[test]
    fn parts_are_as_large_as_they_may_be_and_merge_into_what_they_came_from() {
        let dir = tempfile::tempdir().unwrap();
        let path = model(dir.path());
        let whole = fs::read(&path).unwrap();
        let largest = Gguf::parse(&whole).unwrap().tensors().map(|tensor| tensor.bytes.len()).max().unwrap();
        for max_bytes in [largest as u64 + 1000, whole.len() as u64 / 2, whole.len() as u64 - 1] {
            let parts = split(&path, max_bytes, dir.path()).unwrap();
            assert!(parts.len() > 1);
            let sizes: Vec<_> = parts.iter().map(|part| fs::metadata(part).unwrap().len()).collect();
            assert!(sizes.iter().all(|size| *size <= max_bytes), "{sizes:?} over {max_bytes}");
            // No two neighbours would have fitted into one.
            assert!(sizes.windows(2).all(|pair| pair[0] + pair[1] > max_bytes), "{sizes:?}: {max_bytes}");

            let merged = dir.path().join("merged.gguf");
            merge(&parts[0], &merged).unwrap();
            let merged = fs::read(&merged).unwrap();
            let (expected, found) = (Gguf::parse(&whole).unwrap(), Gguf::parse(&merged).unwrap());
            assert_eq!(
                engine::format::gguf::entries(&merged).unwrap(),
                engine::format::gguf::entries(&whole).unwrap()
            );
            assert_eq!(found.tensors().count(), expected.tensors().count());
            for tensor in expected.tensors() {
                let same = found.tensor(&tensor.name).unwrap();
                assert!(
                    same.shape == tensor.shape
                        && same.ggml_type == tensor.ggml_type
                        && same.bytes == tensor.bytes
                );
            }
            parts.iter().for_each(|part| fs::remove_file(part).unwrap());
        }
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn the_engine_reads_the_parts_as_one_model() {
        let dir = tempfile::tempdir().unwrap();
        let parts = split(&model(dir.path()), 700_000, dir.path()).unwrap();
        let names: Vec<_> = parts.iter().map(|part| part.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names[0], format!("chain-00001-of-{:05}.gguf", parts.len()));
        let bytes: Vec<_> = parts.iter().map(|part| fs::read(part).unwrap()).collect();
        let files: Vec<_> =
            names.iter().zip(&bytes).map(|(name, bytes)| engine::format::File { name, bytes }).collect();
        let found = engine::format::models(&files);
        assert_eq!(found.len(), 1);
        let whole = ChainModel::answers("one").file();
        let n_tensors = Gguf::parse(&whole).unwrap().tensors().count();
        assert_eq!(found[0].model.as_ref().unwrap().tensors().count(), n_tensors);
    }

    #[test]
    fn what_cannot_be_split_is_refused_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = model(dir.path());
        let n_bytes = fs::metadata(&path).unwrap().len();
        let refusal =
            |path: &Path, max_bytes| format!("{:#}", split(path, max_bytes, dir.path()).unwrap_err());
        assert!(refusal(&path, n_bytes).contains(&format!("it has {n_bytes} bytes")));
        assert!(
            refusal(&path, 100_000).contains("alone takes more than the 100000 bytes"),
            "{}",
            refusal(&path, 100_000)
        );
        assert!(refusal(&path, 100).contains("metadata alone"), "{}", refusal(&path, 100));
        let other = dir.path().join("other.gguf");
        fs::write(&other, "GGML").unwrap();
        assert!(refusal(&other, 1).contains("other.gguf"));
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 2);

        let parts = split(&path, n_bytes / 2, dir.path()).unwrap();
        assert!(refusal(&parts[0], 1000).contains("a part of a split model already"));
    }

    #[test]
    fn sizes_are_decimal_as_gguf_splits() {
        assert_eq!(parse_size("4G").unwrap(), 4_000_000_000);
        assert_eq!(parse_size("500M").unwrap(), 500_000_000);
        assert_eq!(parse_size("65536").unwrap(), 65536);
        for text in ["", "G", "4GB", "-1", "99999999999G"] {
            assert!(parse_size(text).unwrap_err().to_string().contains("such as 4G"), "{text}");
        }
    }
}
