//! What the documentation says is true: its commands exist, its links lead somewhere, its transcript is what happens.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use boot_tests::{Core, bootlm, linked_kernel, model, target_dir, workspace};
use regex::Regex;
use std::process::Command;

const PAGES: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "models/README.md",
    "docs/MODELS.md",
    "docs/HARDWARE.md",
    "docs/TRAINING.md",
    "docs/FAQ.md",
    "docs/BENCHMARKS.md",
];

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_make_target_that_is_named_exists() {
    let makefile = read("Makefile");
    let named = Regex::new(r"`make ([a-z]+)|^make ([a-z]+)|\| make ([a-z]+)").unwrap();
    let mut n_named = 0;
    for page in PAGES {
        for line in read(page).lines() {
            for found in named.captures_iter(line) {
                let target = found.iter().skip(1).flatten().next().unwrap().as_str();
                assert!(
                    makefile.contains(&format!("\n{target}:")),
                    "{page} names `make {target}`, which is not there"
                );
                n_named += 1;
            }
        }
    }
    assert!(n_named >= 5, "only {n_named} commands were found");
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let link = Regex::new(r"\]\(([^)#:]+)\)").unwrap();
    for page in PAGES {
        let page_dir = workspace().join(page);
        for found in link.captures_iter(&read(page)) {
            let target = page_dir.with_file_name("").join(&found[1]);
            assert!(target.exists(), "{page} links to {}, which is not there", &found[1]);
        }
    }
}

#[test]
fn the_house_is_as_the_architecture_draws_it() {
    let architecture = read("ARCHITECTURE.md");
    let house =
        architecture.split("## The house").nth(1).unwrap().split("Rooms that are planned").next().unwrap();
    let entry = Regex::new(r"(?m)^    (  )?(\S.*?)(?:   .*)?$").unwrap();
    let mut room = String::new();
    let mut n_entries = 0;
    for found in entry.captures_iter(house) {
        let names = found[2].split_whitespace().take_while(|name| name.ends_with('/') || name.contains('.'));
        for name in names {
            if found.get(1).is_none() {
                room = name.into();
            }
            let path = if found.get(1).is_some() { format!("{room}{name}") } else { name.into() };
            assert!(workspace().join(&path).exists(), "the house has {path}, the repository has not");
            n_entries += 1;
        }
    }
    assert!(n_entries > 30, "only {n_entries} entries were found");
}

/// Run the commands that write to a device, with the one that the page names: they get as far as looking for it.
#[test]
fn the_commands_for_a_stick_ask_for_the_device() {
    let page = read("docs/HARDWARE.md");
    let mut n_commands = 0;
    for line in page.lines() {
        let Some(arguments) = line.strip_prefix("sudo -E target/debug/bootlm ") else { continue };
        let output = Command::new(bootlm()).args(arguments.split(' ')).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.starts_with("bootlm: /dev/sdX: "), "{line}: {said}");
        n_commands += 1;
    }
    assert_eq!(n_commands, 2);
}

/// Run the pages' commands one after the other, as they stand there, in a folder that has what they name.
#[test]
fn the_commands_of_the_pages_work() {
    let dir = tempfile::tempdir().unwrap();
    let [models, checkpoint] =
        ["models", "models/TinyLlama-1.1B-Chat-v1.0"].map(|name| dir.path().join(name));
    fs::create_dir_all(&checkpoint).unwrap();
    fs::copy(workspace().join("models/builtin.gguf"), models.join("builtin.gguf")).unwrap();
    // A small one of the same architecture stands in for the large one.
    for file in fs::read_dir(workspace().join("tools/tests/fixtures/checkpoints/llama")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), checkpoint.join(file.file_name())).unwrap();
    }
    fs::write(dir.path().join("text.txt"), read("docs/FAQ.md")).unwrap();

    let block = Regex::new(r"(?s)```sh\n(.*?)```").unwrap();
    let program_dir = bootlm().parent().unwrap();
    let path = format!("{}:{}", program_dir.display(), std::env::var("PATH").unwrap());
    let mut n_commands = 0;
    for page in ["README.md", "docs/MODELS.md", "docs/FAQ.md"] {
        for command in block
            .captures_iter(&read(page))
            .flat_map(|found| found[1].lines().map(String::from).collect::<Vec<_>>())
        {
            if !command.starts_with("bootlm ") {
                continue; // `make` has a test of its own
            }
            n_commands += 1;
            let words: Vec<_> = command.split_whitespace().collect();
            // The network is another test's; here it is enough that there is such a model.
            if let ["bootlm", "fetch", names @ ..] = &words[..]
                && names != ["--list"]
            {
                assert!(names.iter().all(|name| catalog::find(name).is_some()), "{page}: {command}");
                continue;
            }
            let mut shell = Command::new("sh");
            shell.args(["-ec", &command]).current_dir(&dir).env("PATH", &path).stdin(Stdio::null());
            let output = shell.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{page}: {command}: {}\n{said}", output.status);
        }
    }
    assert!(n_commands > 10, "only {n_commands} commands were found");
    for made in
        ["smaller.gguf", "models/TinyLlama-1.1B-Chat-v1.0.Q8_0.gguf", "models/builtin-00001-of-00003.gguf"]
    {
        assert!(dir.path().join(made).is_file(), "{made} was not made");
    }
}

/// Run the README's first example, and compare line by line; numbers that depend on the machine may differ.
#[test]
fn the_transcript_is_what_happens() {
    let readme = read("README.md");
    let transcript = readme.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let (command, expected) = transcript.split_once('\n').unwrap();
    let typed = Regex::new(r"^\$ printf '(.*)' \| make run$").unwrap().captures(command).unwrap()[1]
        .replace("\\n", "\n");

    let _core = Core::wait_for_one();
    let mut run = Command::new(bootlm());
    run.args(["run", "--accel=tcg", "--smp=2", "--boot=pvh", "--kernel"]).arg(linked_kernel());
    run.arg("--build-dir").arg(target_dir()).arg(model());
    let mut run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    run.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = run.wait_with_output().unwrap();
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8(said).unwrap().replace('\r', "");
    assert!(output.status.success(), "{}\n{said}", output.status);

    let number = Regex::new(r"\d+(\.\d+)?").unwrap();
    let machine = Regex::new("(?m)^processor  .*").unwrap();
    let masked = |text: &str| -> Vec<String> {
        text.trim()
            .lines()
            .map(|line| number.replace_all(&machine.replace(line, "processor"), "N").into_owned())
            .collect()
    };
    assert_eq!(masked(&said), masked(expected));
}
