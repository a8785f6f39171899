//! The prompt: a line is a command or a message, until the person leaves.

use crate::Machine;
use crate::chat::Chat;
use crate::commands::{self, NO_MODEL, Next, Scene};
use crate::console::Console;
use crate::editor::{Entered, LineEditor};

/// As in ollama, so that people feel at home.
const PROMPT: &str = ">>> ";

/// Why the person left a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// They are done.
    Exit,
}

/// Take lines until the person leaves. Without a model, only the commands that need none do something.
pub(crate) fn converse(
    console: &mut Console<'_>,
    editor: &mut LineEditor,
    machine: &Machine<'_>,
    mut chat: Option<&mut Chat<'_>>,
) -> Leaving {
    loop {
        let line = match editor.read_line(console, PROMPT) {
            Entered::Line(line) => line,
            Entered::Interrupt { line_was_empty } => {
                if line_was_empty {
                    console.print("/exit or Ctrl-D leaves.\n\n");
                }
                continue;
            }
            Entered::End => return Leaving::Exit,
        };
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        if text.starts_with('/') {
            match commands::run(text, &mut Scene { console, machine, chat: chat.as_deref_mut() }) {
                Ok(Next::Prompt) => {}
                Ok(Next::Leave(leaving)) => return leaving,
                Err(error) => writeln!(console, "{error}"),
            }
        } else {
            match &mut chat {
                Some(chat) => chat.say(console, text),
                None => writeln!(console, "{NO_MODEL}"),
            }
        }
        console.print("\n");
    }
}
