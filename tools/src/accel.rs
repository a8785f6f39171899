//! Chooses what runs the guest's instructions, by trying.
//!
//! A /dev/kvm that opens is not a KVM that works: on some machines QEMU gives up at once, on others the guest stops at
//! its first AVX instruction. So the kernel itself is the probe: it is booted with `selftest=cpu`, which uses AVX2 and
//! FMA on every core, says so, and powers off.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::process;
use crate::qemu::{Accelerator, Boot, Console, Machine};

/// How long the self-test may take; under a KVM that works it takes a tenth of that.
const PROBE_LIMIT: Duration = Duration::from_secs(4);

/// What the kernel prints when the self-test has passed.
const PASSED: &str = "selftest cpu: ok";

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// KVM where it works, else TCG.
    Auto,
    /// QEMU's own translator.
    Tcg,
    /// The host's processor.
    Kvm,
}

impl Choice {
    /// Return what to use with `kernel` on `processors` processors.
    pub fn resolve(self, kernel: &Path, processors: usize) -> Result<Accelerator> {
        Ok(match self {
            Self::Tcg => Accelerator::Tcg,
            Self::Kvm => Accelerator::Kvm,
            Self::Auto if kvm_works(kernel, processors)? => Accelerator::Kvm,
            Self::Auto => Accelerator::Tcg,
        })
    }
}

/// Return whether `kernel` passes its self-test under KVM.
fn kvm_works(kernel: &Path, processors: usize) -> Result<bool> {
    if File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(false);
    }
    let machine = Machine {
        accelerator: Accelerator::Kvm,
        processors,
        memory_mib: 128,
        boot: Boot::Pvh { kernel: kernel.into(), initrd: None, command_line: "selftest=cpu".into() },
        console: Console::Pipe,
    };
    let mut command = machine.command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut qemu = command.spawn().context("cannot start qemu-system-x86_64")?;
    let status = process::wait_within(&mut qemu, PROBE_LIMIT)?;
    let mut said = Vec::new();
    if let Some(mut stdout) = qemu.stdout.take() {
        stdout.read_to_end(&mut said)?;
    }
    Ok(status.is_some_and(|status| status.success()) && String::from_utf8_lossy(&said).contains(PASSED))
}
