//! What is said on a USB: what a host asks and what devices answer, as far as keyboards and the hubs on the way to them go.
//!
//! 1. **Nothing here trusts a byte.** Anybody can plug anything in. Lengths are checked, numbers have limits, and what makes no sense is
//!    an error that says where.
//! 2. **No hardware.** How bytes get onto the wire is the host controller's business, and the kernel's. So all of this is tested on the
//!    host.
//!
//! Universal Serial Bus Specification 2.0 ("USB 2.0"); Device Class Definition for Human Interface Devices 1.11 ("HID 1.11").

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod descriptor;
pub mod hub;
mod request;
mod route;

pub use request::Setup;
pub use route::Route;

/// How fast a device talks. What is faster (USB 3) is no keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// 1.5 Mb/s.
    Low,
    /// 12 Mb/s.
    Full,
    /// 480 Mb/s.
    High,
}
