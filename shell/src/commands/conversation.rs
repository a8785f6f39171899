//! Commands about what was said.

use alloc::format;
use alloc::string::String;

use super::{Command, Next, Outcome, Scene};
use crate::settings::number;

pub(super) const COMMANDS: [Command; 7] = [
    Command {
        name: "system",
        aliases: &[],
        arguments: "[text]",
        summary: "show or set the system message",
        details: "It comes before everything that is said, what was said already included.\n\
                  /system default takes the one of the model's template, /system none removes it.\n",
        run: system,
    },
    Command {
        name: "history",
        aliases: &[],
        arguments: "",
        summary: "show what was said",
        details: "With the tokens that each message takes in the context.\n",
        run: history,
    },
    Command {
        name: "undo",
        aliases: &[],
        arguments: "",
        summary: "take the last message and its answer back",
        details: "",
        run: undo,
    },
    Command {
        name: "regen",
        aliases: &["retry"],
        arguments: "",
        summary: "answer the last message again",
        details: "The new answer replaces the old. With temp 0 or a fixed seed it is the same.\n",
        run: regen,
    },
    Command {
        name: "continue",
        aliases: &[],
        arguments: "",
        summary: "go on with an answer that was stopped",
        details: "Where Ctrl-C, max_tokens, a stop string or a full context ended it.\n",
        run: go_on,
    },
    Command {
        name: "demo",
        aliases: &[],
        arguments: "[n]",
        summary: "show or say what to try first with this model",
        details: "/demo lists them, /demo 1 says the first.\n",
        run: demo,
    },
    Command {
        name: "clear",
        aliases: &["reset"],
        arguments: "",
        summary: "forget the conversation and start a new one",
        details: "Settings and the system message stay. What was said is wiped out of the\nmemory, and with it what Up brings back.\n",
        run: clear,
    },
];

fn system(scene: &mut Scene<'_, '_, '_>, text: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    let default = chat.default_system().map(String::from);
    match text {
        "" => match (chat.system(), default) {
            (Some(system), _) => writeln!(console, "{system}"),
            (None, Some(default)) => {
                writeln!(console, "There is none; /system default would be:\n{default}");
            }
            (None, None) => console.print("There is none; /system TEXT sets one.\n"),
        },
        "none" => {
            chat.set_system(None);
            console.print("There is no system message any more.\n");
        }
        "default" => {
            let default = default.ok_or("The model's template has no system message of its own.")?;
            writeln!(console, "The system message is now:\n{default}");
            chat.set_system(Some(default));
        }
        text => {
            chat.set_system(Some(text.into()));
            console.print("The system message is set.\n");
        }
    }
    Ok(Next::Prompt)
}

fn history(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    console.print(&chat.history());
    Ok(Next::Prompt)
}

fn undo(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    writeln!(console, "Taken back: {}", chat.undo()?);
    Ok(Next::Prompt)
}

fn regen(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    chat.regenerate(console)?;
    Ok(Next::Prompt)
}

fn go_on(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    chat.go_on(console)?;
    Ok(Next::Prompt)
}

fn demo(scene: &mut Scene<'_, '_, '_>, n: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    let demos = chat.demos;
    if demos.is_empty() {
        return Err("No demos are known for this model; say anything.".into());
    }
    if n.is_empty() {
        for (number, demo) in (1..).zip(demos) {
            writeln!(console, "{number}  {demo}");
        }
        return Ok(Next::Prompt);
    }
    let number =
        number(n, 1..=demos.len()).ok_or_else(|| format!("/demo takes 1 to {}, not \"{n}\"", demos.len()))?;
    let demo = demos[number - 1];
    writeln!(console, "{demo}");
    chat.say(console, demo);
    Ok(Next::Prompt)
}

fn clear(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    chat.clear();
    console.print("The conversation is forgotten.\n");
    Ok(Next::Forget)
}
