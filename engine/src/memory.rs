//! Allocation that can fail: a host with too little memory gets an error, not a panic.

use alloc::vec::Vec;

use zerocopy::FromZeros;

use crate::Error;

/// Return `len` zeros for `what`. They come from the allocator: what an operating system lends is zero already, and takes no memory
/// until it is written to.
pub(crate) fn zeroed<T: FromZeros>(what: &'static str, len: usize) -> Result<Vec<T>, Error> {
    T::new_vec_zeroed(len).map_err(|_| Error::OutOfMemory {
        what,
        needed_bytes: (len as u64).saturating_mul(size_of::<T>() as u64),
    })
}
