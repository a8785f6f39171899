//! Weights to a file, one tensor after the other.

use std::fs::Permissions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use super::header::{Header, padding};

/// A file in the making, under a temporary name beside its own. Dropped before it is finished, it goes away.
#[derive(Debug)]
pub struct Writer {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
    header: Header,
    /// How many tensors are whole.
    n_done: usize,
    /// How many bytes the next one has.
    n_written: u64,
}

impl Writer {
    /// Begin the file `path` with `header`.
    pub fn create(path: &Path, header: Header) -> Result<Self> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Where the file will be, so that it is renamed and not copied; git ignores the suffix.
        let file = tempfile::Builder::new()
            .suffix(".part")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(dir)
            .with_context(|| format!("cannot write into the folder {}", dir.display()))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&header.encode()).with_context(|| path.display().to_string())?;
        Ok(Self { file, path: path.to_path_buf(), header, n_done: 0, n_written: 0 })
    }

    /// Write the next `bytes` of the tensor that is not whole yet; they all belong to it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(tensor) = self.header.tensors().get(self.n_done) else {
            ensure!(
                bytes.is_empty(),
                "{}: {} bytes behind the last tensor",
                self.path.display(),
                bytes.len()
            );
            return Ok(());
        };
        self.n_written += bytes.len() as u64;
        ensure!(
            self.n_written <= tensor.n_bytes,
            "tensor {}: {} bytes where its shape and type take {}",
            tensor.name,
            self.n_written,
            tensor.n_bytes
        );
        self.file.write_all(bytes).with_context(|| self.path.display().to_string())?;
        if self.n_written == tensor.n_bytes {
            let zeros = vec![0; padding(tensor.n_bytes) as usize];
            self.file.write_all(&zeros).with_context(|| self.path.display().to_string())?;
            self.n_done += 1;
            self.n_written = 0;
        }
        Ok(())
    }

    /// Give the whole file its name, in place of one that is there.
    ///
    /// # Errors
    /// When weights are missing, and when it cannot be written.
    pub fn finish(self) -> Result<()> {
        self.finish_if(|_| Ok(()))
    }

    /// Give the whole file its name if `check`, to which its temporary name is given, finds nothing wrong with it.
    ///
    /// # Errors
    /// With what `check` found, and as [`Self::finish`].
    pub fn finish_if(self, check: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let path = self.path.display().to_string();
        if let Some(tensor) = self.header.tensors().get(self.n_done) {
            anyhow::bail!(
                "tensor {}: {} of {} bytes were written",
                tensor.name,
                self.n_written,
                tensor.n_bytes
            );
        }
        let file =
            self.file.into_inner().map_err(|error| error.into_error()).with_context(|| path.clone())?;
        file.as_file().sync_all().with_context(|| path.clone())?;
        check(file.path()).with_context(|| path.clone())?;
        file.persist(&self.path).with_context(|| format!("cannot rename it to {path}"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use engine::format::gguf::{self, Gguf};
    use engine::quant::TensorType;

    use super::super::{TensorInfo, Value};
    use super::*;

    /// Return a header of every kind of value and two tensors, the first of which needs padding.
    fn header() -> Header {
        let mut header = Header::default();
        header.set("general.architecture", "llama");
        let scalars: [Value; 11] = [
            1_u8.into(),
            (-2_i8).into(),
            3_u16.into(),
            (-4_i16).into(),
            5_u32.into(),
            (-6_i32).into(),
            7.5_f32.into(),
            true.into(),
            8_u64.into(),
            (-9_i64).into(),
            10.25_f64.into(),
        ];
        for (i, value) in scalars.into_iter().enumerate() {
            header.set(&format!("test.{i}"), value);
        }
        header.set("test.texts", ["a".to_string(), "ß".to_string()].as_slice());
        header.set("test.numbers", [1.0_f32, -2.0].as_slice());
        header.add_tensor(TensorInfo::new("a", &[3, 3], TensorType::F32).unwrap());
        header.add_tensor(TensorInfo::new("b", &[32], TensorType::Q8_0).unwrap());
        header
    }

    #[test]
    fn the_engine_reads_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        let size = header().file_bytes();
        let mut writer = Writer::create(&path, header()).unwrap();
        writer.write(&[1; 30]).unwrap();
        writer.write(&[2; 6]).unwrap();
        writer.write(&[3; 34]).unwrap();
        writer.finish().unwrap();

        let file = fs::read(&path).unwrap();
        assert_eq!(file.len() as u64, size);
        let read = Gguf::parse(&file).unwrap();
        assert_eq!(read.tensor("a").unwrap().bytes, [[1; 30].as_slice(), &[2; 6]].concat());
        assert_eq!(read.tensor("b").unwrap().bytes, [3; 34]);
        let said: Vec<String> =
            (0..11).map(|i| read.value(&format!("test.{i}")).unwrap().to_string()).collect();
        assert_eq!(said, ["1", "-2", "3", "-4", "5", "-6", "7.5", "true", "8", "-9", "10.25"]);
        assert!(read.strings("test.texts").unwrap().iter().eq([b"a".as_slice(), "ß".as_bytes()]));

        // A copy of its metadata is the same, byte for byte and in order, but for what is set anew.
        let mut copy = Header::with_metadata_of(&file).unwrap();
        header().tensors().iter().for_each(|tensor| copy.add_tensor(tensor.clone()));
        assert_eq!(copy.encode(), header().encode());
        copy.set("test.4", "text");
        let copy = copy.encode();
        let keys =
            |file: &[u8]| gguf::entries(file).unwrap().iter().map(|e| e.key.to_string()).collect::<Vec<_>>();
        assert_eq!(keys(&copy), keys(&file));
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        let mut writer = Writer::create(&path, header()).unwrap();
        writer.write(&[0; 36]).unwrap();
        let refused = writer.finish().unwrap_err().to_string();
        assert!(refused.contains("tensor b: 0 of 34 bytes"), "{refused}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn refuses_bytes_that_belong_to_no_tensor() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(&dir.path().join("model.gguf"), header()).unwrap();
        let refused = writer.write(&[0; 37]).unwrap_err().to_string();
        assert!(refused.contains("tensor a") && refused.contains("36"), "{refused}");
    }

    #[test]
    fn refuses_rows_that_are_not_whole_blocks() {
        let refused = TensorInfo::new("a", &[33, 2], TensorType::Q8_0).unwrap_err().to_string();
        assert!(refused.contains("multiple of 32") && refused.contains("33"), "{refused}");
    }
}
