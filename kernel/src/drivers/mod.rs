//! Devices, one file each.

pub(crate) mod framebuffer;
pub(crate) mod keyboard;
pub(crate) mod serial;
