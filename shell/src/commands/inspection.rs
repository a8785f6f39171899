//! Commands that show what the model does, and how fast.

use alloc::format;
use alloc::string::String;

use super::{Command, Next, Outcome, Scene};
use crate::settings::number;
use crate::units::megabytes;

/// More of them fill the screen and tell nothing.
const MAX_LIKELIEST: usize = 50;

pub(super) const COMMANDS: [Command; 7] = [
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
    Command {
        name: "tokens",
        aliases: &["tokenize"],
        arguments: "text",
        summary: "show the tokens of a text",
        details: "With their numbers in the vocabulary, as if the text were said.\n",
        run: tokens,
    },
    Command {
        name: "logprobs",
        aliases: &[],
        arguments: "[n]",
        summary: "show the likeliest tokens where the conversation ends",
        details: "The last tokens with the logarithms of their probabilities, each with the n (5)\n\
                  likeliest in its place, before any sampling; and what would come next.\n",
        run: logprobs,
    },
    Command {
        name: "perplexity",
        aliases: &["ppl"],
        arguments: "text",
        summary: "show how well the model foresees a text",
        details: "From as many equally likely tokens the model has to choose at each place, on\n\
                  average. The text stands alone; the conversation stays as it is.\n",
        run: perplexity,
    },
    Command {
        name: "bench",
        aliases: &[],
        arguments: "",
        summary: "measure the speed as llama-bench does",
        details: "pp512 is the reading of 512 tokens, tg128 the writing of 128, in a context of\n\
                  their own. Ctrl-C stops it.\n",
        run: bench,
    },
    Command {
        name: "trace",
        aliases: &[],
        arguments: "",
        summary: "show how long each step of a token takes",
        details: "The last token of the conversation is read once more for it.\n",
        run: trace,
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
    let (isa, n_cores) = (machine.kernels.isa(), machine.workers.count());
    writeln!(console, "machine: {isa}, cores {n_cores}, free memory {}", megabytes((machine.free_memory)()));
    Ok(Next::Prompt)
}

fn info(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    console.print(&chat.info());
    Ok(Next::Prompt)
}

fn tokens(scene: &mut Scene<'_, '_, '_>, text: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    console.print(&chat.show_tokens(needed(text, "/tokens")?));
    Ok(Next::Prompt)
}

fn logprobs(scene: &mut Scene<'_, '_, '_>, n: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    let n = match n {
        "" => 5,
        n => number(n, 1..=MAX_LIKELIEST)
            .ok_or_else(|| format!("/logprobs takes 1 to {MAX_LIKELIEST}, not \"{n}\""))?,
    };
    chat.show_log_probabilities(console, n)?;
    Ok(Next::Prompt)
}

fn perplexity(scene: &mut Scene<'_, '_, '_>, text: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    let shown = chat.perplexity(console, needed(text, "/perplexity")?)?;
    console.print(&shown);
    Ok(Next::Prompt)
}

fn bench(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    chat.bench(console)?;
    Ok(Next::Prompt)
}

fn trace(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    let shown = chat.trace(console)?;
    console.print(&shown);
    Ok(Next::Prompt)
}

/// Return the text that `command` cannot do without.
fn needed<'a>(text: &'a str, command: &str) -> Result<&'a str, String> {
    if text.is_empty() { Err(format!("{command} takes a text: {command} Hello, world!")) } else { Ok(text) }
}
