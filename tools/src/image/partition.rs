//! A part of a file as a device of its own, whose beginning stays in memory until it is finished.
//!
//! In a FAT file system the beginning is the allocation table, of which some entries are read and written for every cluster:
//! a hundred thousand clusters would be a million calls into the operating system.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// The bytes of a file from one position to another.
#[derive(Debug)]
pub(super) struct Partition<'a> {
    file: &'a File,
    start: u64,
    size_bytes: u64,
    /// The first bytes, which the file gets in the end.
    head: Vec<u8>,
    position: u64,
}

impl<'a> Partition<'a> {
    /// Return the `size_bytes` bytes of `file` from `start` on, of which `head_bytes` are read now and kept in memory.
    pub(super) fn new(file: &'a File, start: u64, size_bytes: u64, head_bytes: usize) -> io::Result<Self> {
        let mut head = vec![0; head_bytes];
        file.read_exact_at(&mut head, start)?;
        Ok(Self { file, start, size_bytes, head, position: 0 })
    }

    /// Write what is in memory.
    pub(super) fn finish(self) -> io::Result<()> {
        self.file.write_all_at(&self.head, self.start)
    }

    /// Return how many of `n` bytes from the position on lie before the end of the partition, and whether they are in memory; not
    /// more than are on the same side.
    fn room(&self, n: usize) -> (usize, bool) {
        let n = n as u64;
        match (self.head.len() as u64).checked_sub(self.position) {
            Some(left @ 1..) => (n.min(left) as usize, true),
            _ => (n.min(self.size_bytes - self.position) as usize, false),
        }
    }
}

impl Read for Partition<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (mut n, in_memory) = self.room(buffer.len());
        if in_memory {
            let at = self.position as usize;
            buffer[..n].copy_from_slice(&self.head[at..at + n]);
        } else {
            n = self.file.read_at(&mut buffer[..n], self.start + self.position)?;
        }
        self.position += n as u64;
        Ok(n)
    }
}

impl Write for Partition<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut n, in_memory) = self.room(bytes.len());
        if in_memory {
            let at = self.position as usize;
            self.head[at..at + n].copy_from_slice(&bytes[..n]);
        } else {
            n = self.file.write_at(&bytes[..n], self.start + self.position)?;
        }
        self.position += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Partition<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.size_bytes.checked_add_signed(by),
        };
        match position.filter(|position| *position <= self.size_bytes) {
            Some(position) => {
                self.position = position;
                Ok(position)
            }
            None => Err(io::Error::new(io::ErrorKind::InvalidInput, "a position outside of the partition")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_on_both_sides_and_lies_within_its_bounds() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'.'; 20]).unwrap();
        let mut partition = Partition::new(&file, 5, 10, 4).unwrap();
        assert_eq!(partition.seek(SeekFrom::End(0)).unwrap(), 10);
        assert_eq!(partition.write(b"x").unwrap(), 0);
        assert!(partition.seek(SeekFrom::Current(1)).is_err() && partition.seek(SeekFrom::End(-11)).is_err());

        partition.seek(SeekFrom::Start(2)).unwrap();
        partition.write_all(b"abcdef").unwrap();
        partition.seek(SeekFrom::Start(1)).unwrap();
        let mut read = Vec::new();
        partition.read_to_end(&mut read).unwrap();
        assert_eq!(read, b".abcdef..");
        partition.finish().unwrap();
        let mut all = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut all).unwrap();
        assert_eq!(all, b".......abcdef.......");
    }
}
