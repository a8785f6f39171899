//! Answers that a grammar holds to itself: what may follow, over a vocabulary; answers of a model of known opinions; and
//! samples of the default model, each of which serde_json reads.

use std::fs;
use std::path::Path;
use std::thread;

use engine::Token;
use engine::chat::ChatTemplate;
use engine::format::gguf::Gguf;
use engine::generation::{Ending, Generation, Leftover, Limits};
use engine::grammar::{Constraint, Grammar, JSON, Matcher};
use engine::model::Model;
use engine::platform::OneCore;
use engine::sampler::{Sampler, SamplerParams};
use engine::session::Session;
use engine::testing::{ChainModel, GgufWriter};
use engine::tokenizer::Tokenizer;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
use serde::Deserialize;

const MODEL: &str = "../models/SmolLM2-135M-Instruct.Q4_1.gguf";

/// Return the model file, or `None` and say so where it has not been fetched.
fn model_file() -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(MODEL);
    let file = fs::read(&path).ok();
    if file.is_none() {
        println!("SKIPPED: {} is not there; `make models` fetches it", path.display());
    }
    file
}

/// Return a file with the vocabulary of SentencePiece that has `pieces` of these kinds.
fn vocabulary(pieces: &[(&str, i32)]) -> Vec<u8> {
    let mut gguf = GgufWriter::default();
    gguf.string("tokenizer.ggml.model", "llama");
    gguf.strings(
        "tokenizer.ggml.tokens",
        &pieces.iter().map(|(piece, _)| piece.to_string()).collect::<Vec<_>>(),
    );
    gguf.i32s("tokenizer.ggml.token_type", &pieces.iter().map(|&(_, kind)| kind).collect::<Vec<_>>());
    gguf.f32s("tokenizer.ggml.scores", &vec![0.0; pieces.len()]);
    gguf.u32("tokenizer.ggml.eos_token_id", 2);
    gguf.file()
}

/// Kinds of tokens, as a file numbers them.
const TEXT: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

const PIECES: [(&str, i32); 18] = [
    ("<unk>", UNKNOWN),
    ("<s>", CONTROL),
    ("</s>", CONTROL),
    ("<0xC3>", BYTE),
    ("<0xA9>", BYTE),
    ("<0xA8>", BYTE),
    ("a", TEXT),
    ("\u{2581}", TEXT),
    ("\u{2581}a", TEXT),
    ("\u{2581}ab", TEXT),
    ("ab", TEXT),
    ("abc", TEXT),
    ("abd", TEXT),
    ("b", TEXT),
    ("bc", TEXT),
    ("c", TEXT),
    ("é", TEXT),
    ("éa", TEXT),
];

/// Return the pieces that may follow `text` under `grammar`.
fn allowed_after(grammar: &str, text: &[u8], drops_space: bool) -> Vec<&'static str> {
    let file = vocabulary(&PIECES);
    let gguf = Gguf::parse(&file).unwrap();
    let tokenizer = Tokenizer::load(&gguf).unwrap();
    let mut constraint = Constraint::new(Grammar::parse(grammar).unwrap(), &tokenizer);
    constraint.accept(text).unwrap();
    let allowed = constraint.allowed(drops_space).unwrap();
    let pieces = (0..).zip(PIECES).filter(|&(token, _)| allowed.contains(token));
    pieces.map(|(_, (piece, _))| piece).collect()
}

#[test]
fn allows_the_tokens_that_lead_on() {
    let letters = r#"root ::= "ab" ("c" | "d" "a")"#;
    assert_eq!(allowed_after(letters, b"", false), ["a", "ab", "abc", "abd"]);
    assert_eq!(allowed_after(letters, b"a", false), ["b", "bc"]);
    assert_eq!(allowed_after(letters, b"abd", false), ["a"]);
    // Only now may the answer end; what is no text never follows.
    assert_eq!(allowed_after(letters, b"abc", false), ["</s>"]);
    assert_eq!(allowed_after("root ::= \"a\"* \"b\"?", b"a", false), ["</s>", "a", "ab", "b"]);
    // No token writes it.
    assert_eq!(allowed_after("root ::= \"x\"", b"", false), [""; 0]);
    assert_eq!(allowed_after(letters, b"x", false), [""; 0]);
}

#[test]
fn allows_parts_of_characters() {
    let letters = "root ::= [éa]+";
    assert_eq!(allowed_after(letters, b"", false), ["<0xC3>", "a", "é", "éa"]);
    assert_eq!(allowed_after(letters, b"\xc3", false), ["<0xA9>"]);
    assert_eq!(allowed_after(letters, b"a\xc3\xa9", false), ["</s>", "<0xC3>", "a", "é", "éa"]);
}

#[test]
fn a_space_that_begins_an_answer_may_be_no_part_of_it() {
    let letters = "root ::= \"a\" [b ]? \"b\"";
    assert_eq!(allowed_after(letters, b"", false), ["a", "ab"]);
    assert_eq!(allowed_after(letters, b"", true), ["a", "\u{2581}", "\u{2581}a", "\u{2581}ab", "ab"]);
    assert_eq!(allowed_after(letters, b"a", false), ["\u{2581}", "b"]);
    assert_eq!(allowed_after("root ::= \" a\"", b"", true), ["\u{2581}"]);
}

/// What is allowed is what a text accepts when it is read anew, token by token, over a large vocabulary.
#[test]
fn allows_what_a_search_through_all_tokens_finds() {
    let Some(file) = model_file() else { return };
    let gguf = Gguf::parse(&file).unwrap();
    let tokenizer = Tokenizer::load(&gguf).unwrap();
    let pieces: Vec<Vec<u8>> =
        (0..tokenizer.n_vocab() as Token).map(|token| tokenizer.piece(token)).collect();
    let mut rng = Pcg32::seed_from_u64(1);
    for (grammar, length) in [(JSON, 12), ("root ::= ([^a-z]{0,9} [à-ü漢字]+)* \".\"", 8)] {
        let grammar = Grammar::parse(grammar).unwrap();
        let mut constraint = Constraint::new(grammar.clone(), &tokenizer);
        for _ in 0..2 {
            constraint.restart(&[], &tokenizer).unwrap();
            let mut matcher = Matcher::new(grammar.clone());
            let mut text = Vec::new();
            for _ in 0..length {
                let allowed = constraint.allowed(false).unwrap();
                let mut follows = Vec::new();
                for (token, piece) in (0..).zip(&pieces) {
                    matcher.restart();
                    assert!(matcher.push(&text).unwrap());
                    let may_follow = if tokenizer.is_end(token) {
                        matcher.is_complete()
                    } else {
                        !piece.is_empty() && matcher.push(piece).unwrap()
                    };
                    assert_eq!(allowed.contains(token), may_follow, "{:?}", piece.escape_ascii());
                    if may_follow && !tokenizer.is_end(token) {
                        follows.push(piece);
                    }
                }
                let Some(n) = (follows.len() as u32).checked_sub(1) else { break };
                let next = follows[(rng.next_u32() % (n + 1)) as usize];
                constraint.accept(next).unwrap();
                text.extend(next);
            }
        }
    }
}

#[test]
fn an_answer_goes_on_where_it_was() {
    let file = vocabulary(&PIECES);
    let gguf = Gguf::parse(&file).unwrap();
    let tokenizer = Tokenizer::load(&gguf).unwrap();
    let grammar = Grammar::parse("root ::= \"ab\" [é]").unwrap();
    let mut constraint = Constraint::new(grammar, &tokenizer);
    // "\u{2581}ab", of which the space was not shown, and half a character.
    constraint.restart(&[9, 3], &tokenizer).unwrap();
    let allowed = constraint.allowed(false).unwrap();
    assert_eq!((0..18).filter(|&token| allowed.contains(token)).collect::<Vec<_>>(), [4]);
    constraint.accept(b"\xa9").unwrap();
    assert!(constraint.is_finished());
    constraint.restart(&[], &tokenizer).unwrap();
    assert!(!constraint.is_finished() && constraint.allowed(false).unwrap().contains(10));
}

/// What an answer of `model` is under `grammar`: what was shown, its ending, what it left, and what was read.
fn answer(model: &ChainModel, grammar: &str, params: SamplerParams) -> (String, Ending, Leftover, Vec<u8>) {
    const PROMPT: [Token; 1] = [b'\n' as Token];
    let file = model.file();
    let gguf = Gguf::parse(&file).unwrap();
    let model = Model::load(&gguf).unwrap();
    let tokenizer = Tokenizer::load(&gguf).unwrap();
    let mut constraint = Constraint::new(Grammar::parse(grammar).unwrap(), &tokenizer);
    let mut session = Session::new(&model, &OneCore, 64).unwrap();
    session.eval(&PROMPT, &mut || true).unwrap();
    let mut sampler = Sampler::new(params);
    let limits = Limits { max_tokens: 30, stop: &[] };
    let mut generation =
        Generation::new(&mut session, &mut sampler, &tokenizer, limits).constrained(&mut constraint);
    let mut text = String::new();
    let ending = loop {
        match generation.next(&mut || true) {
            Ok(more) => text.push_str(&more),
            Err(ending) => break ending,
        }
    };
    let leftover = generation.finish();
    let read = session.tokens()[PROMPT.len()..].iter().map(|&token| token as u8).collect();
    (text, ending, leftover, read)
}

#[test]
fn an_answer_says_what_the_grammar_lets_it() {
    let greedy = SamplerParams::default;
    // The model wants to say "maybe": of what may come instead, all is equally unlikely, and the first is taken.
    let (text, ending, leftover, read) =
        answer(&ChainModel::answers("maybe"), r#"root ::= "yes" | "no""#, greedy());
    assert_eq!((&*text, ending), ("no", Ending::Done));
    // Nothing can follow: the last token need not be read to know it.
    assert_eq!(leftover, Leftover { text: String::new(), tokens: vec![b'n'.into(), b'o'.into()] });
    assert_eq!(read, b"n");
    let model = ChainModel::answers("maybe");
    assert_eq!(answer(&model, r#"root ::= "maybe" | "no""#, greedy()).0, "maybe");
    // The model ends where it wants, and where it may.
    let (text, ending, ..) = answer(&model, "root ::= [a-z]+", greedy());
    assert_eq!((&*text, ending), ("maybe", Ending::Done));
    let endless = ChainModel::repeats("abc ");
    let (text, ending, ..) = answer(&endless, r#"root ::= [a-z ]+ "!""#, greedy());
    assert_eq!((text, ending), ("abc ".repeat(8)[..30].to_string(), Ending::MaxTokens));
}

#[test]
fn a_grammar_that_no_token_can_follow_ends_the_answer() {
    let model = ChainModel::answers("yes");
    let (text, ending, leftover, read) = answer(
        &model,
        r#"root ::= "ye" "x""#,
        SamplerParams { logit_bias: vec![(b'x'.into(), f32::NEG_INFINITY)], ..SamplerParams::default() },
    );
    assert_eq!((&*text, ending), ("ye", Ending::DeadEnd));
    assert_eq!((leftover.tokens, read), (vec![b'y'.into(), b'e'.into()], b"ye".to_vec()));
}

/// Either a number or a name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thing {
    n: Option<u16>,
    name: Option<String>,
}

const THING: &str = r#"
root ::= "{\"" ("n\":" number | "name\":\"" [a-z]{1,6} "\"") "}"
number ::= [1-9] [0-9]{0,2} | "0"
"#;

#[test]
fn reads_500_samples_of_the_default_model() {
    let n_samples: u64 = 500;
    let Some(file) = model_file() else { return };
    let gguf = Gguf::parse(&file).unwrap();
    let model = Model::load(&gguf).unwrap();
    let tokenizer = Tokenizer::load(&gguf).unwrap();
    let template = ChatTemplate::of(&gguf, &tokenizer).unwrap();
    let prompt = template.first_turn(&tokenizer, None, "Name a thing or a number as JSON.");
    let grammar = Grammar::parse(THING).unwrap();
    let sample = |seeds: std::ops::Range<u64>| {
        let mut constraint = Constraint::new(grammar.clone(), &tokenizer);
        let mut session = Session::new(&model, &OneCore, 64).unwrap();
        let mut texts = Vec::new();
        for seed in seeds {
            let n_known = session.keep_common(&prompt);
            session.eval(&prompt[n_known..], &mut || true).unwrap();
            constraint.restart(&[], &tokenizer).unwrap();
            let params = SamplerParams { temperature: 1.0, seed, ..SamplerParams::default() };
            let mut sampler = Sampler::new(params);
            let limits = Limits { max_tokens: 40, stop: &[] };
            let mut generation =
                Generation::new(&mut session, &mut sampler, &tokenizer, limits).constrained(&mut constraint);
            let mut text = String::new();
            let ending = loop {
                match generation.next(&mut || true) {
                    Ok(more) => text.push_str(&more),
                    Err(ending) => break ending,
                }
            };
            assert_eq!((&ending, generation.finish().text), (&Ending::Done, String::new()), "{text}");
            texts.push(text);
        }
        texts
    };
    let texts = thread::scope(|scope| {
        let half = scope.spawn(|| sample(0..n_samples / 2));
        let other = sample(n_samples / 2..n_samples);
        [half.join().unwrap(), other].concat()
    });
    let mut different = texts.clone();
    different.sort();
    different.dedup();
    println!("{} different samples of {}, such as {}", different.len(), texts.len(), texts[0]);
    for text in &texts {
        let thing: Thing = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let is_one = match (thing.n, thing.name) {
            (Some(n), None) => n < 1000,
            (None, Some(name)) => (1..=6).contains(&name.len()),
            _ => false,
        };
        assert!(is_one, "{text}");
    }
    // They are samples.
    assert!(texts.len() as u64 == n_samples && different.len() * 2 > texts.len(), "{}", different.len());
}
