//! The prompt: a line is a command or a message, until the person leaves.

use crate::Machine;
use crate::chat::Chat;
use crate::commands::{self, NO_MODEL, Next, Scene};
use crate::console::Console;
use crate::editor::{Entered, LineEditor};
use crate::shelf::Shelf;

/// As in ollama, so that people feel at home.
const PROMPT: &str = ">>> ";

/// Why the person left a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// They are done.
    Exit,
    /// They want the machine started again.
    Reboot,
    /// They want to see the menu.
    Menu,
    /// They want the model at this place of the shelf.
    Model(usize),
}

/// A person at the prompt. Without a model, only the commands that need none do something.
pub(crate) struct Visit<'v, 't, 'm> {
    pub(crate) console: &'v mut Console<'t>,
    pub(crate) machine: &'v Machine<'v>,
    pub(crate) shelf: &'v Shelf<'v>,
    pub(crate) chat: Option<&'v mut Chat<'m>>,
}

impl Visit<'_, '_, '_> {
    /// Take a message that was given in advance as if it were typed, and return why the person leaves then, if they do:
    /// with `once`, after its answer.
    pub(crate) fn begin(&mut self, message: Option<&str>, once: bool) -> Option<Leaving> {
        let message = message?;
        writeln!(self.console, "{PROMPT}{message}");
        match self.take(message) {
            Next::Leave(leaving) => Some(leaving),
            _ => once.then_some(Leaving::Exit),
        }
    }

    /// Take lines until the person leaves.
    pub(crate) fn converse(&mut self, editor: &mut LineEditor) -> Leaving {
        loop {
            let line = match editor.read_line(self.console, PROMPT) {
                Entered::Line(line) => line,
                Entered::Interrupt { line_was_empty } => {
                    if line_was_empty {
                        self.console.print("/exit or Ctrl-D leaves.\n\n");
                    }
                    continue;
                }
                Entered::End => return Leaving::Exit,
            };
            match self.take(&line) {
                Next::Prompt => {}
                Next::Forget => editor.forget(),
                Next::Leave(leaving) => return leaving,
            }
        }
    }

    /// Do what a line asks for, and return what is next.
    fn take(&mut self, line: &str) -> Next {
        let Self { console, machine, shelf, chat } = self;
        let text = line.trim();
        if text.is_empty() {
            return Next::Prompt;
        }
        let mut next = Next::Prompt;
        if text.starts_with('/') {
            match commands::run(text, &mut Scene { console, machine, shelf, chat: chat.as_deref_mut() }) {
                Ok(Next::Leave(leaving)) => return Next::Leave(leaving),
                Ok(other) => next = other,
                Err(error) => writeln!(console, "{error}"),
            }
        } else {
            match chat {
                Some(chat) => chat.say(console, text),
                None => writeln!(console, "{NO_MODEL}"),
            }
        }
        console.print("\n");
        next
    }
}
