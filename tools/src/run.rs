//! Boots the kernel in QEMU and gives its serial line to whoever runs this: a person at a terminal, or a pipe.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::accel;
use crate::image::Image;
use crate::initrd::Initrd;
use crate::limine::Limine;
use crate::output::written;
use crate::qemu::{Accelerator, Boot, Console, Failure, Machine, Medium, Ovmf};

/// What the shell shows when it waits for the first line: of the conversation, or, with several models, of the menu.
const PROMPTS: [&[u8]; 2] = [b">>> ", b"Which model? ["];

/// End of transmission: what Ctrl-D sends, and how the shell is told that nothing more will come.
const CTRL_D: u8 = 0x04;

/// The model that the repository brings along.
const BUILTIN: &str = "builtin.gguf";

/// The door through which the kernel is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Door {
    /// Limine where it can be had, else PVH.
    Auto,
    /// The boot loader, from an ISO.
    Limine,
    /// QEMU's own loader.
    Pvh,
}

/// What starts the boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
}

/// What a person may choose, and where things lie.
#[derive(Debug)]
pub struct Options {
    /// What runs the guest's instructions.
    pub accel: accel::Choice,
    /// How many processors the machine has.
    pub processors: usize,
    /// How much memory it has; none: as much as the models need.
    pub memory_mib: Option<u64>,
    /// What starts the boot loader.
    pub firmware: Firmware,
    /// The door through which the kernel is entered.
    pub boot: Door,
    /// The folder that has Limine.
    pub limine_dir: Option<PathBuf>,
    /// The boot loader's configuration.
    pub limine_conf: PathBuf,
    /// What the kernel finds on its command line.
    pub command_line: String,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// Where images and archives are written.
    pub build_dir: PathBuf,
    /// The model files.
    pub models: Vec<PathBuf>,
}

/// Boot the machine and hold its console until it leaves; return an error unless it left as it was told to.
pub fn run(options: &Options) -> Result<()> {
    let console = if io::stdin().is_terminal() { Console::Terminal } else { Console::Pipe };
    let boot = options.boot(console)?;
    let accelerator = options.accel.resolve(&options.kernel, options.processors)?;
    let memory_mib = match options.memory_mib {
        Some(memory_mib) => memory_mib,
        None => ample_memory_mib(&options.models)?,
    };
    eprintln!("{}", describe(&boot, accelerator, options.processors, memory_mib, console));

    let command =
        Machine { accelerator, processors: options.processors, memory_mib, boot, console }.command();
    let status = match console {
        Console::Terminal => hand_through_terminal(command)?,
        _ => hand_through_pipe(command)?,
    };
    match status.code() {
        Some(0) => Ok(()),
        Some(status) if let Some(failure) = Failure::of_status(status) => {
            bail!("the kernel reported a failure ({failure:?}); its report is above")
        }
        _ => bail!("QEMU ended with {status}"),
    }
}

impl Options {
    /// Prepare what the machine boots from, for whoever is at its console.
    fn boot(&self, console: Console) -> Result<Boot> {
        let command_line = match console {
            Console::Terminal | Console::Desk => self.command_line.clone(),
            // The guest cannot see it, and would ask a screen that is not there for its size.
            Console::Pipe => format!("terminal=pipe {}", self.command_line).trim().to_string(),
        };
        if self.boot == Door::Pvh {
            ensure!(
                self.firmware == Firmware::Bios,
                "UEFI starts Limine, not PVH; leave out one of FIRMWARE=uefi and BOOT=pvh"
            );
            return self.boot_by_pvh(&command_line);
        }
        match Limine::find(self.limine_dir.as_deref(), &self.build_dir) {
            Ok(limine) => self.boot_by_limine(&limine, &command_line),
            // Without a wish that only Limine can fulfil, the same kernel starts by the other door.
            Err(_)
                if self.boot == Door::Auto
                    && self.firmware == Firmware::Bios
                    && self.limine_dir.is_none() =>
            {
                eprintln!("Limine cannot be had here, so the kernel starts by PVH (BOOT=limine tells why)");
                self.boot_by_pvh(&command_line)
            }
            Err(error) => Err(error),
        }
    }

    fn boot_by_limine(&self, limine: &Limine, command_line: &str) -> Result<Boot> {
        let iso = self.build_dir.join("bootlm.iso");
        let Self { kernel, limine_conf, models, .. } = self;
        Image { kernel, limine_conf, models, command_line }.write(limine, &iso)?;
        let ovmf = match self.firmware {
            Firmware::Bios => None,
            Firmware::Uefi => Some(Ovmf::prepare(&self.build_dir)?),
        };
        Ok(Boot::Image { image: iso, medium: Medium::Cd, ovmf })
    }

    fn boot_by_pvh(&self, command_line: &str) -> Result<Boot> {
        let initrd = Initrd::pack(&self.models, &self.build_dir)?;
        let command_line = format!("{} {command_line}", initrd.command_line).trim().to_string();
        Ok(Boot::Pvh { kernel: self.kernel.clone(), initrd: initrd.file, command_line })
    }
}

/// Return the model files to use: `named`, or all GGUF and llama2.c files of the folder `dir` in the order of their names, the
/// one that the repository brings along only where it is alone.
pub fn models(named: Vec<PathBuf>, dir: &Path) -> Result<Vec<PathBuf>> {
    if !named.is_empty() {
        return Ok(named);
    }
    let entries =
        fs::read_dir(dir).with_context(|| format!("no model is named, and the folder {}", dir.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let is_model = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "gguf" || kind == "bin");
    let mut models: Vec<_> = paths.into_iter().filter(is_model).collect();
    models.sort();
    if models.len() > 1 {
        models.retain(|model| !model.ends_with(BUILTIN));
    }
    Ok(models)
}

/// Return memory that is ample: all models, and half a GiB for contexts, tokenizer and kernel, in steps of 256 MiB.
pub fn ample_memory_mib(models: &[PathBuf]) -> Result<u64> {
    let mut bytes: u64 = 512 << 20;
    for model in models {
        bytes +=
            fs::metadata(model).with_context(|| format!("cannot find the model {}", model.display()))?.len();
    }
    Ok((bytes >> 20).next_multiple_of(256))
}

/// Return one line about the machine that is about to start.
fn describe(
    boot: &Boot,
    accelerator: Accelerator,
    processors: usize,
    memory_mib: u64,
    console: Console,
) -> String {
    let door = match boot {
        Boot::Pvh { .. } => "PVH",
        Boot::Image { ovmf: None, .. } => "Limine on BIOS",
        Boot::Image { ovmf: Some(_), .. } => "Limine on UEFI",
    };
    let accelerator = match accelerator {
        Accelerator::Tcg => "emulated (TCG)",
        Accelerator::Kvm => "on KVM",
    };
    let plural = if processors == 1 { "" } else { "s" };
    let leave = if console == Console::Terminal { "; Ctrl-] then x ends it by force" } else { "" };
    format!("QEMU: {door}, {processors} processor{plural} {accelerator}, {memory_mib} MiB{leave}")
}

/// Let QEMU have the terminal, which it puts into raw mode, and put it back however QEMU ends.
fn hand_through_terminal(mut command: Command) -> Result<ExitStatus> {
    let _saved = crate::terminal::SavedTerminal::save().context("the terminal at stdin")?;
    command.status().context("cannot start qemu-system-x86_64")
}

/// Feed stdin to the guest once it shows a prompt (before, firmware and boot loader would take what is typed), and end
/// it with Ctrl-D, so that the machine leaves by itself.
fn hand_through_pipe(mut command: Command) -> Result<ExitStatus> {
    let mut qemu = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start qemu-system-x86_64")?;
    let (Some(to_guest), Some(mut from_guest)) = (qemu.stdin.take(), qemu.stdout.take()) else {
        unreachable!("both were asked for")
    };
    let (prompt_seen, prompt) = mpsc::channel();
    // Not joined: when the machine leaves first, nothing that stdin still has is of use.
    thread::spawn(move || {
        if prompt.recv().is_ok() {
            // An error says that the machine has left.
            let _ = feed(&mut io::stdin().lock(), to_guest);
        }
    });

    if let Err(error) = show(&mut from_guest, prompt_seen) {
        // Nobody reads the answers any more, so nobody would end the machine.
        qemu.kill()?;
        qemu.wait()?;
        return Err(error);
    }
    qemu.wait().context("QEMU")
}

/// Copy all that the guest says to stdout, and send word when it shows its first prompt.
fn show(from_guest: &mut dyn Read, prompt_seen: mpsc::Sender<()>) -> Result<()> {
    let mut before_prompt = Some((Vec::new(), prompt_seen));
    let mut buffer = [0; 4096];
    loop {
        let n = from_guest.read(&mut buffer).context("QEMU's output")?;
        if n == 0 {
            return Ok(());
        }
        if let Some((said, prompt_seen)) = &mut before_prompt {
            said.extend_from_slice(&buffer[..n]);
            if PROMPTS.iter().any(|prompt| said.windows(prompt.len()).any(|window| window == *prompt)) {
                let _ = prompt_seen.send(()); // the thread waits for nothing else
                before_prompt = None;
            }
        }
        let mut stdout = io::stdout().lock();
        written(stdout.write_all(&buffer[..n]).and_then(|()| stdout.flush()))?;
    }
}

/// Copy `input` to the guest, end its last line, and send Ctrl-D; return the guest's end of the line, still open.
fn feed(input: &mut dyn Read, mut to_guest: ChildStdin) -> io::Result<ChildStdin> {
    let mut buffer = [0; 4096];
    let mut last = b'\n';
    loop {
        let n = input.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        to_guest.write_all(&buffer[..n])?;
        last = buffer[n - 1];
    }
    if last != b'\n' {
        to_guest.write_all(b"\n")?;
    }
    to_guest.write_all(&[CTRL_D])?;
    Ok(to_guest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_of_a_folder_are_its_gguf_and_bin_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.gguf", "a.bin", "README.md", "c.gguf.part", "catalog.toml"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let found = models(Vec::new(), dir.path()).unwrap();
        assert_eq!(found, ["a.bin", "b.gguf"].map(|name| dir.path().join(name)));
        let named = vec![PathBuf::from("elsewhere/x")];
        assert_eq!(models(named.clone(), dir.path()).unwrap(), named);
    }

    #[test]
    fn the_built_in_model_is_used_when_it_is_named_or_alone() {
        let dir = tempfile::tempdir().unwrap();
        let builtin = [dir.path().join("builtin.gguf")];
        fs::write(&builtin[0], "").unwrap();
        assert_eq!(models(Vec::new(), dir.path()).unwrap(), builtin);
        fs::write(dir.path().join("a.gguf"), "").unwrap();
        assert_eq!(models(Vec::new(), dir.path()).unwrap(), [dir.path().join("a.gguf")]);
        assert_eq!(models(builtin.to_vec(), dir.path()).unwrap(), builtin);
    }
}
