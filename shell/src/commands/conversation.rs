//! Commands about what was said.

use super::{Command, Next, Outcome, Scene};

pub(super) const COMMANDS: [Command; 1] = [Command {
    name: "clear",
    aliases: &[],
    arguments: "",
    summary: "forget the conversation and start a new one",
    details: "The context is empty afterwards; settings stay.\n",
    run: clear,
}];

fn clear(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    chat.clear();
    console.print("The conversation is forgotten.\n");
    Ok(Next::Prompt)
}
