//! Every kind of machine that QEMU has, against every other choice: each boots to the prompt, answers what a person types there, the same
//! on all of them, and switches itself off.
//!
//! All combinations would take days, so that each two choices of different kinds meet in at least one machine (a covering array of
//! strength two). `make test-matrix` runs all of these and writes what came of it into docs/HARDWARE.md; `cargo test` runs the first few.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use boot_tests::{Core, Guest, LIMIT_MS, PROMPT, image, iso, machine, ovmf, pvh, workspace};
use tools::desk::Desk;
use tools::qemu::{Boot, Console, Machine, Medium};

/// What the kernel is told, what it is asked and, in a model that was trained once and for all, what it answers.
const WORDS: &str = "temp=0 max_tokens=12";
const QUESTION: &str = "ROMEO:";
const ANSWER: &str = "I am a man, I am a man";

/// How many machines are enough for every day.
const SHORT: usize = 4;

/// The kinds of choices, each with all that there are.
const KINDS: [(&str, &[&str]); 6] = [
    ("boot", &["PVH", "BIOS CD", "BIOS disk", "UEFI CD", "UEFI stick"]),
    ("cores", &["1", "2", "4", "8"]),
    ("memory", &["128M", "512M", "3G", "6G"]),
    ("processor", &["max", "Haswell", "qemu64"]),
    ("machine", &["q35", "pc", "microvm"]),
    ("console", &["screen, serial", "serial", "screen, PS/2", "screen, USB"]),
];

/// The places of these kinds in a row.
const BOOT: usize = 0;
const CORES: usize = 1;
const MEMORY: usize = 2;
const PROCESSOR: usize = 3;
const MACHINE: usize = 4;
const CONSOLE: usize = 5;

/// A choice of each kind.
type Row = [usize; KINDS.len()];

fn name(row: &Row, kind: usize) -> &'static str {
    KINDS[kind].1[row[kind]]
}

/// Return whether there is such a machine: a microvm has no disk, no CD and no screen, and by PVH nobody tells where the picture memory is, so
/// that only the serial line shows something.
fn exists(row: &Row) -> bool {
    let (by_pvh, is_micro) = (name(row, BOOT) == "PVH", name(row, MACHINE) == "microvm");
    match name(row, CONSOLE) {
        "serial" => by_pvh || !is_micro,
        "screen, serial" => !is_micro,
        _ => !by_pvh && !is_micro,
    }
}

fn all_rows() -> Vec<Row> {
    let mut rows = vec![[0; KINDS.len()]];
    for (kind, (_, choices)) in KINDS.iter().enumerate() {
        let with = |row: &Row| {
            let row = *row;
            (0..choices.len()).map(move |choice| {
                let mut row = row;
                row[kind] = choice;
                row
            })
        };
        rows = rows.iter().flat_map(with).collect();
    }
    rows.into_iter().filter(exists).collect()
}

/// Return the pairs of choices that meet in `row`.
fn pairs(row: &Row) -> impl Iterator<Item = [(usize, usize); 2]> {
    let row = *row;
    (0..row.len()).flat_map(move |a| (a + 1..row.len()).map(move |b| [(a, row[a]), (b, row[b])]))
}

/// Return machines in which all pairs that can meet do: the one with the most new pairs next, the first of several.
fn covering() -> Vec<Row> {
    let rows = all_rows();
    let mut missing: std::collections::BTreeSet<_> = rows.iter().flat_map(pairs).collect();
    let mut chosen = Vec::new();
    while !missing.is_empty() {
        let n_new = |row: &&Row| pairs(row).filter(|pair| missing.contains(pair)).count();
        let best = rows.iter().rev().max_by_key(n_new).expect("there are machines");
        missing.retain(|pair| pairs(best).all(|met| met != *pair));
        chosen.push(*best);
    }
    chosen
}

/// What the machines boot from.
struct Media {
    pvh: Boot,
    /// An ISO, and the image of a stick; none without Limine.
    images: Option<[PathBuf; 2]>,
}

impl Media {
    fn prepare(dir: &Path) -> Self {
        let builtin = [workspace().join("models/builtin.gguf")];
        let pvh = match pvh(&builtin, dir) {
            Boot::Pvh { kernel, initrd, command_line } => {
                Boot::Pvh { kernel, initrd, command_line: format!("{command_line} {WORDS}") }
            }
            other => other,
        };
        let test = "machines that boot by Limine";
        let iso = iso(dir, WORDS, &builtin, test);
        let stick = iso.as_ref().and_then(|_| image(&dir.join("bootlm.img"), WORDS, &builtin, test));
        Self { pvh, images: iso.zip(stick).map(|(iso, stick)| [iso, stick]) }
    }

    /// Return what a machine boots from, if it is there; its UEFI finds its variables in `dir`.
    fn boot(&self, row: &Row, dir: &Path) -> Option<Boot> {
        let [iso, stick] = match name(row, BOOT) {
            "PVH" => return Some(self.pvh.clone()),
            _ => self.images.clone()?,
        };
        let (image, medium) = match name(row, BOOT) {
            "BIOS CD" | "UEFI CD" => (iso, Medium::Cd),
            "BIOS disk" => (stick, Medium::Disk),
            _ => (stick, Medium::Stick),
        };
        // Fresh variables: in those of another machine, what it booted from comes first.
        let ovmf = match name(row, BOOT).starts_with("UEFI") {
            true => Some(ovmf(dir, "a machine with UEFI")?),
            false => None,
        };
        Some(Boot::Image { image, medium, ovmf })
    }
}

/// Boot a machine and return what came of it: "yes", or why not.
///
/// `dir` is for its files alone.
fn outcome(row: &Row, media: &Media, dir: &Path) -> String {
    let Some(boot) = media.boot(row, dir) else { return "not tried: no boot loader or firmware here".into() };
    let memory_mib = match name(row, MEMORY).split_at(name(row, MEMORY).len() - 1) {
        (number, "G") => number.parse::<u64>().unwrap() << 10,
        (number, _) => number.parse().unwrap(),
    };
    let processors = name(row, CORES).parse().unwrap();
    let console = if has_serial(row) { Console::Terminal } else { Console::Desk };
    let mut command = Machine { memory_mib, processors, console, ..machine(boot) }.command();
    command.args(["-machine", name(row, MACHINE), "-cpu", name(row, PROCESSOR)]);
    match name(row, CONSOLE) {
        "serial" if name(row, MACHINE) != "microvm" => drop(command.args(["-vga", "none"])),
        "screen, USB" => {
            command.args(["-machine", "i8042=off", "-device", "qemu-xhci,id=usb"]);
            command.args(["-device", "usb-kbd,bus=usb.0"]);
        }
        _ => {}
    }
    let result = if has_serial(row) { converse(command) } else { converse_at_desk(command) };
    match result {
        Ok(()) => "yes".into(),
        Err(why) => format!("no: {why}"),
    }
}

fn has_serial(row: &Row) -> bool {
    name(row, CONSOLE).ends_with("serial")
}

/// Ask over the serial line.
///
/// # Errors
/// What came instead of the answer, or of the end.
fn converse(command: Command) -> Result<(), String> {
    let mut guest = Guest::start(command);
    guest.look_for(PROMPT)?;
    guest.send(&format!("{QUESTION}\r"));
    let said = guest.look_for(PROMPT)?;
    if !said.contains(ANSWER) {
        return Err(format!("it says {said:?}"));
    }
    guest.send("/poweroff\r");
    match guest.ending()? {
        (_, 0) => Ok(()),
        (said, status) => Err(format!("status {status} after {said:?}")),
    }
}

/// Ask at the keyboard, and read the answer on the screen.
///
/// # Errors
/// What came instead of the answer, or of the end.
fn converse_at_desk(command: Command) -> Result<(), String> {
    let _core = Core::wait_for_one();
    let limit = Duration::from_millis(LIMIT_MS);
    let why = |error| format!("{error:#}");
    let mut desk = Desk::start(command).map_err(why)?;
    let at_prompt = format!("{PROMPT}█");
    desk.wait_for(&at_prompt, limit).map_err(why)?;
    enter(&mut desk, QUESTION)?;
    desk.wait_for(ANSWER, limit).map_err(why)?;
    desk.wait_for(&at_prompt, limit).map_err(why)?;
    enter(&mut desk, "/poweroff")?;
    let status = desk.end(limit).map_err(why)?;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

/// Type `line` at the prompt, and Enter when it stands there. When the host lets the machine wait for seconds, QEMU drops keys; then it
/// is typed again.
fn enter(desk: &mut Desk, line: &str) -> Result<(), String> {
    const TRIES: usize = 10;
    let why = |error| format!("{error:#}");
    let typed = format!("{PROMPT}{line}█");
    let mut shown = Err("nothing was typed".into());
    for _ in 0..TRIES {
        desk.press("ctrl-u").map_err(why)?;
        desk.type_text(line).map_err(why)?;
        shown = desk.wait_for(&typed, Duration::from_millis(LIMIT_MS) / TRIES as u32).map_err(why);
        if shown.is_ok() {
            break;
        }
    }
    shown?;
    desk.press("ret").map_err(why)
}

/// Boot machines, two at a time, and return a table of what came of them, and whether all of them answered as they should.
fn table(rows: &[Row]) -> (String, bool) {
    let dir = tempfile::tempdir().unwrap();
    let media = &Media::prepare(dir.path());
    let dir = dir.path();
    let outcomes: Vec<String> = thread::scope(|scope| {
        let start = |(number, row)| {
            scope.spawn(move || {
                let outcome = outcome(row, media, &dir.join(format!("{number}")));
                eprintln!("| {} | {outcome} |", cells(row));
                outcome
            })
        };
        let machines: Vec<_> = rows.iter().enumerate().map(start).collect();
        machines.into_iter().map(|it| it.join().unwrap_or_else(|_| "no: the test panics".into())).collect()
    });
    let heads: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
    let mut table = format!("| {} | answers |\n|{}\n", heads.join(" | "), "---|".repeat(KINDS.len() + 1));
    for (row, outcome) in rows.iter().zip(&outcomes) {
        // A cell is a line.
        let outcome = outcome.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        table += &format!("| {} | {outcome} |\n", cells(row));
    }
    (table, outcomes.iter().all(|outcome| !outcome.starts_with("no:")))
}

fn cells(row: &Row) -> String {
    (0..KINDS.len()).map(|kind| name(row, kind)).collect::<Vec<_>>().join(" | ")
}

#[test]
fn every_two_choices_that_can_meet_do() {
    let rows = covering();
    let met: std::collections::BTreeSet<_> = rows.iter().flat_map(pairs).collect();
    assert!(all_rows().iter().flat_map(pairs).all(|pair| met.contains(&pair)));
    assert!(rows.len() < 40, "{} machines", rows.len());
}

#[test]
fn machines_of_many_kinds_answer_alike() {
    let (table, all) = table(&covering()[..SHORT]);
    assert!(all, "{table}");
}

/// Takes minutes on two cores.
#[test]
#[ignore = "`make test-matrix` runs it"]
fn all_machines_of_the_covering_set_answer_alike() {
    let start = Instant::now();
    let rows = covering();
    let (table, all) = table(&rows);
    let seconds = start.elapsed().as_secs();
    let page = workspace().join("docs/HARDWARE.md");
    let text = fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once("<!-- matrix -->\n").expect("the page has a place for the table");
    let (_, behind) = rest.split_once("<!-- end of matrix -->").expect("the table has an end");
    let n_rows = rows.len();
    let new = format!(
        "{before}<!-- matrix -->\n{n_rows} machines, two at a time, in {seconds} s on a host without KVM:\n\n{table}<!-- end of matrix -->{behind}"
    );
    fs::write(page, new).unwrap();
    assert!(all, "{table}");
}
