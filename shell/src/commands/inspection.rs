//! Commands that show what the model does, and how fast.

use alloc::format;

use engine::cpu::Isa;

use super::{Command, Next, Outcome, Scene};
use crate::units::megabytes;

pub(super) const COMMANDS: [Command; 2] = [
    Command {
        name: "stats",
        aliases: &[],
        arguments: "[on|off]",
        summary: "show the speed of the last turn and the context used",
        details: "prefill is the reading of your message, decode the writing of the answer.\n\
              A turn reads only what is new: the context still holds what was before.\n\
              /stats on shows a line after every answer.\n",
        run: stats,
    },
    Command {
        name: "info",
        aliases: &["show"],
        arguments: "",
        summary: "show what the model is made of",
        details: "Hyperparameters, the types of its tensors, tokenizer and template.\n",
        run: info,
    },
];

fn stats(scene: &mut Scene<'_, '_, '_>, argument: &str) -> Outcome {
    let machine = scene.machine;
    let (chat, console) = scene.chat()?;
    match argument {
        "" => {}
        "on" | "off" => {
            chat.shows_stats = argument == "on";
            writeln!(console, "A line after every answer: {argument}.");
            return Ok(Next::Prompt);
        }
        _ => return Err(format!("/stats takes on or off, not \"{argument}\"")),
    }
    console.print(&chat.stats());
    let (isa, n_cores) = (Isa::detect(), machine.workers.count());
    writeln!(console, "machine: {isa}, cores {n_cores}, free memory {}", megabytes((machine.free_memory)()));
    Ok(Next::Prompt)
}

fn info(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    console.print(&chat.info());
    Ok(Next::Prompt)
}
