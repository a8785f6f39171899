//! The host side of bootlm: everything that happens before the kernel's first instruction, and the conversation
//! without a kernel.
//!
//! 1. [`fetch`] brings models of the [`catalog`] here and checks them; [`convert`] makes GGUF files of checkpoints, [`quantize`]
//!    smaller ones of those, [`split`] several of a large one, and [`gguf`] writes them all.
//! 2. [`limine`] finds the boot loader, [`image`] packs it with the kernel and the models into an ISO or the image of a stick.
//! 3. [`qemu`] is the one place that writes a QEMU command line; [`accel`] probes how it may run, [`initrd`] packs the
//!    models for a boot without a boot loader, [`run`] starts it all and holds the console.
//! 4. [`desk`] types at a machine's keyboard and reads its screen, [`screenshot`] photographs it.
//! 5. [`chat`] is the same engine and shell as an ordinary program, over a [`terminal`] and the [`workers`] of this host;
//!    [`generate`] is one answer of it. [`inspect`] tells what is in a model file, [`perplexity`] how well it foresees a text,
//!    [`bench`] how fast it does, and [`peers`] how fast other programs do; [`output`] is where they say so.
//!
//! Nothing here reads a format by hand that a kept library reads.

pub mod accel;
pub mod bench;
pub mod chat;
mod checkpoint;
pub mod convert;
pub mod desk;
pub mod fetch;
pub mod generate;
pub mod gguf;
pub mod image;
pub mod initrd;
pub mod inspect;
pub mod limine;
mod loading;
mod mapped;
mod model_files;
pub mod output;
pub mod peers;
pub mod perplexity;
pub mod process;
pub mod progress;
pub mod qemu;
pub mod quantize;
pub mod run;
pub mod screenshot;
pub mod split;
pub mod symbols;
pub mod terminal;
pub mod tuning;
mod weights;
pub mod workers;
