//! The text of a grammar: its errors, its limits, and damage to it.

use std::time::{Duration, Instant};

use engine::Error;
use engine::grammar::{Grammar, JSON, Matcher};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

use crate::assert_matches;

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
        let Err(error) = Grammar::parse(grammar) else { panic!("{expected}") };
        let message = error.to_string();
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
