//! `bootlm`: the host side of bootlm as one program. `make` calls it; each command is a module of the library.

use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args, Parser, Subcommand};
use engine::cpu::Kernels;
use shell::Options;
use tools::accel;
use tools::bench::{self, BenchArgs};
use tools::chat;
use tools::convert::{self, ConvertArgs};
use tools::fetch::{self, FetchArgs};
use tools::generate::{self, GenerateArgs};
use tools::image::{Device, Image};
use tools::inspect::{self, InspectArgs};
use tools::limine::Limine;
use tools::output::Deserted;
use tools::peers::{self, PeersArgs};
use tools::perplexity::{self, PerplexityArgs};
use tools::quantize::{self, QuantizeArgs};
use tools::run::{self, Door, Firmware};
use tools::screenshot;
use tools::split::{self, MergeArgs, SplitArgs};
use tools::symbols::with_symbols;
use tools::tuning::Tuning;

/// Get models, build boot images, boot them in QEMU, and talk to a model on this host or measure its speed.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Get known models into the models folder, or check the files that are there.
    Fetch(FetchArgs),
    /// Turn checkpoints of training frameworks into GGUF files.
    Convert(ConvertArgs),
    /// Give a GGUF file's weights another type.
    Quantize(QuantizeArgs),
    /// Write an image that boots by BIOS and by UEFI.
    Image {
        #[command(flatten)]
        source: Source,
        /// The image: an ISO where its name ends in .iso, a USB stick's where it ends in .img; bootlm.iso in the build folder where it is
        /// left out, or bootlm.img with --write.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Write it to this device as well, such as /dev/sdX: shows what that is, asks, and reads back what was written.
        #[arg(long, value_name = "DEVICE")]
        write: Option<PathBuf>,
    },
    /// Write a model as several files, each small enough for a FAT file system.
    Split(SplitArgs),
    /// Write a model that several files hold as one.
    Merge(MergeArgs),
    /// Boot the kernel in QEMU with its console on stdin and stdout.
    Run {
        #[command(flatten)]
        source: Source,
        /// What runs the guest's instructions.
        #[arg(long, value_enum, default_value = "auto")]
        accel: accel::Choice,
        /// How many processors the machine has; as many as this host where it is left out.
        #[arg(long, value_name = "N", overrides_with = "smp")]
        smp: Option<NonZero<usize>>,
        /// How much memory the machine has, such as 768M or 2G; as much as the models need where it is left out.
        #[arg(long, value_name = "SIZE", value_parser = parse_memory_mib)]
        mem: Option<u64>,
        /// What starts the boot loader.
        #[arg(long, value_enum, default_value = "bios")]
        firmware: Firmware,
        /// The door through which the kernel is entered.
        #[arg(long, value_enum, default_value = "auto")]
        boot: Door,
    },
    /// Boot the kernel in QEMU with a screen, talk to it at its keyboard, and photograph the screen.
    Screenshot {
        #[command(flatten)]
        source: Source,
        /// The picture to write.
        #[arg(long, value_name = "FILE", default_value = "docs/screenshot.png")]
        output: PathBuf,
    },
    /// Talk to a model on this host, without a kernel.
    Chat {
        /// Model files; a menu offers them where there are several.
        #[arg(required = true, value_name = "FILE")]
        models: Vec<PathBuf>,
        #[command(flatten)]
        wishes: Wishes,
    },
    /// Let a model answer once, on stdout and with nothing else there.
    Generate(GenerateArgs),
    /// Show what model files hold: shape, tokenizer, tensors, and the memory that they take to run.
    Inspect(InspectArgs),
    /// Measure how well a model foresees a text, as llama-perplexity does.
    Perplexity(PerplexityArgs),
    /// Measure how fast models run on this host, as llama-bench does.
    Bench(BenchArgs),
    /// Measure how fast models run here and in other programs, by turns.
    Peers(PeersArgs),
}

/// What a conversation begins with, by the names of the kernel's command line.
#[derive(Debug, Args)]
struct Wishes {
    /// The model to take: its number in the menu, its name, or that of its file.
    #[arg(long)]
    model: Option<String>,
    /// What to say first.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Leave after the answer to that.
    #[arg(long, requires = "prompt")]
    once: bool,
    #[command(flatten)]
    tuning: Tuning,
    /// The instruction set to compute with, such as avx2; the best that there is where it is left out.
    #[arg(long, value_name = "NAME", value_parser = Kernels::named)]
    isa: Option<&'static Kernels>,
    /// Whether the terminal shows UTF-8; it is asked where this is left out.
    #[arg(long, value_name = "on|off", action = ArgAction::Set, value_parser = parse_on_off)]
    utf8: Option<bool>,
}

impl Wishes {
    fn options(self) -> Options {
        Options {
            model: self.model,
            prompt: self.prompt,
            once: self.once,
            utf8: self.utf8,
            ..self.tuning.options()
        }
    }
}

/// What is booted, and where it lies.
#[derive(Debug, Args)]
struct Source {
    /// GGUF files; all of the models folder where none is named.
    #[arg(value_name = "MODEL")]
    models: Vec<PathBuf>,
    /// The models folder.
    #[arg(long, value_name = "DIR", default_value = "models")]
    models_dir: PathBuf,
    /// The kernel.
    #[arg(long, value_name = "FILE", default_value = "target/release/bootlm-kernel")]
    kernel: PathBuf,
    /// The folder that has Limine; found or downloaded where it is left out.
    #[arg(long, value_name = "DIR")]
    limine_dir: Option<PathBuf>,
    /// The kernel's command line, such as `model=2 prompt="Once upon a time" once`.
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    cmdline: String,
    /// The boot loader's configuration, without module lines.
    #[arg(long, value_name = "FILE", default_value = "limine.conf")]
    limine_conf: PathBuf,
    /// The folder for what is built on the way.
    #[arg(long, value_name = "DIR", default_value = "target")]
    build_dir: PathBuf,
}

fn main() -> ExitCode {
    match carry_out(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Deserted>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bootlm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: CliCommand) -> Result<()> {
    match command {
        CliCommand::Fetch(args) => fetch::run(&args),
        CliCommand::Convert(args) => convert::run(&args),
        CliCommand::Quantize(args) => quantize::run(&args),
        CliCommand::Image { source, output, write } => {
            // Before the work is done, a person is to know that it is in vain.
            let device = write.as_deref().map(Device::find).transpose()?;
            let name = if device.is_some() { "bootlm.img" } else { "bootlm.iso" };
            let output = output.unwrap_or_else(|| source.build_dir.join(name));
            let models = write_image(&source, &output)?;
            eprintln!("{}: {} model(s)", output.display(), models.len());
            if let (Some(device), Some(path)) = (device, write) {
                device.write(&output, &mut io::stdin().lock())?;
                eprintln!("{}: as the image is, and can be pulled out", path.display());
            }
            Ok(())
        }
        CliCommand::Split(args) => split::carry_out(&args),
        CliCommand::Merge(args) => split::merge(&args.first, &args.output),
        CliCommand::Screenshot { source, output } => {
            let iso = source.build_dir.join("bootlm.iso");
            let models = write_image(&source, &iso)?;
            screenshot::take(&iso, run::ample_memory_mib(&models)?, &output)?;
            eprintln!("{}: as the screen of an emulated machine shows it", output.display());
            Ok(())
        }
        CliCommand::Run { source, accel, smp, mem, firmware, boot } => run::run(&run::Options {
            accel,
            processors: smp.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get),
            memory_mib: mem,
            firmware,
            boot,
            models: run::models(source.models, &source.models_dir)?,
            limine_dir: source.limine_dir,
            limine_conf: source.limine_conf,
            command_line: source.cmdline,
            kernel: with_symbols(&source.kernel, &source.build_dir)?,
            build_dir: source.build_dir,
        }),
        CliCommand::Chat { models, wishes } => {
            let kernels = wishes.isa.unwrap_or_else(Kernels::detect);
            chat::chat(&models, kernels, &wishes.options())
        }
        CliCommand::Generate(args) => generate::run(args),
        CliCommand::Inspect(args) => inspect::run(&args),
        CliCommand::Perplexity(args) => perplexity::run(&args),
        CliCommand::Bench(args) => bench::run(&args),
        CliCommand::Peers(args) => peers::run(&args),
    }
}

/// Write the ISO of `source` to `output`, and return the models that are in it.
fn write_image(source: &Source, output: &Path) -> Result<Vec<PathBuf>> {
    let models = run::models(source.models.clone(), &source.models_dir)?;
    let limine = Limine::find(source.limine_dir.as_deref(), &source.build_dir)?;
    let Source { kernel, limine_conf, cmdline: command_line, .. } = &source;
    let kernel = &with_symbols(kernel, &source.build_dir)?;
    Image { kernel, limine_conf, models: &models, command_line }.write(&limine, output)?;
    Ok(models)
}

/// Return the MiB of a size such as `768M`, `2G` or, in MiB, `768`.
fn parse_memory_mib(text: &str) -> Result<u64> {
    let (number, unit_mib) = match text.strip_suffix(['G', 'g']) {
        Some(number) => (number, 1024),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), 1),
    };
    let number: u64 =
        number.parse().with_context(|| format!("expected a size such as 768M or 2G, found {text}"))?;
    number.checked_mul(unit_mib).context("that is more memory than there is")
}

fn parse_on_off(text: &str) -> Result<bool> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => bail!("expected on or off, found {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_mib_and_gib() {
        assert_eq!(parse_memory_mib("768M").unwrap(), 768);
        assert_eq!(parse_memory_mib("2G").unwrap(), 2048);
        assert_eq!(parse_memory_mib("512").unwrap(), 512);
        assert!(parse_memory_mib("big").unwrap_err().to_string().contains("big"));
    }
}
