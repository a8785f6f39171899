//! Random grammars against a naive recogniser, which is written here and shares nothing with the engine's.

use std::collections::BTreeSet;

use engine::grammar::{Grammar, Matcher};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

/// A pattern of a random grammar.
#[derive(Debug)]
enum Pattern {
    Literal(&'static str),
    Rule(usize),
    Sequence(Vec<Pattern>),
    Choice(Vec<Pattern>),
    Repeat(Box<Pattern>, u32, Option<u32>),
}

const N_RULES: usize = 3;

fn random_pattern(rng: &mut Pcg32, depth: usize) -> Pattern {
    let mut below = |n: u32| rng.next_u32() % n;
    let kind = if depth == 0 { below(5) } else { below(12) };
    match kind {
        0..=3 => Pattern::Literal(["a", "b", "ab", ""][below(4) as usize]),
        4 => Pattern::Rule(below(N_RULES as u32) as usize),
        5..=7 => Pattern::Sequence((0..1 + below(3)).map(|_| random_pattern(rng, depth - 1)).collect()),
        8 | 9 => Pattern::Choice((0..1 + below(3)).map(|_| random_pattern(rng, depth - 1)).collect()),
        _ => {
            let min = below(3);
            let max = [None, Some(min), Some(min + 1), Some(min + 2)][below(4) as usize];
            Pattern::Repeat(Box::new(random_pattern(rng, depth - 1)), min, max)
        }
    }
}

/// Return `pattern` in GBNF.
fn written(pattern: &Pattern) -> String {
    let all = |patterns: &[Pattern], between: &str| {
        format!("({})", patterns.iter().map(written).collect::<Vec<_>>().join(between))
    };
    match pattern {
        Pattern::Literal(text) => format!("{text:?}"),
        Pattern::Rule(0) => "root".into(),
        Pattern::Rule(number) => format!("r{number}"),
        Pattern::Sequence(items) => all(items, " "),
        Pattern::Choice(items) => all(items, " | "),
        Pattern::Repeat(what, min, max) => {
            let times = match (min, max) {
                (0, None) => "*".into(),
                (1, None) => "+".into(),
                (0, Some(1)) => "?".into(),
                (min, None) => format!("{{{min},}}"),
                (min, Some(max)) if min == max => format!("{{{min}}}"),
                (min, Some(max)) => format!("{{{min},{max}}}"),
            };
            format!("({}){times}", written(what))
        }
    }
}

/// A recogniser by definition: where can a pattern end that begins here?
struct Naive<'g> {
    rules: &'g [Pattern],
    text: &'g [u8],
    /// The rules that are being matched, each from where.
    active: Vec<(usize, usize)>,
    /// A rule that came back to itself before it had read anything.
    left_recursive: bool,
}

impl Naive<'_> {
    fn ends(&mut self, pattern: &Pattern, from: usize) -> BTreeSet<usize> {
        match pattern {
            Pattern::Literal(text) => {
                let is_there = self.text[from..].starts_with(text.as_bytes());
                is_there.then_some(from + text.len()).into_iter().collect()
            }
            Pattern::Rule(number) => {
                if self.active.contains(&(*number, from)) {
                    self.left_recursive = true;
                    return BTreeSet::new();
                }
                self.active.push((*number, from));
                let rules = self.rules;
                let ends = self.ends(&rules[*number], from);
                self.active.pop();
                ends
            }
            Pattern::Sequence(items) => {
                let mut ends = BTreeSet::from([from]);
                for item in items {
                    ends = ends.into_iter().flat_map(|end| self.ends(item, end)).collect();
                }
                ends
            }
            Pattern::Choice(items) => items.iter().flat_map(|item| self.ends(item, from)).collect(),
            Pattern::Repeat(what, min, max) => {
                let mut ends = BTreeSet::new();
                let mut now = BTreeSet::from([from]);
                // After as many rounds as there are places, there is nothing new.
                let rounds = max.unwrap_or(min + self.text.len() as u32 + 1);
                for round in 0..=rounds {
                    if round >= *min {
                        ends.extend(&now);
                    }
                    if round < rounds {
                        now = now.into_iter().flat_map(|end| self.ends(what, end)).collect();
                    }
                }
                ends
            }
        }
    }
}

/// Return whether the whole of `text` matches, and whether a rule was left-recursive on the way.
fn naive(rules: &[Pattern], text: &[u8]) -> (bool, bool) {
    let mut naive = Naive { rules, text, active: Vec::new(), left_recursive: false };
    let matches = naive.ends(&Pattern::Rule(0), 0).contains(&text.len());
    (matches, naive.left_recursive)
}

/// Return all texts of up to `len` letters a and b.
fn texts(len: usize) -> Vec<Vec<u8>> {
    let mut texts = vec![Vec::new()];
    let mut start = 0;
    for _ in 0..len {
        let end = texts.len();
        for i in start..end {
            texts.extend([b'a', b'b'].map(|letter| [&texts[i][..], &[letter]].concat()));
        }
        start = end;
    }
    texts
}

#[test]
fn random_grammars_match_what_a_naive_recogniser_says() {
    let mut rng = Pcg32::seed_from_u64(3);
    let texts = texts(6);
    let [mut n_followed, mut n_recursive, mut n_endless, mut n_matched, mut n_completed, mut n_open] = [0; 6];
    for _ in 0..1000 {
        let rules: Vec<Pattern> = (0..N_RULES).map(|_| random_pattern(&mut rng, 3)).collect();
        let lines = rules
            .iter()
            .enumerate()
            .map(|(number, rule)| format!("{} ::= {}\n", written(&Pattern::Rule(number)), written(rule)));
        let grammar: String = lines.collect();
        let decided: Vec<(bool, bool)> = texts.iter().map(|text| naive(&rules, text)).collect();
        let grammar = match Grammar::parse(&grammar) {
            Ok(parsed) => {
                assert!(decided.iter().all(|&(_, recursive)| !recursive), "{grammar}");
                n_followed += 1;
                (grammar, parsed)
            }
            Err(error) if error.to_string().contains("never comes to an end") => {
                assert!(decided.iter().all(|&(matches, _)| !matches), "{grammar}");
                n_endless += 1;
                continue;
            }
            Err(error) => {
                assert!(error.to_string().contains("left recursion"), "{error}\n{grammar}");
                n_recursive += 1;
                continue;
            }
        };
        let (grammar, mut matcher) = (grammar.0, Matcher::new(grammar.1));
        for (text, &(matches, _)) in texts.iter().zip(&decided) {
            assert_eq!(crate::matches(&mut matcher, text), matches, "{:?}\n{grammar}", text.escape_ascii());
            n_matched += u32::from(matches);
            matcher.restart();
            if !matcher.push(text).unwrap() {
                let mut longer = texts.iter().zip(&decided);
                let is_wrong = longer.any(|(longer, decided)| decided.0 && longer.starts_with(text));
                assert!(!is_wrong, "{:?} leads on\n{grammar}", text.escape_ascii());
            } else if text.len() == 3 {
                match completed(&matcher, text.clone()) {
                    Some(whole) => {
                        assert!(naive(&rules, &whole).0, "{:?}\n{grammar}", whole.escape_ascii());
                        n_completed += 1;
                    }
                    None => n_open += 1,
                }
            }
        }
    }
    println!(
        "{n_followed} followed, {n_recursive} left-recursive, {n_endless} endless, {n_matched} texts matched, \
         {n_completed} beginnings completed, {n_open} not soon"
    );
    assert!(n_followed > 300 && n_recursive > 100 && n_endless > 10 && n_matched > 1500);
    assert!(n_completed > 300 && n_open * 20 < n_completed);
}

/// Return `text` with the shortest end that makes it whole, if a short one does.
fn completed(matcher: &Matcher, text: Vec<u8>) -> Option<Vec<u8>> {
    let mut beginnings = vec![(matcher.clone(), text)];
    for _ in 0..8 {
        if let Some(at) = beginnings.iter().position(|(matcher, _)| matcher.is_complete()) {
            return Some(beginnings.swap_remove(at).1);
        }
        let mut longer = Vec::new();
        for (matcher, text) in beginnings {
            for letter in [b'a', b'b'] {
                let mut matcher = matcher.clone();
                if matcher.push(&[letter]).unwrap() {
                    longer.push((matcher, [&text[..], &[letter]].concat()));
                }
            }
        }
        beginnings = longer;
        beginnings.truncate(64);
    }
    None
}
