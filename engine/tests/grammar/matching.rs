//! What grammars match, and how much work that may be.

use std::collections::BTreeSet;
use std::time::Instant;

use engine::Error;
use engine::grammar::Grammar;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

use crate::{assert_matches, matcher, matches};

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
