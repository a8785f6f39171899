//! What the kernel says about its own work: the last lines of it, for `/log` and for the start screen.
//!
//! Its lines are kept, not shown: the console is the shell's. `log=LEVEL` on the command line says which of those that were
//! logged before the shell began are shown then (error, warn, info, debug; warn without it).

use alloc::string::String;
use core::fmt::{self, Write};

use arrayvec::ArrayVec;
use engine::platform::Clock;
use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::Mutex;

use crate::arch::tsc::Tsc;

/// So much of it is kept.
const CAPACITY_BYTES: usize = 16 * 1024;

static LOGGER: Logger =
    Logger { lines: Mutex::new(Lines { bytes: ArrayVec::new_const() }), clock: Mutex::new(None) };

struct Logger {
    lines: Mutex<Lines>,
    clock: Mutex<Option<Tsc>>,
}

/// The last lines, each with the first letter of its level, the oldest first.
struct Lines {
    bytes: ArrayVec<u8, CAPACITY_BYTES>,
}

/// Begin to log with the times of `clock`, or go on with them.
pub(crate) fn begin(clock: &Tsc) {
    *LOGGER.clock.lock() = Some(*clock);
    // It fails where there is a logger already, and then that one is this one.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(LevelFilter::Debug);
}

/// Return all lines that are kept.
pub(crate) fn all() -> String {
    lines(LevelFilter::Trace)
}

/// Return the lines that are to be shown at the start; `level` is what the command line asks for.
pub(crate) fn at_start(level: Option<&str>) -> String {
    let filter = match level.map(str::parse) {
        None => LevelFilter::Warn,
        Some(Ok(filter)) => filter,
        Some(Err(_)) => {
            log::warn!("log takes off, error, warn, info or debug; this is warn");
            LevelFilter::Warn
        }
    };
    lines(filter)
}

/// Return the lines of the levels that pass `filter`.
fn lines(filter: LevelFilter) -> String {
    let lines = LOGGER.lines.lock();
    let text = String::from_utf8_lossy(&lines.bytes);
    let passes = |line: &&str| {
        let level = Level::iter().find(|level| line.starts_with(&level.as_str()[..1]));
        level.is_some_and(|level| level <= filter)
    };
    text.split_inclusive('\n').filter(passes).collect()
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let ms = self.clock.lock().map_or(0, |clock| clock.now_ns() / 1_000_000);
        let letter = &record.level().as_str()[..1];
        // The lines take every write.
        let _ = writeln!(self.lines.lock(), "{letter} {:>5}.{:03} {}", ms / 1000, ms % 1000, record.args());
    }

    fn flush(&self) {}
}

impl Write for Lines {
    /// Keep `text`, in place of the oldest lines where there is no room.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let text = &text.as_bytes()[text.len().saturating_sub(CAPACITY_BYTES)..];
        let n_missing = text.len().saturating_sub(self.bytes.remaining_capacity());
        if n_missing > 0 {
            let end = self.bytes[n_missing - 1..].iter().position(|&byte| byte == b'\n');
            let n_dropped = end.map_or(self.bytes.len(), |end| n_missing + end);
            self.bytes.drain(..n_dropped);
        }
        self.bytes.try_extend_from_slice(text).map_err(|_| fmt::Error)
    }
}
