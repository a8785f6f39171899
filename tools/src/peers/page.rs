//! What was measured, as tables for a page of the documentation, and the page with the tables in their place.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::program::{Memory, Program};
use crate::bench::host::Host;

/// Between these lines of a page stands what is written anew.
const MARKS: [&str; 2] = ["<!-- measured: begin -->\n", "<!-- measured: end -->\n"];

/// A test of a model, and how many tokens a second each program did: one number per round.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) model: String,
    pub(super) n_threads: usize,
    pub(super) test: String,
    /// `(n_programs, n_rounds)`; the first program is this one, and one that does not have the test has no numbers.
    pub(super) tokens_per_second: Vec<Vec<f64>>,
}

/// Return the median, and for two in the middle their mean.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// Return the head of the table of speeds, with a column for each of `programs`, and how often we are as fast as the others.
pub(super) fn head(programs: &[Program]) -> String {
    let mut head = "| model | threads | test |".to_string();
    let mut line = "|---|--:|---|".to_string();
    for (i, Program { name, .. }) in programs.iter().enumerate() {
        let _ = write!(head, " {name} |{}", if i > 0 { " ratio |" } else { "" });
        line += if i > 0 { "--:|--:|" } else { "--:|" };
    }
    format!("{head}\n{line}\n")
}

impl Row {
    /// Return the row of the table of speeds: medians, and behind those of each other program ours divided by them.
    pub(super) fn line(&self) -> String {
        let mut line = format!("| {} | {} | {} |", self.model, self.n_threads, self.test);
        let ours = median(&self.tokens_per_second[0]);
        let _ = write!(line, " {ours:.1} |");
        for theirs in &self.tokens_per_second[1..] {
            let _ = match theirs[..] {
                [] => write!(line, " - | - |"),
                _ => write!(line, " {:.1} | **{:.2}** |", median(theirs), ours / median(theirs)),
            };
        }
        line + "\n"
    }
}

/// Return the table of what the host can do with each number of threads.
pub(super) fn host_table(hosts: &[Host]) -> String {
    let mut table =
        "| threads | memory GB/s | meeting ns | floats GFLOP/s | halves GFLOP/s | bytes GOP/s |\n|--:|--:|--:|--:|--:|--:|\n"
            .to_string();
    for Host { n_threads, read_gb_s, meeting_ns, gop_s: [floats, halves, bytes] } in hosts {
        let _ = writeln!(
            table,
            "| {n_threads} | {read_gb_s:.1} | {meeting_ns:.0} | {floats:.0} | {halves:.0} | {bytes:.0} |"
        );
    }
    table
}

/// Return the table of what each model took to run at most, in MB.
pub(super) fn memory_table(models: &[(String, Memory)]) -> String {
    let mut table = "| model | peak | weights | context | the rest |\n|---|--:|--:|--:|--:|\n".to_string();
    for (model, Memory { model_size, context_bytes, peak_bytes }) in models {
        let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        let rest = peak_bytes.saturating_sub(model_size + context_bytes);
        let cells = [mb(*peak_bytes), mb(*model_size), mb(*context_bytes), mb(rest)];
        let _ = writeln!(table, "| {model} | {} |", cells.join(" | "));
    }
    table
}

/// Write `text` between the marks of the page `path`.
///
/// # Errors
/// When they are not there.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let name = || path.display().to_string();
    let page = fs::read_to_string(path).with_context(name)?;
    let page = replaced(&page, text).with_context(|| format!("{}: no lines {MARKS:?}", name()))?;
    fs::write(path, page).with_context(name)
}

fn replaced(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some([before, MARKS[0], text, MARKS[1], after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_medians_and_ratios_of_ours_to_theirs() {
        let programs = [Program::own().unwrap(), "other=echo".parse().unwrap()];
        let expected = "| model | threads | test | bootlm | other | ratio |\n|---|--:|---|--:|--:|--:|\n";
        assert_eq!(head(&programs), expected);
        let row = Row {
            model: "m Q4_0".into(),
            n_threads: 2,
            test: "tg8".into(),
            tokens_per_second: vec![vec![30.0, 10.0, 50.0], vec![25.0, 15.0]],
        };
        assert_eq!(row.line(), "| m Q4_0 | 2 | tg8 | 30.0 | 20.0 | **1.50** |\n");
    }

    #[test]
    fn what_a_program_does_not_do_is_a_dash() {
        let tokens_per_second = vec![vec![30.0], Vec::new(), vec![15.0]];
        let row = Row { model: "m".into(), n_threads: 1, test: "pp8".into(), tokens_per_second };
        assert_eq!(row.line(), "| m | 1 | pp8 | 30.0 | - | - | 15.0 | **2.00** |\n");
    }

    #[test]
    fn the_rest_is_what_neither_weights_nor_context_take() {
        let memory = Memory { model_size: 70_000_000, context_bytes: 20_000_000, peak_bytes: 100_000_000 };
        assert!(memory_table(&[("m".into(), memory)]).ends_with("| m | 100.0 | 70.0 | 20.0 | 10.0 |\n"));
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = |text: &str| format!("before\n{}{text}{}after\n", MARKS[0], MARKS[1]);
        assert_eq!(replaced(&page("old\n"), "new\n"), Some(page("new\n")));
        assert_eq!(replaced("no marks\n", "new\n"), None);
    }
}
