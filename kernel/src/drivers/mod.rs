//! Devices, one file each.

pub(crate) mod serial;
