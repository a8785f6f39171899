//! This process's stdin and stdout as the shell's [`Terminal`], and the care for the real terminal behind them.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::panic;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use shell::{ScreenSize, Terminal};

/// How long a moment of waiting is: short enough for a countdown, long enough to cost nothing.
const MOMENT_NS: i64 = 20_000_000;

/// The settings of the terminal at stdin, which are put back when this is dropped, and when the program panics.
#[derive(Debug)]
pub struct SavedTerminal {
    settings: Termios,
}

impl SavedTerminal {
    /// Remember the settings of the terminal at stdin; return `None` when stdin is none.
    pub fn save() -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let settings = tcgetattr(stdin())?;
        // Released programs abort on a panic and drop nothing, so a hook does it, before the message is printed.
        let (for_hook, report) = (settings.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info| {
            restore(&for_hook);
            report(info);
        }));
        Ok(Some(Self { settings }))
    }

    /// Hand over every key as it is typed, Ctrl-C among them, without an echo. Output stays as it was: the terminal still
    /// makes a new line of "\n".
    pub fn enter_raw_mode(&self) -> io::Result<()> {
        let mut raw = self.settings.clone();
        raw.make_raw();
        raw.output_modes = self.settings.output_modes;
        Ok(tcsetattr(stdin(), OptionalActions::Now, &raw)?)
    }
}

impl Drop for SavedTerminal {
    fn drop(&mut self) {
        restore(&self.settings);
    }
}

/// Put the settings back; a terminal that has gone away in the meantime needs none.
fn restore(settings: &Termios) {
    let _ = tcsetattr(stdin(), OptionalActions::Now, settings);
}

/// Stdin and stdout.
#[derive(Debug, Default)]
pub struct StdTerminal {
    /// What was read and not yet asked for.
    typed: VecDeque<u8>,
    /// Whether one of them has ended for good.
    ended: bool,
}

impl StdTerminal {
    /// Read what is there, after waiting so long for something: `None` is for ever.
    fn fill(&mut self, wait_ns: Option<i64>) {
        let timeout = wait_ns.map(|tv_nsec| Timespec { tv_sec: 0, tv_nsec });
        let mut ready = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
        let mut buffer = [0; 4096];
        match poll(&mut ready, timeout.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return,
            Ok(_) => {}
            Err(_) => {
                self.ended = true;
                return;
            }
        }
        match rustix::io::read(stdin(), &mut buffer) {
            Ok(0) => self.ended = true,
            Ok(n) => self.typed.extend(&buffer[..n]),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => self.ended = true,
        }
    }
}

impl Terminal for StdTerminal {
    /// Return the size of the terminal at stdin, where the person types.
    fn screen_size(&self) -> ScreenSize {
        match tcgetwinsize(stdin()) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
                ScreenSize::Known { rows: size.ws_row.into(), columns: size.ws_col.into() }
            }
            Ok(_) => ScreenSize::Unknown,
            Err(_) => ScreenSize::NoScreen,
        }
    }

    fn write(&mut self, text: &str) {
        let mut stdout = io::stdout().lock();
        if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
            self.ended = true; // nobody reads the answers any more
        }
    }

    fn try_read(&mut self) -> Option<u8> {
        if self.typed.is_empty() && !self.ended {
            self.fill(Some(0));
        }
        self.typed.pop_front()
    }

    fn read(&mut self) -> Option<u8> {
        while self.typed.is_empty() && !self.ended {
            self.fill(None);
        }
        self.typed.pop_front()
    }

    fn wait(&mut self) -> bool {
        if self.typed.is_empty() && !self.ended {
            self.fill(Some(MOMENT_NS));
        }
        !self.typed.is_empty() || !self.ended
    }
}
