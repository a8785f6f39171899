//! Commands about the machine and the shell itself.

use alloc::format;
use alloc::vec::Vec;

use engine::cpu::Processor;
use engine::session::SessionMemory;

use super::{Command, Next, Outcome, Scene, help as help_text};
use crate::Host;
use crate::prompt::Leaving;
use crate::start_screen;
use crate::units::bytes;

pub(super) const COMMANDS: [Command; 9] = [
    Command {
        name: "help",
        aliases: &["?"],
        arguments: "[command]",
        summary: "list the commands, or explain one",
        details: "",
        run: help,
    },
    Command {
        name: "model",
        aliases: &["models"],
        arguments: "[number | name]",
        summary: "go back to the menu, or to another model at once",
        details: "The conversation is left behind; nothing is started anew but the model.\n",
        run: model,
    },
    Command {
        name: "cpu",
        aliases: &[],
        arguments: "",
        summary: "show the processor, and what of it is in use",
        details: "",
        run: cpu,
    },
    Command {
        name: "memory",
        aliases: &[],
        arguments: "",
        summary: "show what the memory is used for",
        details: "",
        run: memory,
    },
    Command {
        name: "log",
        aliases: &[],
        arguments: "",
        summary: "show what the kernel logged since it began",
        details: "The last 16 KB of it are kept.\n",
        run: log,
    },
    Command {
        name: "version",
        aliases: &[],
        arguments: "",
        summary: "show which bootlm this is",
        details: "",
        run: version,
    },
    Command {
        name: "reboot",
        aliases: &[],
        arguments: "",
        summary: "start the machine again",
        details: "",
        run: reboot,
    },
    Command {
        name: "poweroff",
        aliases: &["shutdown"],
        arguments: "",
        summary: "switch the machine off",
        details: "",
        run: power_off,
    },
    Command {
        name: "exit",
        aliases: &["bye", "quit"],
        arguments: "",
        summary: "leave (also Ctrl-D)",
        details: "On a machine of its own, bootlm then switches it off.\n",
        run: exit,
    },
];

fn help(scene: &mut Scene<'_, '_, '_>, command: &str) -> Outcome {
    scene.console.print(&help_text(command)?);
    Ok(Next::Prompt)
}

fn model(scene: &mut Scene<'_, '_, '_>, wanted: &str) -> Outcome {
    Ok(Next::Leave(match wanted {
        "" => Leaving::Menu,
        _ => Leaving::Model(scene.shelf.find(wanted)?),
    }))
}

fn cpu(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let Processor { name, features } = Processor::detect();
    writeln!(scene.console, "{name}");
    writeln!(scene.console, "has        {}", features.join(", "));
    writeln!(scene.console, "cores      {} in use", scene.machine.workers.count());
    writeln!(scene.console, "computes   with {}", scene.machine.kernels.isa());
    if let Host::BareMetal { clock, .. } = scene.machine.host {
        writeln!(scene.console, "clock      {clock}");
    }
    Ok(Next::Prompt)
}

fn memory(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let files_bytes: u64 = scene.shelf.models.iter().map(|model| model.model().size_bytes()).sum();
    writeln!(scene.console, "machine    {:>9}", bytes(scene.machine.memory_bytes));
    writeln!(
        scene.console,
        "models     {:>9}  all that can be used, where the loader put them",
        bytes(files_bytes)
    );
    if let Ok((chat, console)) = scene.chat() {
        let SessionMemory { kv_cache_bytes, scratch_bytes } = chat.session().memory();
        let n_ctx = chat.session().n_ctx();
        writeln!(console, "kv_cache   {:>9}  keys and values of {n_ctx} tokens", bytes(kv_cache_bytes));
        writeln!(console, "scratch    {:>9}  what a forward pass writes on", bytes(scratch_bytes));
        if let Some(SessionMemory { kv_cache_bytes, scratch_bytes }) = chat.draft_memory() {
            let draft_bytes = kv_cache_bytes + scratch_bytes;
            writeln!(console, "draft      {:>9}  the same for the model that drafts", bytes(draft_bytes));
        }
    }
    let free_bytes = (scene.machine.free_memory)();
    writeln!(scene.console, "free       {:>9}  {free_bytes} bytes", bytes(free_bytes));
    if let Host::BareMetal { memory, .. } = scene.machine.host {
        let parts: Vec<_> = memory.iter().map(|(what, bytes)| format!("{bytes} {what}")).collect();
        let sum: u64 = memory.iter().map(|(_, bytes)| bytes).sum();
        writeln!(scene.console, "every byte: {} = {sum}", parts.join(" + "));
    }
    Ok(Next::Prompt)
}

fn log(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let Host::BareMetal { log, .. } = scene.machine.host else {
        return Err("There is no log: only bootlm's own kernel keeps one.".into());
    };
    scene.console.print(&log());
    Ok(Next::Prompt)
}

fn version(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    writeln!(scene.console, "{}", start_screen::version(scene.machine));
    if let Host::BareMetal { date, .. } = scene.machine.host
        && let Some(date) = date()
    {
        writeln!(scene.console, "It is {date} by the machine's clock.");
    }
    Ok(Next::Prompt)
}

fn reboot(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    leave_machine(scene, Leaving::Reboot)
}

fn power_off(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    leave_machine(scene, Leaving::Exit)
}

fn leave_machine(scene: &Scene<'_, '_, '_>, leaving: Leaving) -> Outcome {
    match scene.machine.host {
        Host::BareMetal { .. } => Ok(Next::Leave(leaving)),
        Host::Program => Err("The machine belongs to its operating system; /exit ends this program.".into()),
    }
}

fn exit(_: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    Ok(Next::Leave(Leaving::Exit))
}

#[cfg(test)]
mod tests {
    use engine::cpu::Processor;
    use engine::testing::ChainModel;

    use crate::testing::script::Script;
    use crate::tests::{LOG, assert_shows, bare_metal, talk_as, talk_to};
    use crate::{Ending, Host, Options};

    /// Type `typed` on a machine of `host`, and return what it shows and how it ends.
    fn on(host: Host, typed: &str) -> (String, Ending) {
        let file = ChainModel::answers("yes").file();
        let files: [(&str, &[u8]); 1] = [("chain.gguf", &file)];
        let (script, ending) = talk_as(Script::piped(typed), &files, 1 << 30, host, &Options::default());
        (script.output().into(), ending)
    }

    #[test]
    fn cpu_shows_what_there_is_and_what_is_used() {
        let output = talk_to(&ChainModel::answers("yes"), Script::piped("/cpu\n"));
        let Processor { name, features } = Processor::detect();
        assert_shows(&output, &format!(">>> /cpu\n{name}\nhas        {}\n", features.join(", ")));
        let rest = format!(
            "cores      1 in use\ncomputes   with {}\nclock      100 Hz (tests)\n",
            engine::cpu::Kernels::detect().isa()
        );
        assert_shows(&output, &rest);
        assert!(!on(Host::Program, "/cpu\n").0.contains("clock"));
    }

    #[test]
    fn memory_shows_every_part() {
        let model = ChainModel::answers("yes");
        let output = talk_to(&model, Script::piped("/memory\n"));
        let file_megabytes = model.file().len() as f64 / 1e6;
        // One layer, one head of 32, 2048 tokens of keys and values in two bytes each.
        let kv_megabytes = f64::from(32 * 2048 * 2 * 2) / 1e6;
        assert_shows(&output, ">>> /memory\nmachine      4.00 GB\n");
        assert_shows(&output, &format!("\nmodels        {file_megabytes:.1} MB  all that can be used"));
        assert_shows(
            &output,
            &format!("\nkv_cache      {kv_megabytes:.1} MB  keys and values of 2048 tokens\n"),
        );
        assert_shows(&output, "\nscratch    ");
        assert_shows(
            &output,
            "\nfree         1.07 GB  1073741824 bytes\nevery byte: 1000000 image + 3999000000 heap = 4000000000\n",
        );
    }

    #[test]
    fn version_names_the_program_and_what_it_runs_on() {
        let version = env!("CARGO_PKG_VERSION");
        let (bare, _) = on(bare_metal(), "/version\n");
        assert_shows(
            &bare,
            &format!(
                ">>> /version\nbootlm {version}, a language model on bare metal\n\
                 It is 2026-11-27 07:05:09 by the machine's clock.\n\n>>> "
            ),
        );
        let (program, _) = on(Host::Program, "/version\n");
        assert_shows(
            &program,
            &format!(">>> /version\nbootlm {version}, a language model as a program\n\n>>> "),
        );
    }

    #[test]
    fn log_shows_the_kernels_lines_where_there_is_one() {
        assert_shows(&on(bare_metal(), "/log\n").0, &format!(">>> /log\n{LOG}\n>>> "));
        assert_shows(
            &on(Host::Program, "/log\n").0,
            "There is no log: only bootlm's own kernel keeps one.\n",
        );
    }

    #[test]
    fn the_machine_is_left_only_where_it_is_bootlms_own() {
        for (command, ending) in
            [("reboot", Ending::Reboot), ("poweroff", Ending::Done), ("exit", Ending::Done)]
        {
            let (output, ended) = on(bare_metal(), &format!("/{command}\nhi\n"));
            assert!(output.ends_with(&format!(">>> /{command}\n")) && ended == ending, "{output}");
        }
        let (output, ended) = on(Host::Program, "/reboot\n/poweroff\n/exit\nhi\n");
        let refusal = "The machine belongs to its operating system; /exit ends this program.\n";
        assert_shows(&output, &format!(">>> /reboot\n{refusal}\n>>> /poweroff\n{refusal}\n>>> /exit\n"));
        assert_eq!(ended, Ending::Done);
    }
}
