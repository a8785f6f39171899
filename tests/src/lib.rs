//! The real kernel in a real QEMU, and a person's end of the serial line (a person's desk is [`tools::desk`]), for the tests in `tests/`.
//!
//! 1. **What is tested is what is shipped:** the release kernel, brought up to date first, and the default model.
//! 2. **A machine costs seconds,** so each is booted for one conversation that checks many things, and no more run at once
//!    than two cores can carry.
//! 3. **Nothing is timed.** A machine that is busy with other things is slow and right; the limit is there for hangs.

mod monitor;
mod screen;

use std::env;
use std::fmt::Display;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

pub use monitor::Monitor;
use nix::sys::wait::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use screen::Screen;
use tools::fetch;
use tools::image::Image;
use tools::initrd::Initrd;
use tools::limine::Limine;
use tools::qemu::{Accelerator, Boot, Console, Machine, Ovmf};
use tools::symbols::with_symbols;

/// How long a guest may take to say what is expected next. The slowest step, reading an image by BIOS from an IDE disk under emulation, takes
/// a hundredth of it on a host that does nothing else.
pub const LIMIT_MS: u64 = 1_200_000;

/// What the shell shows when it waits for a line.
pub const PROMPT: &str = ">>> ";

/// Return the release kernel as it is booted, with the names of its functions.
pub fn kernel() -> &'static Path {
    static KERNEL: OnceLock<PathBuf> = OnceLock::new();
    KERNEL.get_or_init(|| with_symbols(linked_kernel(), &target_dir()).unwrap())
}

/// Return the release kernel as `bootlm` takes it, built now if it is not up to date.
pub fn linked_kernel() -> &'static Path {
    static KERNEL: OnceLock<PathBuf> = OnceLock::new();
    KERNEL.get_or_init(|| {
        build(&["--release", "--package", "kernel"]);
        target_dir().join("release/bootlm-kernel")
    })
}

/// Return the host program, built now if it is not up to date.
pub fn bootlm() -> &'static Path {
    static BOOTLM: OnceLock<PathBuf> = OnceLock::new();
    BOOTLM.get_or_init(|| {
        build(&["--package", "tools"]);
        target_dir().join("debug/bootlm")
    })
}

/// Return the default model, fetched now if it is not there.
pub fn model() -> &'static Path {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    MODEL.get_or_init(|| fetch::fetch(catalog::DEFAULT, &workspace().join("models")).unwrap())
}

/// Return the repository's folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the workspace")
}

/// Return the folder that cargo builds into; this program lies in its `debug/deps`.
pub fn target_dir() -> PathBuf {
    let program = env::current_exe().unwrap();
    program.ancestors().nth(3).expect("cargo puts tests into target/debug/deps").into()
}

fn build(arguments: &[&str]) {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet"])
        .args(arguments)
        .arg("--target-dir")
        .arg(target_dir())
        .current_dir(workspace());
    assert!(build.status().unwrap().success(), "cargo build {}", arguments.join(" "));
}

/// Return how the kernel boots by PVH with `models`, archived below `dir` if they are several.
pub fn pvh(models: &[PathBuf], dir: &Path) -> Boot {
    let Initrd { file, command_line } = Initrd::pack(models, dir).unwrap();
    Boot::Pvh { kernel: kernel().into(), initrd: file, command_line }
}

/// Return how the kernel boots by PVH without a model and with the words `command_line`.
pub fn pvh_with(command_line: &str) -> Boot {
    Boot::Pvh { kernel: kernel().into(), initrd: None, command_line: command_line.into() }
}

/// Write an ISO with `models`, whose kernel gets `command_line`, into `dir`; as [`image`] does.
pub fn iso(dir: &Path, command_line: &str, models: &[PathBuf], test: &str) -> Option<PathBuf> {
    image(&dir.join("bootlm.iso"), command_line, models, test)
}

/// Write an image with `models`, whose kernel gets `command_line`, to `output`, or return `None` after saying that Limine is missing and so `test` is skipped.
pub fn image(output: &Path, command_line: &str, models: &[PathBuf], test: &str) -> Option<PathBuf> {
    let limine = match Limine::find(None, &target_dir()) {
        Ok(limine) => limine,
        Err(error) => {
            skip(test, &error);
            return None;
        }
    };
    let limine_conf = &workspace().join("limine.conf");
    Image { kernel: kernel(), limine_conf, models, command_line }.write(&limine, output).unwrap();
    Some(output.into())
}

/// Return UEFI for one machine, with its variables in `dir`, or `None` after saying that it is missing and so `test` is skipped.
pub fn ovmf(dir: &Path, test: &str) -> Option<Ovmf> {
    Ovmf::prepare(dir).inspect_err(|error| skip(test, error)).ok()
}

/// Return whether this host has memory for a machine of `memory_mib`, or say that it has not and so `test` is skipped.
pub fn has_memory(memory_mib: u64, test: &str) -> bool {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    let available_mib = available.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10;
    let is_enough = available_mib >= memory_mib;
    if !is_enough {
        skip(test, &format!("it takes {memory_mib} MiB of memory, and {available_mib} MiB are available"));
    }
    is_enough
}

#[expect(clippy::explicit_write, reason = "the test harness would keep what eprintln! says to itself")]
fn skip(test: &str, why: &dyn Display) {
    writeln!(std::io::stderr(), "SKIPPED: {test}: {why:#}").unwrap();
}

/// Return what `command` prints.
pub fn output_of(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Return a machine with one emulated processor and half a GiB, behind a pseudo-terminal.
pub fn machine(boot: Boot) -> Machine {
    Machine {
        accelerator: Accelerator::Tcg,
        processors: 1,
        memory_mib: 512,
        boot,
        console: Console::Terminal,
    }
}

/// A program at the other end of a pseudo-terminal: QEMU, or `bootlm run` around it. It is ended when this is dropped.
pub struct Guest {
    session: PtySession,
    screen: Screen,
    _core: Core,
}

impl Guest {
    /// Start `machine`.
    pub fn boot(machine: &Machine) -> Self {
        Self::start(machine.command())
    }

    /// Start `command`, which boots a machine.
    pub fn start(command: Command) -> Self {
        let core = Core::wait_for_one();
        let session = spawn_command(command, Some(LIMIT_MS)).unwrap();
        Self { session, screen: Screen::default(), _core: core }
    }

    /// Wait for `text` and return what stands before it on the screen, behind what was waited for before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        self.look_for(text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Wait for `text` and return what stands before it, as [`Guest::expect`] does.
    ///
    /// # Errors
    /// What was seen instead.
    pub fn look_for(&mut self, text: &str) -> Result<String, String> {
        let before = self.session.exp_string(text).map_err(|error| error.to_string())?;
        self.show(&utf8(&before));
        self.show(text);
        let said = self.screen.news();
        match said.strip_suffix(text) {
            Some(said) => Ok(said.into()),
            None => Err(format!("{text:?} is not where the cursor is: {said}")),
        }
    }

    /// Let the terminal show `bytes`, and type its answers.
    fn show(&mut self, bytes: &str) {
        let answers = self.screen.show(bytes);
        if !answers.is_empty() {
            self.send(&answers);
        }
    }

    /// Return all that a person sees.
    pub fn screen(&self) -> String {
        self.screen.text()
    }

    /// Wait for the prompt and return what stands before it.
    #[track_caller]
    pub fn prompt(&mut self) -> String {
        self.expect(PROMPT)
    }

    /// Type `line` and Enter at the prompt, and return what comes before the next prompt, without the line itself.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.send(&format!("{line}\r"));
        let said = self.prompt();
        match said.split_once('\n') {
            Some((echo, answer)) if echo == line => answer.trim_end().into(),
            _ => panic!("expected the typed line {line:?} first, found {said:?}"),
        }
    }

    /// Type `keys`.
    #[track_caller]
    pub fn send(&mut self, keys: &str) {
        self.session.send(keys).and_then(|_| self.session.flush()).unwrap();
    }

    /// Wait for the end and return what was shown up to it, and the exit status.
    #[track_caller]
    pub fn end(self) -> (String, i32) {
        self.ending().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Wait for the end and return what was shown up to it, and the exit status.
    ///
    /// # Errors
    /// What was seen instead.
    pub fn ending(mut self) -> Result<(String, i32), String> {
        // Nobody is there any more to answer.
        let said = self.session.exp_eof().map_err(|error| error.to_string())?;
        drop(self.screen.show(&utf8(&said)));
        let said = self.screen.news();
        match self.session.process().wait().map_err(|error| error.to_string())? {
            WaitStatus::Exited(_, status) => Ok((said, status)),
            other => Err(format!("expected an exit, found {other:?} after {said:?}")),
        }
    }

    /// Type `/exit` at the prompt and check that the machine leaves in peace.
    #[track_caller]
    pub fn leave(mut self) {
        self.send("/exit\r");
        assert_eq!(self.end(), ("/exit\n".into(), 0));
    }
}

/// Return what the guest said: rexpect makes a character of every byte.
fn utf8(said: &str) -> String {
    let bytes: Vec<u8> = said.chars().map(|byte| u8::try_from(byte).expect("it was a byte")).collect();
    String::from_utf8(bytes).unwrap_or_else(|error| panic!("{error} in {said:?}"))
}

/// The right to keep one of two cores busy with a machine.
pub struct Core;

static FREE_CORES: Mutex<usize> = Mutex::new(2);
static CORE_IS_FREE: Condvar = Condvar::new();

impl Core {
    /// Wait until fewer than two machines run.
    pub fn wait_for_one() -> Self {
        let free = FREE_CORES.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            CORE_IS_FREE.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Self
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        *FREE_CORES.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        CORE_IS_FREE.notify_one();
    }
}
