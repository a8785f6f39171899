//! Every kind of machine that QEMU has, against every other choice: each boots, answers the same, and switches itself off.
//!
//! All combinations would take days, so that each two choices of different kinds meet in at least one machine (a covering array of
//! strength two). `make test-matrix` runs all of these and writes what came of it into docs/HARDWARE.md; `cargo test` runs the first few.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use boot_tests::{Guest, image, iso, machine, ovmf, pvh, workspace};
use tools::qemu::{Boot, Machine, Medium};

/// What is asked and, in a model that was trained once and for all, answered.
const WORDS: &str = "temp=0 max_tokens=12 prompt=ROMEO: once";
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
    ("screen", &["VGA", "none"]),
];

/// The places of these kinds in a row.
const BOOT: usize = 0;
const CORES: usize = 1;
const MEMORY: usize = 2;
const PROCESSOR: usize = 3;
const MACHINE: usize = 4;
const SCREEN: usize = 5;

/// A choice of each kind.
type Row = [usize; KINDS.len()];

fn name(row: &Row, kind: usize) -> &'static str {
    KINDS[kind].1[row[kind]]
}

/// Return whether there is such a machine: a microvm has no disk, no CD and no VGA.
fn exists(row: &Row) -> bool {
    let is_micro = name(row, MACHINE) == "microvm";
    !is_micro || name(row, BOOT) == "PVH" && name(row, SCREEN) == "none"
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
    /// Where each machine's UEFI finds its variables.
    dir: PathBuf,
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
        Self { pvh, images: iso.zip(stick).map(|(iso, stick)| [iso, stick]), dir: dir.into() }
    }

    /// Return what a machine boots from, if it is there.
    fn boot(&self, row: &Row) -> Option<Boot> {
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
            true => Some(ovmf(&self.dir, "a machine with UEFI")?),
            false => None,
        };
        Some(Boot::Image { image, medium, ovmf })
    }
}

/// Boot a machine and return what came of it: "yes", or why not.
fn outcome(row: &Row, media: &Media) -> String {
    let Some(boot) = media.boot(row) else { return "not tried: no boot loader or firmware here".into() };
    let memory_mib = match name(row, MEMORY).split_at(name(row, MEMORY).len() - 1) {
        (number, "G") => number.parse::<u64>().unwrap() << 10,
        (number, _) => number.parse().unwrap(),
    };
    let processors = name(row, CORES).parse().unwrap();
    let mut command = Machine { memory_mib, processors, ..machine(boot) }.command();
    command.args(["-machine", name(row, MACHINE), "-cpu", name(row, PROCESSOR)]);
    if name(row, SCREEN) == "none" && name(row, MACHINE) != "microvm" {
        command.args(["-vga", "none"]);
    }
    match Guest::start(command).ending() {
        Ok((said, 0)) if said.contains(ANSWER) => "yes".into(),
        Ok((said, status)) => {
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
            format!("no: status {status}, after: {}", last.trim())
        }
        Err(error) => format!("no: {}", error.lines().next().unwrap_or_default()),
    }
}

/// Boot machines and return a table of what came of them, and whether all of them answered as they should.
fn table(rows: &[Row]) -> (String, bool) {
    let dir = tempfile::tempdir().unwrap();
    let media = Media::prepare(dir.path());
    let heads: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
    let mut table = format!("| {} | answers |\n|{}\n", heads.join(" | "), "---|".repeat(KINDS.len() + 1));
    let mut all = true;
    for row in rows {
        let outcome = outcome(row, &media);
        all &= !outcome.starts_with("no:");
        let choices: Vec<_> = (0..KINDS.len()).map(|kind| name(row, kind)).collect();
        let line = format!("| {} | {outcome} |\n", choices.join(" | "));
        eprint!("{line}");
        table += &line;
    }
    (table, all)
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

/// Takes a quarter of an hour on two idle cores.
#[test]
#[ignore = "`make test-matrix` runs it"]
fn all_machines_of_the_covering_set_answer_alike() {
    let start = Instant::now();
    let rows = covering();
    let (table, all) = table(&rows);
    let minutes = start.elapsed().as_secs().div_ceil(60);
    let page = workspace().join("docs/HARDWARE.md");
    let text = fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once("<!-- matrix -->\n").expect("the page has a place for the table");
    let (_, behind) = rest.split_once("<!-- end of matrix -->").expect("the table has an end");
    let n_rows = rows.len();
    let new = format!(
        "{before}<!-- matrix -->\n{n_rows} machines, one after the other in {minutes} minutes:\n\n{table}<!-- end of matrix -->{behind}"
    );
    fs::write(page, new).unwrap();
    assert!(all, "{table}");
}
