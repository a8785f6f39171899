//! Devices, one file or folder each.

pub(crate) mod acpi;
pub(crate) mod cmos;
pub(crate) mod framebuffer;
pub(crate) mod hpet;
pub(crate) mod pci;
pub(crate) mod ps2;
pub(crate) mod serial;
pub(crate) mod usb;
