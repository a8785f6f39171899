//! The commands: their names, what they are for, and the reading of a line that begins with "/".
//!
//! What a command does is the business of [`prompt`](crate::prompt).

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;

use crate::nearest::nearest;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Help,
    Clear,
    Stats,
    Set,
    Exit,
}

/// A command as a person knows it.
pub(crate) struct Command {
    action: Action,
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
}

/// All commands, in the order of `/help`.
const COMMANDS: [Command; 5] = [
    Command {
        action: Action::Help,
        name: "help",
        aliases: &["?"],
        arguments: "[command]",
        summary: "list the commands, or explain one",
        details: "",
    },
    Command {
        action: Action::Clear,
        name: "clear",
        aliases: &[],
        arguments: "",
        summary: "forget the conversation and start a new one",
        details: "The context is empty afterwards; settings stay.\n",
    },
    Command {
        action: Action::Stats,
        name: "stats",
        aliases: &[],
        arguments: "",
        summary: "show the speed of the last turn and the context used",
        details: "prefill is the reading of your message, decode the writing of the answer.\n\
                  A turn reads only what is new: the conversation before it is still in the context.\n",
    },
    Command {
        action: Action::Set,
        name: "set",
        aliases: &[],
        arguments: "[name [value]]",
        summary: "show or change the settings",
        details: "/set shows all settings, /set temp shows one, /set temp 0.8 changes it.\n",
    },
    Command {
        action: Action::Exit,
        name: "exit",
        aliases: &["bye", "quit"],
        arguments: "",
        summary: "leave (also Ctrl-D)",
        details: "",
    },
];

/// Return what `line`, which begins with "/", asks for, and the command's arguments.
///
/// # Errors
/// A sentence for the person, when there is no such command or it takes no arguments.
pub(crate) fn parse(line: &str) -> Result<(Action, &str), String> {
    let (name, arguments) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let arguments = arguments.trim();
    let command = find(name)?;
    if command.arguments.is_empty() && !arguments.is_empty() {
        return Err(format!("/{} takes no arguments, but got \"{arguments}\"", command.name));
    }
    Ok((command.action, arguments))
}

/// Return the text of `/help` with `argument`, the name of a command or nothing.
///
/// # Errors
/// A sentence for the person, when there is no such command.
pub(crate) fn help(argument: &str) -> Result<String, String> {
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

/// Return the command `name`, with or without its slash.
fn find(name: &str) -> Result<&'static Command, String> {
    let name = name.strip_prefix('/').unwrap_or(name);
    let known = COMMANDS.iter().find(|command| command.name == name || command.aliases.contains(&name));
    known.ok_or_else(|| match nearest(name, COMMANDS.iter().map(|command| command.name)) {
        Some(near) => format!("unknown command /{name}; did you mean /{near}?"),
        None => format!("unknown command /{name}; /help lists the commands"),
    })
}

fn list() -> String {
    let mut text = String::new();
    let width = COMMANDS.iter().map(|command| command.usage().len()).max().unwrap_or(0);
    for command in &COMMANDS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {}", command.usage(), command.summary);
    }
    text.push_str("Everything else is said to the model. Ctrl-C stops its answer.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::{Action, help, parse};

    #[test]
    fn reads_every_command_and_its_other_names() {
        for (line, action, arguments) in [
            ("/help", Action::Help, ""),
            ("/?", Action::Help, ""),
            ("/help  set ", Action::Help, "set"),
            ("/clear", Action::Clear, ""),
            ("/stats ", Action::Stats, ""),
            ("/set temp  0.5", Action::Set, "temp  0.5"),
            ("/exit", Action::Exit, ""),
            ("/bye", Action::Exit, ""),
            ("/quit", Action::Exit, ""),
        ] {
            assert_eq!(parse(line), Ok((action, arguments)), "{line}");
        }
    }

    #[test]
    fn suggests_the_nearest_command() {
        assert_eq!(parse("/hlep me").unwrap_err(), "unknown command /hlep; did you mean /help?");
        assert_eq!(parse("/st").unwrap_err(), "unknown command /st; did you mean /stats?");
        assert_eq!(
            parse("/frobnicate").unwrap_err(),
            "unknown command /frobnicate; /help lists the commands"
        );
        assert_eq!(parse("/").unwrap_err(), "unknown command /; /help lists the commands");
    }

    #[test]
    fn refuses_arguments_where_none_belong() {
        assert_eq!(parse("/exit now").unwrap_err(), "/exit takes no arguments, but got \"now\"");
    }

    #[test]
    fn help_lists_all_commands_and_explains_one() {
        let list = help("").unwrap();
        for usage in ["/help [command]", "/clear", "/stats", "/set [name [value]]", "/exit", "Ctrl-C"] {
            assert!(list.contains(usage), "{list}");
        }
        assert!(list.lines().all(|line| line.len() < 80), "{list}");
        assert_eq!(help("exit").unwrap(), help("/exit").unwrap());
        assert!(help("set").unwrap().contains("/set temp 0.8"));
        assert_eq!(help("sett").unwrap_err(), "unknown command /sett; did you mean /set?");
    }
}
