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

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::mem;

mod answer;
mod answer_grammar;
mod chat;
mod commands;
mod console;
mod editor;
mod fit;
mod loading;
mod menu;
mod nearest;
mod options;
mod paragraph;
mod prompt;
mod row;
mod settings;
mod shelf;
mod start;
mod start_screen;
mod stats;
mod sums;
mod terminal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod units;
mod utf8;

pub use answer::answer;
pub use options::{Options, option};
pub use terminal::{Host, Keeper, Machine, ModelFile, ScreenSize, Terminal};

use console::Console;
use editor::LineEditor;
use menu::{Choice, Menu};
use prompt::{Leaving, Visit};
use shelf::Shelf;

/// What a person reads where no file could be used.
const NO_MODEL: &str = "\
There is no model to talk to. bootlm runs GGUF files of the architectures llama, gpt2,
qwen2 and qwen3, and llama2.c's .bin files with their tokenizer.bin.
Put one into the folder models/ and start again.
/help lists the commands, /exit leaves.

";

/// What a person reads before the first prompt.
const HINT: &str = "/help lists the commands; Ctrl-C stops an answer, /exit leaves.\n\n";

/// The same, where there are demos.
const DEMO_HINT: &str = "/help lists the commands, /demo what to try; Ctrl-C stops, /exit leaves.\n\n";

/// What they read too, where there are several models.
const MENU_HINT: &str = "/model leads to the other models.\n";

/// What a person wants when they leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing more: the machine can be powered off, the program can end.
    Done,
    /// To start the machine again.
    Reboot,
}

/// Talk to a person with the models in `files`, as `options` ask for it; return when they leave (/exit, Ctrl-D, the end of the
/// input).
///
/// Files that are no model, or too large for the machine, are named with the reason.
pub fn run(
    terminal: &mut dyn Terminal,
    machine: &Machine,
    files: &mut [ModelFile],
    options: &Options,
) -> Ending {
    let host_ns = machine.clock.now_ns();
    let mut console = Console::new(terminal);
    if options.pipe {
        console = console.at_pipe();
    }
    let mut editor = LineEditor::new(commands::names().collect());
    if console.screen_size() != ScreenSize::NoScreen {
        console.set_up_terminal();
    }
    start_screen::show(&mut console, machine, host_ns);
    for warning in &options.warnings {
        writeln!(console, "command line: {warning}");
    }
    let files_ns = machine.clock.now_ns();
    let (unsound, missing) = sums::check(files, &options.sums);
    for name in missing {
        writeln!(console, "command line: sha256={name}: there is no such file");
    }
    let mut unfit: Vec<(String, String)> = Vec::new();
    machine.keeper.begin(format_args!("looking through {} files", files.len()));
    let mut shelf = Shelf::open(files, &unsound, &unfit);
    let (mut times, mut model_ns) = (vec![("memory", host_ns)], machine.clock.now_ns() - files_ns);
    let mut menu = Menu::new(options);
    let mut first_message = options.prompt.as_deref();
    let mut wanted = None;
    loop {
        let choice = match wanted.take() {
            Some(index) => Choice::Model(index),
            None => menu.choose(&mut console, &mut editor, machine, &shelf),
        };
        let leaving = match choice {
            Choice::Model(index) => {
                let at_work = [Some(index), shelf.draft_model(options)].into_iter().flatten();
                let slow = |&index: &usize| shelf.models[index].is_worth_interleaving(machine.kernels);
                let at_work: Vec<_> = at_work.filter(slow).collect();
                if !at_work.is_empty() {
                    let start_ns = machine.clock.now_ns();
                    let files_of = |&index: &usize| shelf.models[index].files().iter().copied();
                    let chosen: Vec<_> = at_work.iter().flat_map(files_of).collect();
                    let name = shelf.models[index].file_name();
                    machine.keeper.begin(format_args!("{name}: interleaving the weights"));
                    drop(shelf);
                    loading::interleave(&mut console, machine, files, &chosen);
                    shelf = Shelf::open(files, &unsound, &unfit);
                    model_ns += machine.clock.now_ns() - start_ns;
                }
                let model = &shelf.models[index];
                times.push(("model", mem::take(&mut model_ns)));
                let times = mem::take(&mut times);
                let started = model.start(&mut console, machine, &shelf, times, options, |console, chat| {
                    if shelf.models.len() > 1 {
                        console.print(MENU_HINT);
                    }
                    console.print(if chat.demos.is_empty() { HINT } else { DEMO_HINT });
                    let mut visit = Visit { console, machine, shelf: &shelf, chat: Some(chat) };
                    visit
                        .begin(first_message.take(), options.once)
                        .unwrap_or_else(|| visit.converse(&mut editor))
                });
                match started {
                    Ok(leaving) => leaving,
                    Err(reason) => {
                        unfit.push((model.file_name().to_string(), reason));
                        shelf = Shelf::open(files, &unsound, &unfit);
                        continue;
                    }
                }
            }
            Choice::None => {
                console.print(NO_MODEL);
                Visit { console: &mut console, machine, shelf: &shelf, chat: None }.converse(&mut editor)
            }
            Choice::Leave(leaving) => leaving,
        };
        match leaving {
            Leaving::Exit => return Ending::Done,
            Leaving::Reboot => return Ending::Reboot,
            Leaving::Menu => menu.was_asked_for = true,
            Leaving::Model(index) => {
                menu.was_asked_for = true;
                wanted = Some(index);
            }
        }
    }
}
