//! Commands about the machine and the shell itself.

use super::{Command, Next, Outcome, Scene, help as help_text};
use crate::prompt::Leaving;

pub(super) const COMMANDS: [Command; 2] = [
    Command {
        name: "help",
        aliases: &["?"],
        arguments: "[command]",
        summary: "list the commands, or explain one",
        details: "",
        run: help,
    },
    Command {
        name: "exit",
        aliases: &["bye", "quit"],
        arguments: "",
        summary: "leave (also Ctrl-D)",
        details: "",
        run: exit,
    },
];

fn help(scene: &mut Scene<'_, '_, '_>, command: &str) -> Outcome {
    scene.console.print(&help_text(command)?);
    Ok(Next::Prompt)
}

fn exit(_: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    Ok(Next::Leave(Leaving::Exit))
}
