//! Commands about how answers are made.

use alloc::format;

use super::{Command, Next, Outcome, Scene};

pub(super) const COMMANDS: [Command; 2] = [
    Command {
        name: "set",
        aliases: &[],
        arguments: "[name [value]]",
        summary: "show or change the settings",
        details: "/set shows all settings, /set temp shows one, /set temp 0.8 changes it.\n\
                  After another n_ctx or kv, the next turn reads the conversation again.\n\
                  With speculative lookup, answers that repeat what was said come faster; with\n\
                  speculative NAME, a smaller model of the same vocabulary drafts. They are\n\
                  the same either way; /stats tells how much of what was drafted came.\n",
        run: set,
    },
    Command {
        name: "template",
        aliases: &[],
        arguments: "[raw|auto]",
        summary: "show or change how turns are written for the model",
        details: "/template raw writes none: the model continues the text.\n\
                  /template auto takes the model's own again.\n",
        run: template,
    },
];

fn set(scene: &mut Scene<'_, '_, '_>, arguments: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    console.print(&chat.set(arguments)?);
    Ok(Next::Prompt)
}

fn template(scene: &mut Scene<'_, '_, '_>, argument: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    match argument {
        "" => {}
        "raw" | "auto" => chat.set_template(argument == "raw")?,
        _ => return Err(format!("/template takes raw or auto, not \"{argument}\"")),
    }
    console.print(&chat.show_template());
    Ok(Next::Prompt)
}
