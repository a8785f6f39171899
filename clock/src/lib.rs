//! What the clocks of a PC say: how fast the time stamp counter counts, and which date it is.
//!
//! No hardware: who reads registers and ports is the kernel. So what is made of them is tested on the host.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod date;
mod rate;

pub use date::{CmosRegisters, Date};
pub use rate::{Rate, Rates, Source, measure};
