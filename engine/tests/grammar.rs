//! Grammars: their text, what they match, and what they do not survive. What a random grammar matches is decided by a naive
//! recogniser written here; what JSON is, by serde_json.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use engine::Error;
use engine::grammar::{Grammar, JSON, Matcher};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

#[track_caller]
fn matcher(grammar: &str) -> Matcher {
    Matcher::new(Grammar::parse(grammar).unwrap_or_else(|error| panic!("{error}\n{grammar}")))
}

/// Return whether all of `text` matches, reading it byte by byte.
fn matches(matcher: &mut Matcher, text: impl AsRef<[u8]>) -> bool {
    matcher.restart();
    text.as_ref().iter().all(|&byte| matcher.push(&[byte]).unwrap()) && matcher.is_complete()
}

#[track_caller]
fn assert_matches(grammar: &str, accepted: &[&str], refused: &[&str]) {
    let mut matcher = matcher(grammar);
    for text in accepted {
        assert!(matches(&mut matcher, text), "{grammar} must match {text:?}");
    }
    for text in refused {
        assert!(!matches(&mut matcher, text), "{grammar} must not match {text:?}");
    }
}

#[test]
fn reads_every_construct() {
    assert_matches(r#"root ::= "abc""#, &["abc"], &["", "ab", "abcd", "abd"]);
    assert_matches("root ::= ", &[""], &["a"]);
    assert_matches(r#"root ::= "\n\t\r\\\"\[\]\x41\u00e9\U0001F600-""#, &["\n\t\r\\\"[]Aé😀-"], &[""]);
    assert_matches("root ::= [a-cx]", &["a", "b", "c", "x"], &["d", "", "ab", "-"]);
    assert_matches("root ::= [^a-c\\n]", &["d", "é", "😀"], &["a", "b", "c", "\n", ""]);
    assert_matches("root ::= [a-] [-b] [\\]\\-]", &["a-]", "--]", "-b-"], &["b-]", "abc"]);
    assert_matches("root ::= [à-ü一-龥]", &["à", "é", "漢"], &["a", "ý", "あ"]);
    assert_matches("root ::= [\\x30-\\x39\\u4e00]", &["0", "9", "一"], &["x", ":"]);
    assert_matches("root ::= .", &["a", "\n", "\0", "é", "\u{10ffff}"], &["", "ab"]);
    assert_matches(r#"root ::= "a" | "b" | | "cd""#, &["a", "b", "", "cd"], &["c", "ab"]);
    assert_matches(r#"root ::= ("a" | "b") "c""#, &["ac", "bc"], &["a", "c"]);
    assert_matches(r#"root ::= "ab"*"#, &["", "ab", "abab"], &["a", "aba", "abb"]);
    assert_matches(r#"root ::= [ab]+ "c"?"#, &["a", "ab", "bac"], &["", "c", "acc"]);
    assert_matches(r#"root ::= ("a" "b"?){2}"#, &["aa", "aba", "abab"], &["a", "aaa", "abb"]);
    assert_matches(r#"root ::= "a"{2,}"#, &["aa", "aaaaa"], &["", "a"]);
    assert_matches(r#"root ::= "a"{ 1 , 3 }"#, &["a", "aa", "aaa"], &["", "aaaa"]);
    assert_matches(r#"root ::= "a"{0,2} "b"{0}"#, &["", "a", "aa"], &["b", "aaa"]);
    assert_matches(r#"root ::= ("a"? "b"*)* "c""#, &["c", "abc", "bbac"], &["", "ab"]);
    // A repetition belongs to all of the literal, even with space between.
    assert_matches(r#"root ::= "ab" + "c""#, &["abc", "ababc"], &["abbc", "c"]);
    assert_matches("root ::= a_1 B-2\na_1 ::= \"x\"\nB-2 ::= \"y\"", &["xy"], &["x"]);
}

#[test]
fn newlines_and_comments_stand_where_they_may() {
    let grammar = "# a comment\n\r\n  root ::= # what follows\n\n (\n \"a\" # inside\n | \"b\"\n) \"c\" |\n # here too\n \"d\" # end\n\tother ::= \"e\" #";
    assert_matches(grammar, &["ac", "bc", "d"], &["a", "e", "c"]);
    assert_matches("root ::= \"a\"\r\nb ::= \"#\" # \"", &["a"], &[]);
    let line_ends = Grammar::parse("root ::= \"a\"\n | \"b\"").unwrap_err().to_string();
    assert!(
        line_ends.starts_with("line 2, column 2 of the grammar: expected the name of a rule"),
        "{line_ends}"
    );
}

#[test]
fn recursion_matches_what_nests() {
    let brackets = r#"root ::= ("(" root ")" | "[" root "]")*"#;
    assert_matches(brackets, &["", "()", "([])[]", "((()))"], &["(", "(]", "())"]);
    let expression = "root ::= term ([-+] term)*\nterm ::= [0-9]+ | \"(\" root \")\"";
    assert_matches(expression, &["1", "1+(2-34)", "((7))"], &["", "1+", "(1", "+1"]);
    // Recursion at the end of a rule, and behind what may be nothing.
    assert_matches("root ::= \"a\" root | \"b\"", &["b", "aaab"], &["", "aaa"]);
    assert_matches("root ::= gap \"a\" root | \"\"\ngap ::= \" \"?", &["", "a a", " aa"], &[" ", "a "]);
}

#[test]
fn an_error_says_where_it_is_what_should_be_there_and_what_is() {
    for (grammar, line, column, expected, found) in [
        ("", 1, 1, "a rule named root", "the end of the grammar"),
        ("a ::= \"x\"\n", 2, 1, "a rule named root", "the end of the grammar"),
        ("root \"a\"", 1, 6, "::=", "'\"'"),
        ("root = \"a\"", 1, 6, "::=", "'='"),
        ("::= \"a\"", 1, 1, "the name of a rule", "':'"),
        ("root ::= \"a", 1, 12, "the closing \"", "the end of the grammar"),
        ("root ::= \"a\n\"", 1, 12, "the closing \"", "the end of the line"),
        ("root ::= [a", 1, 12, "the closing ]", "the end of the grammar"),
        ("root ::= [a-\nb]", 1, 13, "the closing ]", "the end of the line"),
        ("root ::= \"é\" [z-a]", 1, 15, "from a smaller character to a larger", "'z' to 'a'"),
        ("root ::= []", 1, 10, "a class of characters", "none in it"),
        ("root ::= [^\\x00-\\U0010FFFF]", 1, 10, "a class of characters", "none in it"),
        ("root ::= \"\\q\"", 1, 12, "behind a backslash", "'q'"),
        ("root ::= \"\\x4\"", 1, 14, "2 hexadecimal digits", "'\"'"),
        ("root ::= \"\\u12\"", 1, 15, "4 hexadecimal digits", "'\"'"),
        ("root ::= \"\\ud800\"", 1, 11, "no surrogate", "D800"),
        ("root ::= \"\\U00110000\"", 1, 11, "up to 10FFFF", "110000"),
        ("root ::= (\"a\"\n\"b\"", 2, 4, "or )", "the end of the grammar"),
        ("root ::= \"a\")", 1, 13, "the end of the line", "')'"),
        ("root ::= \"a\" ::= b", 1, 14, "the end of the line", "':'"),
        ("root ::= * \"a\"", 1, 10, "an item before its repetition", "'*'"),
        ("root ::= \"a\"**", 1, 14, "one repetition of an item", "'*'"),
        ("root ::= \"a\"+?", 1, 14, "one repetition of an item", "'?'"),
        ("root ::= \"a\"{,3}", 1, 14, "a number", "','"),
        ("root ::= \"a\"{3", 1, 15, ", or }", "the end of the grammar"),
        ("root ::= \"a\"{3,2}", 1, 16, "at least 3", "2"),
        ("root ::= \"a\"{1,1000000}", 1, 16, "at most 2000 times", "1000000"),
        ("root ::= \"a\"{99999999999999999999999}", 1, 14, "at most 2000 times", "99999999999999999999..."),
        ("root ::= <think>", 1, 10, "a literal, [class], name", "'<'"),
        ("root ::= \"a\" a\n", 1, 14, "a rule that is defined", "a, which is not"),
        (
            "root ::= \"a\"\nroot ::= \"b\"",
            2,
            1,
            "a name that has no rule yet",
            "root, which has one in line 1",
        ),
        ("root ::= \"a\"\n  b ::= b \"a\"", 2, 3, "comes back to itself", "left recursion: b begins with b"),
        (
            "root ::= (\"x\" | a)\na ::= (b)+ \"y\"\nb ::= c?\nc ::= \"z\" | [a]* a",
            2,
            1,
            "comes back to itself",
            "left recursion: a begins with b begins with c begins with a",
        ),
        ("root ::= root", 1, 1, "comes back to itself", "left recursion: root begins with root"),
        ("root ::= \"a\" root", 1, 1, "a root that some text matches", "never comes to an end"),
    ] {
        match Grammar::parse(grammar) {
            Err(Error::BadGrammar { line: l, column: c, expected: e, found: f }) => {
                assert_eq!((l, c), (line, column), "{grammar:?}: {e}, {f}");
                assert!(e.contains(expected), "{grammar:?}: {e:?} does not say {expected:?}");
                assert!(f.contains(found), "{grammar:?}: {f:?} does not say {found:?}");
            }
            other => panic!("{grammar:?} gives {:?}", other.err()),
        }
    }
    let message = Grammar::parse("root ::= \"a\"\n\nroot ::=").unwrap_err().to_string();
    assert_eq!(
        message,
        "line 3, column 1 of the grammar: expected a name that has no rule yet, got root, which has one in line 1"
    );
}

#[test]
fn hostile_grammars_are_refused_with_the_limit() {
    let refused = |grammar: &str, expected: &str| {
        let message = Grammar::parse(grammar).err().expect(expected).to_string();
        assert!(message.contains(expected) && message.len() < 400, "{message}");
    };
    let parentheses = |n: usize| format!("root ::= {}\"a\"{}", "(".repeat(n), ")".repeat(n));
    refused(&parentheses(65), "column 74 of the grammar: expected at most 64 parentheses");
    refused(&parentheses(100_000), "at most 64 parentheses");
    assert_matches(&parentheses(64), &["a"], &[]);
    refused(&format!("root ::= \"{}\"", "a".repeat(300_000)), "at most 262144 bytes, got 300011 bytes");
    refused(&format!("root ::= \"{}\"", "a".repeat(100_000)), "at most 65536 steps");
    refused(&format!("{} ::= \"a\"", "n".repeat(65)), "a name of at most 64 characters, got one of 65");
    // Names stay few in a message, however many there are.
    let chain: String = (0..5000).map(|i| format!("r{i} ::= r{}\n", (i + 1) % 5000)).collect();
    refused(
        &format!("root ::= \"a\" r0\n{chain}"),
        "left recursion: r0 begins with r1 begins with r2 begins",
    );
}

#[test]
fn nested_repetitions_stay_small() {
    let start = Instant::now();
    let mut nested = matcher(r#"root ::= ((("ab"{2000}){2000}){2000}){2000}"#);
    assert!(nested.push("ab".repeat(5000).as_bytes()).unwrap() && !nested.is_complete());
    assert!(!nested.push(b"b").unwrap());
    let mut optional = matcher(r#"root ::= ((("a"?){0,20}){0,20}){0,20}"#);
    assert!(optional.push("a".repeat(100).as_bytes()).unwrap() && optional.is_complete());
    let mut optional = matcher(r#"root ::= ((("a"?){0,2000}){0,2000}){0,2000}"#);
    let ways = optional.push("a".repeat(1000).as_bytes());
    assert_eq!(ways, Err(Error::GrammarTooAmbiguous { max_steps: 1 << 20 }));
    println!("{:?}", start.elapsed());
}

#[test]
fn ambiguity_does_not_multiply() {
    // 2^n and more ways to read a text.
    for (grammar, text) in [
        ("root ::= s\ns ::= \"a\" s \"b\" | \"a\" s \"c\" | \"\"", "a".repeat(200) + &"bc".repeat(100)),
        ("root ::= s\ns ::= \"a\" | \"a\" s | \"a\" s s | \"a\" s s s", "a".repeat(40)),
        ("root ::= (\"a\"* \"a\"*)* \"b\"", "a".repeat(500) + "b"),
        ("root ::= \"a\"{0,2000} \"a\"{0,2000} \"a\"", "a".repeat(50)),
    ] {
        let mut matcher = matcher(grammar);
        assert!(matches(&mut matcher, &text), "{grammar}");
    }
    // Where it does, that is an error, and soon.
    let rules: String = (0..200).map(|i| format!("s{i} ::= \"a\" (root | \"\") \"a\"{{0,100}}\n")).collect();
    let all: Vec<String> = (0..200).map(|i| format!("s{i}")).collect();
    let mut matcher = matcher(&format!("root ::= {}\n{rules}", all.join(" | ")));
    let start = Instant::now();
    let error = (0..1000).find_map(|_| matcher.push(b"a").err()).expect("the limit");
    assert_eq!(error, Error::GrammarTooAmbiguous { max_steps: 1 << 20 });
    assert!(error.to_string().contains("too many ways"), "{error}");
    println!("{:?}", start.elapsed());
    // The text is what it was, and a new one can begin.
    matcher.restart();
    assert!(matcher.push(b"aa").unwrap() && matcher.is_complete());
}

#[test]
fn what_is_accepted_can_be_completed() {
    // `b` never ends, so that no text leads into it.
    let mut half = matcher("root ::= \"a\" b | \"cd\" (b | \"e\")\nb ::= \"x\" b | \"x\" b \"y\"");
    assert!(!half.push(b"a").unwrap());
    half.restart();
    assert!(half.push(b"cd").unwrap() && !half.is_complete());
    assert!(!half.clone().push(b"x").unwrap() && half.push(b"e").unwrap() && half.is_finished());
}

#[test]
fn bytes_are_followed_as_far_as_a_character_begins_with_them() {
    let can = |grammar: &str, bytes: &[u8]| matcher(grammar).push(bytes).unwrap();
    let all: Vec<char> = ('\0'..=char::MAX).step_by(97).collect();
    for grammar in ["root ::= .", "root ::= [^x]", "root ::= [à-ü😀-😿]", "root ::= [\\u0800-\\uD7FF\\uE000]"]
    {
        let mut matcher = matcher(grammar);
        let mut beginnings = BTreeSet::new();
        for c in ('\0'..=char::MAX).filter(|&c| match grammar {
            "root ::= ." => true,
            "root ::= [^x]" => c != 'x',
            "root ::= [à-ü😀-😿]" => ('à'..='ü').contains(&c) || ('😀'..='😿').contains(&c),
            _ => ('\u{800}'..='\u{d7ff}').contains(&c) || c == '\u{e000}',
        }) {
            let mut buffer = [0; 4];
            let bytes = c.encode_utf8(&mut buffer).as_bytes();
            beginnings.extend((1..=bytes.len().min(2)).map(|end| bytes[..end].to_vec()));
        }
        for first in 0..=u8::MAX {
            for bytes in std::iter::once(vec![first]).chain((0..=u8::MAX).map(|second| vec![first, second])) {
                matcher.restart();
                assert_eq!(matcher.push(&bytes).unwrap(), beginnings.contains(&bytes), "{grammar} {bytes:?}");
            }
        }
    }
    // Half a character is no text.
    let mut half = matcher("root ::= .*");
    assert!(half.is_complete() && half.push("é".as_bytes()).unwrap() && half.is_complete());
    assert!(half.push(&"漢".as_bytes()[..2]).unwrap() && !half.is_complete());
    assert!(all.iter().all(|c| can("root ::= .", c.to_string().as_bytes())));
}

#[test]
fn states_are_forgotten_and_the_text_is_not() {
    let mut brackets = matcher(r#"root ::= "(" root ")" | "[" root "]" | "x""#);
    let mut rng = Pcg32::seed_from_u64(1);
    // Each level is a state of its own: some 40 steps.
    let open: Vec<u8> = (0..200_000).map(|_| b"(["[rng.next_u32() as usize % 2]).collect();
    for bytes in open.chunks(7) {
        assert!(brackets.push(bytes).unwrap());
    }
    assert!(brackets.push(b"x").unwrap());
    for (i, &byte) in open.iter().rev().enumerate() {
        let (right, wrong) = if byte == b'(' { (b")", b"]") } else { (b"]", b")") };
        if i % 10_000 == 0 {
            assert!(!brackets.clone().push(wrong).unwrap());
        }
        assert!(brackets.push(right).unwrap());
    }
    assert!(brackets.is_complete() && brackets.is_finished());
}

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
            assert_eq!(self::matches(&mut matcher, text), matches, "{:?}\n{grammar}", text.escape_ascii());
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

fn random_json(rng: &mut Pcg32, depth: usize) -> serde_json::Value {
    let mut below = |n: u32| rng.next_u32() % n;
    let kind = if depth == 0 { below(6) } else { below(8) };
    match kind {
        0 => serde_json::Value::Null,
        1 => below(2).eq(&0).into(),
        2 => (i64::from(below(u32::MAX)) - (1 << 31)).into(),
        3 => (f64::from(below(1 << 20)) / 256.0).into(),
        4 | 5 => {
            let characters = ['a', '"', '\\', '\n', '\0', 'é', '漢', '😀', '/', '\u{7f}'];
            (0..below(5)).map(|_| characters[below(10) as usize]).collect::<String>().into()
        }
        6 => (0..below(4)).map(|_| random_json(rng, depth - 1)).collect::<Vec<_>>().into(),
        _ => {
            let members = (0..below(4)).map(|i| (format!("k{i}\t"), random_json(rng, depth - 1)));
            serde_json::Value::Object(members.collect())
        }
    }
}

#[test]
fn json_that_programs_write_is_matched() {
    let mut rng = Pcg32::seed_from_u64(4);
    let mut json = matcher(JSON);
    for _ in 0..2000 {
        let value = serde_json::Value::from(vec![random_json(&mut rng, 3)]);
        for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            assert!(matches(&mut json, &text), "{text}");
        }
    }
    for text in [r#"{"a": 1, "b": [ true, null ]}"#, "{\n\t\"a\": -0.5e-10\n}", r#"["\ud83D\uDE00\/"]"#] {
        assert!(matches(&mut json, text), "{text}");
    }
}

#[test]
fn what_is_matched_is_json() {
    let mut rng = Pcg32::seed_from_u64(5);
    let mut json = matcher(JSON);
    let bytes = br#"[]{}",:\u0dDeE+-.19truefalsn /"#;
    let [mut n_matched, mut n_refused, mut n_only_serde] = [0; 3];
    for _ in 0..20_000 {
        let value = serde_json::Value::from(vec![random_json(&mut rng, 2)]);
        let mut text = serde_json::to_string(&value).unwrap().into_bytes();
        for _ in 0..rng.next_u32() % 3 {
            let at = rng.next_u32() as usize % text.len();
            let byte = bytes[rng.next_u32() as usize % bytes.len()];
            match rng.next_u32() % 3 {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
            if text.is_empty() {
                break;
            }
        }
        let is_json = serde_json::from_slice::<serde_json::Value>(&text).is_ok();
        let is_matched = matches(&mut json, &text);
        assert!(is_json || !is_matched, "{}", String::from_utf8_lossy(&text));
        n_matched += u32::from(is_matched);
        n_refused += u32::from(!is_json);
        n_only_serde += u32::from(is_json && !is_matched);
    }
    println!("{n_matched} matched, {n_refused} are no JSON, {n_only_serde} are and were not matched");
    assert!(n_matched > 5000 && n_refused > 5000 && n_only_serde < n_matched / 10);
    for text in
        ["\"a\"", "1", "[1e400]", "[01]", "[\"\\ud800\"]", "[1,]", "{\"a\":1,}", "[]  ", "[\"\n\"]", ""]
    {
        assert!(!matches(&mut json, text), "{text}");
    }
}

/// Damaged grammars are refused or followed, in a time that has a limit.
#[test]
fn survives_10_000_damaged_grammars() {
    let mut rng = Pcg32::seed_from_u64(6);
    let seeds = [
        JSON,
        "root ::= ( \"1. \" move \" \" move \"\\n\" ([1-9] [0-9]? \". \" move)+ )\nmove ::= (a | b) [+#]?\na ::= [a-h]{1,2}\nb ::= \"O-O\" \"-O\"?",
        "root ::= term ([-+*/] term)* | \"\"\nterm ::= [^\\x00-\\x1f]{2,} | \"(\" root \")\" | . \"\\u00e9\"",
    ];
    let pieces = [
        "(", ")", "*", "+", "?", "{2000}", "{0,9}", "|", "\n", "root", "\"", "[", "]", "\\", "::=", "#", "é",
        ".",
    ];
    let mut n_followed = 0;
    let mut slowest = Duration::ZERO;
    let rounds = 10_000;
    for round in 0..rounds {
        let mut text: Vec<char> = seeds[round % seeds.len()].chars().collect();
        for _ in 0..1 + rng.next_u32() % 4 {
            let at = rng.next_u32() as usize % text.len();
            match rng.next_u32() % 4 {
                0 => drop(text.remove(at)),
                1 => text[at] = char::from(rng.next_u32() as u8 % 128),
                2 => {
                    let end = text.len().min(at + rng.next_u32() as usize % 20);
                    let copy = text[at..end].to_vec();
                    let to = rng.next_u32() as usize % text.len();
                    text.splice(to..to, copy);
                }
                _ => {
                    let piece = pieces[rng.next_u32() as usize % pieces.len()];
                    text.splice(at..at, piece.chars());
                }
            }
        }
        let text: String = text.into_iter().collect();
        let start = Instant::now();
        if let Ok(grammar) = Grammar::parse(&text) {
            n_followed += 1;
            let mut matcher = Matcher::new(grammar);
            for _ in 0..20 {
                // What is possible, as long as it is.
                let first = rng.next_u32() as u8;
                let mut bytes = (0..=u8::MAX).map(|i| first.wrapping_add(i));
                let Some(byte) = bytes.find(|&byte| matcher.clone().push(&[byte]) == Ok(true)) else {
                    assert!(matcher.is_finished() && matcher.is_complete(), "{text}");
                    break;
                };
                assert_eq!(matcher.push(&[byte]), Ok(true));
            }
        }
        slowest = slowest.max(start.elapsed());
    }
    println!("{n_followed} of {rounds} were followed; the slowest took {slowest:?}");
    assert!(n_followed > rounds / 20 && n_followed < rounds - rounds / 20, "{n_followed} of {rounds}");
    // A limit that a hang would pass and a slow machine does not.
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
}
