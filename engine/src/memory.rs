//! Allocation that can fail: a host with too little memory gets an error, not a panic.

use alloc::vec::Vec;

use crate::Error;

/// Return `len` zeros (or whatever `T::default()` is) for `what`.
pub(crate) fn zeroed<T: Clone + Default>(what: &'static str, len: usize) -> Result<Vec<T>, Error> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(len).map_err(|_| Error::OutOfMemory {
        what,
        needed_bytes: (len as u64).saturating_mul(size_of::<T>() as u64),
    })?;
    vec.resize(len, T::default());
    Ok(vec)
}
