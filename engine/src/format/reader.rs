//! Reading a file from one place to the next, each read checked against the file's end.

use crate::Error;
use crate::format::gguf::readable;

/// A place in the file, at most its end.
pub(super) struct Reader<'a> {
    pub(super) file: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    /// Return the next `len` bytes, which are `what` in a message.
    pub(super) fn take(&mut self, len: u64, what: &str) -> Result<&'a [u8], Error> {
        let taken = usize::try_from(len).ok().and_then(|len| self.file[self.at..].get(..len));
        match taken {
            Some(bytes) => {
                self.at += bytes.len();
                Ok(bytes)
            }
            None => Err(Error::Truncated {
                what: readable(what.as_bytes()),
                offset: self.at as u64,
                needed_bytes: len,
                file_bytes: self.file.len() as u64,
            }),
        }
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, Error> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4, what)?);
        Ok(u32::from_le_bytes(bytes))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8, what)?);
        Ok(u64::from_le_bytes(bytes))
    }
}
