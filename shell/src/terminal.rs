//! What a host must give the shell: a terminal, model files, and a machine to compute on.
//!
//! The kernel implements [`Terminal`] over its serial port, `bootlm chat` over a raw tty, the tests over a script.

use alloc::string::String;
use core::fmt;

use engine::cpu::Kernels;
use engine::platform::{Clock, Entropy, Workers};

/// What a host knows of the screen on which a person sees the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScreenSize {
    /// There is no screen but a pipe or a file: it gets text and no control sequences.
    NoScreen,
    /// There may be a screen, as at the other end of a serial line. It is asked for its size with ECMA-48's request for the
    /// cursor's position, to which the terminal types one answer or none.
    Unknown,
    /// The screen has this size now.
    Known {
        /// Rows of text.
        rows: usize,
        /// Columns of narrow characters.
        columns: usize,
    },
}

/// A byte-wise terminal that does not echo.
pub trait Terminal {
    /// Return what is known of the screen.
    fn screen_size(&self) -> ScreenSize {
        ScreenSize::Unknown
    }

    /// Show `text`. Lines end in `"\n"`; a device that needs `"\r\n"` adds the `"\r"` itself.
    fn write(&mut self, text: &str);

    /// Return the next typed byte if there is one, without waiting.
    fn try_read(&mut self) -> Option<u8>;

    /// Wait for the next typed byte and return it; `None` when the input has ended for good.
    fn read(&mut self) -> Option<u8>;

    /// Wait until a byte may be there, some milliseconds at most. Return false when the input has ended for good.
    fn wait(&mut self) -> bool;
}

/// A file that the host brought into memory, whatever it holds.
#[derive(Debug)]
pub struct ModelFile<'a> {
    /// The name, without a path.
    pub name: &'a str,
    /// All of it.
    pub bytes: &'a mut [u8],
    /// Whether weights may be put into another order where they lie: not, where memory would have to be found for that.
    pub may_change: bool,
}

/// What a host may want to know of the shell's work, and do about its memory.
pub trait Keeper {
    /// The shell begins this, such as `two.gguf: reading 17 tokens`.
    fn begin(&self, _what: fmt::Arguments<'_>) {}

    /// The bytes of a model file are about to be changed where they lie, or will not be changed any more. They are not before the
    /// first call.
    fn set_writable(&self, _bytes: &[u8], _writable: bool) {}
}

/// Takes no notice.
impl Keeper for () {}

/// The machine that the engine computes on.
pub struct Machine<'a> {
    /// Who is told what the shell does, and guards memory.
    pub keeper: &'a dyn Keeper,
    /// Time since the host started.
    pub clock: &'a dyn Clock,
    /// The cores.
    pub workers: &'a dyn Workers,
    /// The inner loops that they run.
    pub kernels: &'static Kernels,
    /// Seeds for sampling.
    pub entropy: &'a dyn Entropy,
    /// Return how many bytes can still be allocated.
    pub free_memory: &'a dyn Fn() -> u64,
    /// How much memory there is, whoever uses it.
    pub memory_bytes: u64,
    /// What all this belongs to.
    pub host: Host<'a>,
}

/// What bootlm runs on.
pub enum Host<'a> {
    /// A machine of its own.
    BareMetal {
        /// Who brought the kernel into memory, such as `Limine 9.2.0`.
        loader: &'a str,
        /// The rate of the clock, and where it is known from.
        clock: &'a str,
        /// Return which date it is, if the machine knows.
        date: &'a dyn Fn() -> Option<String>,
        /// Return what the kernel has logged, in lines.
        log: &'a dyn Fn() -> String,
        /// What all memory is used for, in bytes; the heap is one of these uses.
        memory: &'a [(&'static str, u64)],
    },
    /// An operating system, beside other programs.
    Program,
}
