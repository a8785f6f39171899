//! `bootlm`: the host side of bootlm as one program. `make` calls it; each command is a module of the library.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use tools::accel;
use tools::chat;
use tools::fetch;
use tools::image::Image;
use tools::limine::Limine;
use tools::run::{self, Door, Firmware};

/// Get models, build boot images, boot them in QEMU, and talk to a model on this host.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Get a known model into the models folder, or check the file that is there.
    Fetch {
        /// The model's name; the catalog's default where it is left out.
        name: Option<String>,
        /// Show the known models instead.
        #[arg(long)]
        list: bool,
        /// The models folder.
        #[arg(long, value_name = "DIR", default_value = "models")]
        models_dir: PathBuf,
    },
    /// Write an ISO that boots by BIOS and by UEFI.
    Image {
        #[command(flatten)]
        source: Source,
        /// The image to write.
        #[arg(long, value_name = "FILE", default_value = "target/bootlm.iso")]
        output: PathBuf,
    },
    /// Boot the kernel in QEMU with its console on stdin and stdout.
    Run {
        #[command(flatten)]
        source: Source,
        /// What runs the guest's instructions.
        #[arg(long, value_enum, default_value = "auto")]
        accel: accel::Choice,
        /// How many processors the machine has.
        #[arg(long, value_name = "N", default_value_t = 1)]
        smp: usize,
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
    /// Talk to a model on this host, without a kernel.
    Chat {
        /// GGUF files; the shell talks to the first that it can use.
        #[arg(required = true, value_name = "FILE")]
        models: Vec<PathBuf>,
    },
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
        Err(error) => {
            eprintln!("bootlm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: CliCommand) -> Result<()> {
    match command {
        CliCommand::Fetch { list: true, .. } => {
            print!("{}", fetch::list());
            Ok(())
        }
        CliCommand::Fetch { name, models_dir, .. } => {
            let model = name.map_or(Ok(catalog::DEFAULT), |name| {
                catalog::find(&name).with_context(|| {
                    format!("no model is called {name}; `bootlm fetch --list` shows those that are known")
                })
            })?;
            let path = fetch::fetch(model, &models_dir)?;
            eprintln!("{}: as the catalog says", path.display());
            Ok(())
        }
        CliCommand::Image { source, output } => {
            let models = run::models(source.models, &source.models_dir)?;
            let limine = Limine::find(source.limine_dir.as_deref(), &source.build_dir)?;
            Image { kernel: &source.kernel, limine_conf: &source.limine_conf, models: &models }
                .write(&limine, &output)?;
            eprintln!("{}: {} model(s)", output.display(), models.len());
            Ok(())
        }
        CliCommand::Run { source, accel, smp, mem, firmware, boot } => run::run(&run::Options {
            accel,
            processors: smp,
            memory_mib: mem,
            firmware,
            boot,
            models: run::models(source.models, &source.models_dir)?,
            limine_dir: source.limine_dir,
            limine_conf: source.limine_conf,
            kernel: source.kernel,
            build_dir: source.build_dir,
        }),
        CliCommand::Chat { models } => chat::chat(&models),
    }
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
