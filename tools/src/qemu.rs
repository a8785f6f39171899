//! The QEMU command line, written in this one place for `bootlm run`, for the probe and for the boot tests.
//!
//! The machine is a q35 with a serial port on QEMU's own stdin and stdout, or with the monitor there, no window, no network, and the
//! isa-debug-exit device through which the kernel reports a fault. What the options mean is in QEMU's manual,
//! "Invocation".

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// What the kernel may report before it stops, as the code that it writes to the debug-exit port then (kernel/src/panic.rs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A bug that the kernel noticed itself.
    Panic = 0x10,
    /// Memory that is not there, or not to be used so.
    PageFault = 0x11,
    /// A stack that was too short.
    StackOverflow = 0x12,
    /// An exception that could not be reported.
    DoubleFault = 0x13,
    /// Any other exception.
    OtherException = 0x14,
    /// More memory was needed than there is.
    OutOfMemory = 0x15,
    /// A core did not come to the end of its work.
    Hang = 0x16,
    /// Somebody outside stopped the kernel.
    NonMaskableInterrupt = 0x17,
    /// The processor found something broken.
    MachineCheck = 0x18,
    /// A failure while another one was reported.
    Second = 0x1f,
}

impl Failure {
    const ALL: [Self; 10] = [
        Self::Panic,
        Self::PageFault,
        Self::StackOverflow,
        Self::DoubleFault,
        Self::OtherException,
        Self::OutOfMemory,
        Self::Hang,
        Self::NonMaskableInterrupt,
        Self::MachineCheck,
        Self::Second,
    ];

    /// What the kernel adds where it is not the first core that failed.
    const ON_ANOTHER_CORE: i32 = 0x20;

    /// Return QEMU's exit status after this on the first core: isa-debug-exit makes (code << 1) | 1 of it.
    pub fn status(self) -> i32 {
        (self as i32) << 1 | 1
    }

    /// Return QEMU's exit status after this on any other core.
    pub fn status_on_another_core(self) -> i32 {
        (self as i32 + Self::ON_ANOTHER_CORE) << 1 | 1
    }

    /// Return what an exit status tells of.
    pub fn of_status(status: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| [it.status(), it.status_on_another_core()].contains(&status))
    }
}

/// The key that speaks to QEMU instead of the guest where a person types: Ctrl-], as in telnet. QEMU's own choice,
/// Ctrl-A, is "start of line" in the guest's line editor.
const ESCAPE_KEY: u8 = 0x1d;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// QEMU's own translator, with every instruction that it knows.
    Tcg,
    /// The host's processor, as it is.
    Kvm,
}

/// What brings the kernel up.
#[derive(Debug, Clone)]
pub enum Boot {
    /// QEMU itself, by the PVH protocol.
    Pvh {
        /// The kernel's ELF file.
        kernel: PathBuf,
        /// One model file, or a tar archive of several.
        initrd: Option<PathBuf>,
        /// The words that the kernel finds on its command line.
        command_line: String,
    },
    /// Limine from an image.
    Image {
        /// The image's file.
        image: PathBuf,
        /// What it lies on.
        medium: Medium,
        /// UEFI to start it; none: BIOS, by QEMU's own SeaBIOS.
        ovmf: Option<Ovmf>,
    },
}

/// What an image lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A CD-ROM, which takes an ISO.
    Cd,
    /// A USB stick at a USB 3 port.
    Stick,
    /// A SATA disk.
    Disk,
}

/// Who is at the other end of the serial line, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// A person at a terminal, or a program behind a pseudo-terminal: Ctrl-C reaches the guest, and Ctrl-] then x leaves QEMU.
    Terminal,
    /// A pipe: every byte reaches the guest.
    Pipe,
    /// Nobody: the machine has no serial port, only a screen and a keyboard, both of them in the hands of QEMU's monitor.
    Desk,
}

/// A machine to be started.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// How many processors it has.
    pub processors: usize,
    /// How much memory it has.
    pub memory_mib: u64,
    /// What brings the kernel up.
    pub boot: Boot,
    /// Who is at the other end of the serial line, if there is one.
    pub console: Console,
}

impl Machine {
    /// Return the command that starts it.
    pub fn command(&self) -> Command {
        let mut qemu = Command::new("qemu-system-x86_64");
        match self.accelerator {
            Accelerator::Tcg => qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max"]),
            Accelerator::Kvm => qemu.args(["-accel", "kvm", "-cpu", "host"]),
        };
        qemu.args([
            "-machine",
            "q35",
            "-smp",
            &self.processors.to_string(),
            "-m",
            &format!("{}M", self.memory_mib),
        ]);
        qemu.args(["-display", "none", "-nic", "none", "-no-reboot"]);
        // Before a screen, a report of a fault is to stay there and be read.
        if self.console != Console::Desk {
            qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
        }
        match self.console {
            // signal=off: Ctrl-C is a byte for the guest and not the end of QEMU.
            Console::Terminal => {
                qemu.args([
                    "-chardev",
                    "stdio,id=con,signal=off,mux=on",
                    "-serial",
                    "chardev:con",
                    "-mon",
                    "chardev=con",
                ]);
                qemu.args(["-echr", &ESCAPE_KEY.to_string()]);
            }
            Console::Pipe => {
                qemu.args([
                    "-chardev",
                    "stdio,id=con,signal=off",
                    "-serial",
                    "chardev:con",
                    "-monitor",
                    "none",
                ]);
            }
            Console::Desk => {
                qemu.args(["-vga", "std", "-serial", "none", "-monitor", "stdio"]);
            }
        }
        match &self.boot {
            Boot::Pvh { kernel, initrd, command_line } => {
                qemu.arg("-kernel").arg(kernel).args(["-append", command_line]);
                if let Some(initrd) = initrd {
                    qemu.arg("-initrd").arg(initrd);
                }
            }
            Boot::Image { image, medium, ovmf } => {
                if let Some(Ovmf { code, variables }) = ovmf {
                    qemu.arg("-drive").arg(drive("if=pflash,unit=0,readonly=on", code));
                    qemu.arg("-drive").arg(drive("if=pflash,unit=1", variables));
                }
                match medium {
                    Medium::Cd => qemu.arg("-drive").arg(drive("media=cdrom,readonly=on", image)),
                    Medium::Stick => {
                        qemu.arg("-drive").arg(drive("if=none,id=stick,snapshot=on", image));
                        qemu.args(["-device", "qemu-xhci", "-device", "usb-storage,drive=stick,bootindex=0"])
                    }
                    Medium::Disk => qemu.arg("-drive").arg(drive("media=disk,snapshot=on", image)),
                };
            }
        }
        qemu
    }
}

/// UEFI for a virtual machine: its code, and the flash that keeps its variables, which the machine writes to.
#[derive(Debug, Clone)]
pub struct Ovmf {
    code: PathBuf,
    variables: PathBuf,
}

impl Ovmf {
    /// Where distributions keep code and fresh variables: Debian and Ubuntu, Fedora, Arch.
    const PLACES: [(&str, &str); 3] = [
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
        ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ];

    /// Find this machine's OVMF and copy fresh variables for one machine into `build_dir`.
    pub fn prepare(build_dir: &Path) -> Result<Self> {
        let (code, fresh) =
            Self::PLACES.into_iter().find(|(code, _)| Path::new(code).is_file()).with_context(|| {
                let looked: Vec<_> = Self::PLACES.into_iter().map(|(code, _)| code).collect();
                format!(
                    "no UEFI firmware for QEMU (looked for {}); install the package ovmf",
                    looked.join(", ")
                )
            })?;
        let variables = build_dir.join("ovmf-variables.fd");
        fs::create_dir_all(build_dir).with_context(|| build_dir.display().to_string())?;
        fs::copy(fresh, &variables).with_context(|| format!("{fresh} to {}", variables.display()))?;
        Ok(Self { code: code.into(), variables })
    }
}

/// Return the value of `-drive` for the raw image `path`; in it, a comma is written twice.
fn drive(options: &str, path: &Path) -> String {
    format!("{options},format=raw,file={}", path.display().to_string().replace(',', ",,"))
}
