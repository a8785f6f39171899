//! The conversation with a person: a menu, a line editor, commands, streaming answers.
//!
//! 1. **It runs anywhere.** `no_std` and `alloc`, over a [`Terminal`] and a [`Machine`]: the kernel on bare metal and the
//!    host tools show the very same thing, and tests talk to it by a script.
//! 2. **It speaks only through the terminal** that it was given, and keeps no state outside its values.
//! 3. **Nothing steers the terminal but the line editor.** Model files, answers and messages are shown as text.
//! 4. **Nothing is lost.** A stopped answer stays in the conversation, a refused message leaves it as it was, what is
//!    typed too early waits for its prompt.
//!
//! It does not compute (that is the engine's), and knows no hardware (that is the host's).

// The tests use std.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod chat;
mod commands;
mod console;
mod editor;
mod menu;
mod nearest;
mod prompt;
mod settings;
mod start;
mod stats;
mod terminal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod units;

use alloc::vec::Vec;

use engine::format;

pub use engine::format::File as ModelFile;
pub use terminal::{Machine, Terminal};

use console::Console;
use editor::LineEditor;
use menu::Choice;
use prompt::Leaving;
use start::{Candidate, StartTimes};

/// What a person reads where no file could be used.
const NO_MODEL: &str = "\
There is no model to talk to. bootlm runs GGUF files of the llama architecture, and
llama2.c's .bin files with their tokenizer.bin.
Put one into the folder models/ and start again.
/help lists the commands, /exit leaves.

";

/// What a person reads before the first prompt.
const HINT: &str = "/help lists the commands; Ctrl-C stops an answer, /exit leaves.\n\n";

/// Talk to a person with one of the models in `files`; return when they leave (/exit, Ctrl-D, the end of the input).
///
/// Files that are no model, or too large for the machine, are named with the reason.
pub fn run(terminal: &mut dyn Terminal, machine: &Machine, files: &[ModelFile]) {
    let host_ns = machine.clock.now_ns();
    let mut console = Console::new(terminal);
    let mut editor = LineEditor::default();
    let mut candidates = open_all(&mut console, files);
    let times = StartTimes { host_ns, files_ns: machine.clock.now_ns() };
    loop {
        match menu::choose(&mut console, &mut editor, &candidates) {
            Choice::Model(index) => {
                let started = candidates[index].start(&mut console, machine, times, |console, chat| {
                    console.print(HINT);
                    prompt::converse(console, &mut editor, machine, Some(chat))
                });
                match started {
                    Ok(Leaving::Exit) => return,
                    Err(reason) => {
                        let unusable = candidates.remove(index);
                        refuse(&mut console, unusable.name(), reason);
                    }
                }
            }
            Choice::None => {
                console.print(NO_MODEL);
                match prompt::converse(&mut console, &mut editor, machine, None) {
                    Leaving::Exit => return,
                }
            }
            Choice::Leave => return,
        }
    }
}

/// Return the models in `files`, and name the files that are none.
fn open_all<'f>(console: &mut Console, files: &[ModelFile<'f>]) -> Vec<Candidate<'f>> {
    let mut candidates = Vec::new();
    for found in format::models(files) {
        match Candidate::open(found) {
            Ok(candidate) => candidates.push(candidate),
            Err((name, error)) => refuse(console, name, error),
        }
    }
    candidates
}

/// Tell why a file cannot be used.
fn refuse(console: &mut Console, name: &str, reason: impl core::fmt::Display) {
    writeln!(console, "{name}: cannot be used: {reason}");
}
