//! The commands: how a line that begins with "/" is read, and what `/help` says about it.
//!
//! A file per theme has the commands themselves, each with what it does. To add one, write its row and its function there.

mod conversation;
mod grammar;
mod inspection;
mod machine;
mod settings;

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;

use crate::Machine;
use crate::chat::Chat;
use crate::console::Console;
use crate::nearest::nearest;
use crate::prompt::Leaving;
use crate::shelf::Shelf;

/// What is said where a model would be needed.
pub(crate) const NO_MODEL: &str = "There is no model to talk to; /exit leaves.";

/// What a command works on.
pub(crate) struct Scene<'s, 't, 'm> {
    pub(crate) console: &'s mut Console<'t>,
    pub(crate) machine: &'s Machine<'s>,
    pub(crate) shelf: &'s Shelf<'s>,
    /// Nothing where no model could be used.
    pub(crate) chat: Option<&'s mut Chat<'m>>,
}

/// What comes after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The prompt again.
    Prompt,
    /// The prompt again, without what was entered before.
    Forget,
    /// The person leaves the conversation.
    Leave(Leaving),
}

/// What came of a command: what is next, or a sentence for the person; nothing was done then.
type Outcome = Result<Next, String>;

/// A command as a person knows it.
struct Command {
    /// Without the slash.
    name: &'static str,
    /// What people coming from other programs type.
    aliases: &'static [&'static str],
    /// What may follow the name; empty when nothing may.
    arguments: &'static str,
    /// One line for the list.
    summary: &'static str,
    /// More, for `/help NAME`; lines end in "\n".
    details: &'static str,
    /// What it does, with its arguments.
    run: fn(&mut Scene<'_, '_, '_>, &str) -> Outcome,
}

/// All commands, each theme with its heading, in the order of `/help`.
const THEMES: [(&str, &[Command]); 5] = [
    ("The conversation", &conversation::COMMANDS),
    ("How it is answered", &settings::COMMANDS),
    ("What form answers take", &grammar::COMMANDS),
    ("Looking closer", &inspection::COMMANDS),
    ("The machine", &machine::COMMANDS),
];

impl<'t, 'm> Scene<'_, 't, 'm> {
    /// Return the conversation, and the console beside it.
    ///
    /// # Errors
    /// A sentence for the person, when there is no model.
    fn chat(&mut self) -> Result<(&mut Chat<'m>, &mut Console<'t>), String> {
        match &mut self.chat {
            Some(chat) => Ok((chat, self.console)),
            None => Err(NO_MODEL.to_string()),
        }
    }
}

/// Do what `line`, which begins with "/", asks for.
///
/// # Errors
/// A sentence for the person; nothing was done then.
pub(crate) fn run(line: &str, scene: &mut Scene<'_, '_, '_>) -> Outcome {
    let (command, arguments) = parse(line)?;
    (command.run)(scene, arguments)
}

/// Return the command that `line` asks for, and its arguments.
///
/// # Errors
/// A sentence for the person, when there is no such command or it takes no arguments.
fn parse(line: &str) -> Result<(&'static Command, &str), String> {
    let (name, arguments) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let arguments = arguments.trim();
    let command = find(name)?;
    if command.arguments.is_empty() && !arguments.is_empty() {
        return Err(format!("/{} takes no arguments, but got \"{arguments}\"", command.name));
    }
    Ok((command, arguments))
}

/// Return the names of all commands as they are typed.
pub(crate) fn names() -> impl Iterator<Item = String> {
    all().map(|command| format!("/{}", command.name))
}

/// Return the text of `/help` with `argument`, the name of a command or nothing.
///
/// # Errors
/// A sentence for the person, when there is no such command.
fn help(argument: &str) -> Result<String, String> {
    if argument.is_empty() {
        return Ok(list());
    }
    let command = find(argument)?;
    Ok(format!("{}: {}\n{}", command.usage(), command.summary, command.details))
}

impl Command {
    fn usage(&self) -> String {
        format!("/{} {}", self.name, self.arguments).trim_end().to_string()
    }
}

fn all() -> impl Iterator<Item = &'static Command> + Clone {
    THEMES.iter().flat_map(|(_, commands)| commands.iter())
}

/// Return the command `name`, with or without its slash.
fn find(name: &str) -> Result<&'static Command, String> {
    let name = name.strip_prefix('/').unwrap_or(name);
    let known = all().find(|command| command.name == name || command.aliases.contains(&name));
    known.ok_or_else(|| match nearest(name, all().map(|command| command.name)) {
        Some(near) => format!("unknown command /{name}; did you mean /{near}?"),
        None => format!("unknown command /{name}; /help lists the commands"),
    })
}

fn list() -> String {
    let mut text = String::new();
    let width = all().map(|command| command.usage().len()).max().unwrap_or(0);
    for (heading, commands) in THEMES {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{heading}");
        for command in commands {
            let _ = writeln!(text, "  {:width$}  {}", command.usage(), command.summary);
        }
    }
    text.push_str("Everything else is said to the model. Ctrl-C stops its answer.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::{all, help, parse};

    #[test]
    fn reads_every_command_and_its_other_names() {
        for command in all() {
            for name in command.aliases.iter().chain([&command.name]) {
                let line = format!("/{name} ");
                assert_eq!(parse(&line).map(|(found, _)| found.name), Ok(command.name), "{line}");
            }
        }
    }

    #[test]
    fn no_name_is_taken_twice() {
        let mut names: Vec<_> =
            all().flat_map(|command| command.aliases.iter().chain([&command.name])).collect();
        names.sort();
        for pair in names.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
    }

    #[test]
    fn hands_arguments_over_without_the_blanks_around_them() {
        let arguments = |line| parse(line).map(|(command, arguments)| (command.name, arguments));
        assert_eq!(arguments("/help  set "), Ok(("help", "set")));
        assert_eq!(arguments("/set temp  0.5"), Ok(("set", "temp  0.5")));
    }

    #[test]
    fn suggests_the_nearest_command() {
        let error = |line| parse(line).map(|(command, _)| command.name).unwrap_err();
        assert_eq!(error("/hlep me"), "unknown command /hlep; did you mean /help?");
        assert_eq!(error("/sta"), "unknown command /sta; did you mean /stats?");
        assert_eq!(error("/frobnicate"), "unknown command /frobnicate; /help lists the commands");
        assert_eq!(error("/"), "unknown command /; /help lists the commands");
    }

    #[test]
    fn refuses_arguments_where_none_belong() {
        let error = parse("/exit now").map(|(command, _)| command.name).unwrap_err();
        assert_eq!(error, "/exit takes no arguments, but got \"now\"");
    }

    #[test]
    fn help_lists_all_commands_and_explains_one() {
        let list = help("").unwrap();
        for command in all() {
            assert!(list.contains(&command.usage()), "{list}");
            assert!(help(command.name).unwrap().starts_with(&command.usage()));
            assert!(command.details.lines().all(|line| line.len() < 80), "{}", command.details);
            assert!(command.details.is_empty() || command.details.ends_with('\n'), "{}", command.details);
        }
        assert!(list.contains("Ctrl-C"), "{list}");
        assert!(list.lines().all(|line| line.len() < 80), "{list}");
        assert_eq!(help("exit").unwrap(), help("/exit").unwrap());
        assert!(help("set").unwrap().contains("/set temp 0.8"));
        assert_eq!(help("sett").unwrap_err(), "unknown command /sett; did you mean /set?");
    }
}
