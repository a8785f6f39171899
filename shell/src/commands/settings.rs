//! Commands about how answers are made.

use super::{Command, Next, Outcome, Scene};

pub(super) const COMMANDS: [Command; 1] = [Command {
    name: "set",
    aliases: &[],
    arguments: "[name [value]]",
    summary: "show or change the settings",
    details: "/set shows all settings, /set temp shows one, /set temp 0.8 changes it.\n",
    run: set,
}];

fn set(scene: &mut Scene<'_, '_, '_>, arguments: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    console.print(&chat.settings.set(arguments)?);
    Ok(Next::Prompt)
}
