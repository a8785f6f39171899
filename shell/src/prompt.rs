//! The prompt: a line is a command or a message, until the person leaves.

use alloc::string::{String, ToString};

use crate::chat::Chat;
use crate::commands::{self, Action};
use crate::console::Console;
use crate::editor::{Entered, LineEditor};

/// As in ollama, so that people feel at home.
const PROMPT: &str = ">>> ";

/// What is said where a model would be needed.
const NO_MODEL: &str = "There is no model to talk to; /exit leaves.";

/// Take lines until the person leaves. Without a model, only the commands that need none do something.
pub(crate) fn converse(console: &mut Console, editor: &mut LineEditor, mut chat: Option<&mut Chat<'_>>) {
    loop {
        let line = match editor.read_line(console, PROMPT) {
            Entered::Line(line) => line,
            Entered::Interrupt { line_was_empty } => {
                if line_was_empty {
                    console.print("/exit or Ctrl-D leaves.\n\n");
                }
                continue;
            }
            Entered::End => return,
        };
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        if text.starts_with('/') {
            match command(text, chat.as_deref_mut()) {
                Ok(Some(shown)) => console.print(&shown),
                Ok(None) => return,
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

/// Do what the command `line` asks for and return what to show, nothing when the person leaves.
///
/// # Errors
/// A sentence for the person; nothing was done then.
fn command(line: &str, chat: Option<&mut Chat<'_>>) -> Result<Option<String>, String> {
    let (action, arguments) = commands::parse(line)?;
    let model = || chat.ok_or_else(|| NO_MODEL.to_string());
    Ok(Some(match action {
        Action::Help => commands::help(arguments)?,
        Action::Clear => {
            model()?.clear();
            String::from("The conversation is forgotten.\n")
        }
        Action::Stats => model()?.stats(),
        Action::Set => model()?.settings.set(arguments)?,
        Action::Exit => return Ok(None),
    }))
}
