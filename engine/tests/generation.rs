//! Answers of a model that says what a test wants, byte by byte.

use engine::Token;
use engine::format::gguf::Gguf;
use engine::generation::{Ending, Generation, Leftover, Limits};
use engine::model::Model;
use engine::platform::OneCore;
use engine::sampler::{Sampler, SamplerParams};
use engine::session::Session;
use engine::testing::ChainModel;
use engine::tokenizer::Tokenizer;

const NO_LIMITS: Limits<'_> = Limits { max_tokens: usize::MAX, stop: &[] };

/// What the model answers after: every byte is a token.
const PROMPT: [Token; 3] = [b'h' as Token, b'i' as Token, b'\n' as Token];

/// Return the tokens of `text`.
fn tokens(text: &str) -> Vec<Token> {
    text.bytes().map(Token::from).collect()
}

/// What an answer was.
#[derive(Debug, PartialEq)]
struct Answer {
    /// What was shown, one text per token.
    shown: Vec<String>,
    ending: Ending,
    leftover: Leftover,
    /// What the context holds behind the prompt.
    read: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        self.shown.concat() + &self.leftover.text
    }
}

/// Let `model` answer in a context of `n_ctx` tokens, while `keep_going` says so.
fn answer(
    model: &ChainModel,
    n_ctx: usize,
    limits: Limits<'_>,
    keep_going: &mut dyn FnMut() -> bool,
) -> Answer {
    let file = model.file();
    let gguf = Gguf::parse(&file).unwrap();
    let model = Model::load(&gguf).unwrap();
    let tokenizer = Tokenizer::load(&gguf).unwrap();
    let mut session = Session::new(&model, &OneCore, n_ctx).unwrap();
    session.eval(&PROMPT, &mut || true).unwrap();
    let mut sampler = Sampler::new(SamplerParams::default());
    let mut generation = Generation::new(&mut session, &mut sampler, &tokenizer, limits);
    let mut shown = Vec::new();
    let ending = loop {
        match generation.next(keep_going) {
            Ok(text) => shown.push(text),
            Err(ending) => break ending,
        }
    };
    let leftover = generation.finish();
    let read = session.tokens()[PROMPT.len()..].iter().map(|&token| token as u8).collect();
    Answer { shown, ending, leftover, read }
}

fn answer_within(model: &ChainModel, limits: Limits<'_>) -> Answer {
    answer(model, 64, limits, &mut || true)
}

#[test]
fn shows_whole_characters_until_the_model_ends() {
    let found = answer_within(&ChainModel::answers("né!"), NO_LIMITS);
    assert_eq!(found.shown, ["n", "", "é", "!"]);
    assert_eq!(found.ending, Ending::Done);
    assert_eq!(found.leftover, Leftover { text: String::new(), tokens: tokens("né!") });
    assert_eq!(found.read, "né!".as_bytes());
}

#[test]
fn a_character_that_was_never_completed_is_left_over() {
    let found = answer_within(&ChainModel::answers([b'a', 0xe6, 0xbc]), NO_LIMITS);
    assert_eq!((found.shown.concat(), found.leftover.text), ("a".into(), "\u{fffd}".into()));
}

#[test]
fn ends_at_any_token_that_ends_a_generation() {
    let ending = |text, key| {
        let model = ChainModel::answers("yes").ends_with(text, key);
        let found = answer_within(&model, Limits { max_tokens: 9, ..NO_LIMITS });
        (found.text(), found.ending)
    };
    for text in ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>"] {
        assert_eq!(ending(text, None), ("yes".into(), Ending::Done), "{text}");
    }
    // A token of no known text, but the file says what it ends: the sequence, the turn, the message.
    for key in ["eos", "eot", "eom"] {
        assert_eq!(ending("<|stop|>", Some(key)), ("yes".into(), Ending::Done), "{key}");
    }
    assert_eq!(ending("<|stop|>", None).1, Ending::MaxTokens);
}

#[test]
fn stops_at_max_tokens() {
    let model = ChainModel::repeats("abc ");
    let found = answer_within(&model, Limits { max_tokens: 6, ..NO_LIMITS });
    assert_eq!((found.text(), found.ending), ("abc ab".into(), Ending::MaxTokens));
    assert_eq!((found.read, found.leftover.tokens), (b"abc ab".to_vec(), tokens("abc ab")));
    let found = answer_within(&model, Limits { max_tokens: 0, ..NO_LIMITS });
    assert_eq!((found.text(), found.ending), ("".into(), Ending::MaxTokens));
}

#[test]
fn neither_a_stop_string_nor_what_follows_is_shown_or_stays_in_the_context() {
    let found =
        answer_within(&ChainModel::answers("Hi. User: x"), Limits { stop: &["###", " User:"], ..NO_LIMITS });
    assert_eq!((found.text(), found.ending), ("Hi.".into(), Ending::StopString));
    assert_eq!((found.read, found.leftover.tokens), (b"Hi.".to_vec(), tokens("Hi.")));
}

#[test]
fn what_only_began_like_a_stop_string_is_shown() {
    let limits = Limits { stop: &["bcX", "de"], ..NO_LIMITS };
    let found = answer_within(&ChainModel::answers("abcd"), limits);
    assert_eq!(found.shown, ["a", "", "", "bc"]);
    assert_eq!(found.leftover, Leftover { text: "d".into(), tokens: tokens("abcd") });
    assert_eq!((found.ending, found.read), (Ending::Done, b"abcd".to_vec()));
    let found = answer_within(&ChainModel::answers("abcd"), Limits { max_tokens: 3, ..limits });
    assert_eq!((found.text(), found.ending), ("abc".into(), Ending::MaxTokens));
}

#[test]
fn a_stopped_answer_leaves_the_token_that_was_being_read() {
    let mut asked = 0;
    // The chain model has one layer: an evaluation asks once.
    let found = answer(&ChainModel::repeats("abc "), 64, NO_LIMITS, &mut || {
        asked += 1;
        asked < 4
    });
    assert_eq!((found.text(), found.ending), ("abc ".into(), Ending::Stopped));
    assert_eq!((found.read, found.leftover.tokens), (b"abc".to_vec(), tokens("abc ")));
}

#[test]
fn a_full_context_ends_an_answer_or_is_shifted() {
    let file = ChainModel::repeats("abc ").file();
    let gguf = Gguf::parse(&file).unwrap();
    let model = Model::load(&gguf).unwrap();
    let tokenizer = Tokenizer::load(&gguf).unwrap();
    let mut session = Session::new(&model, &OneCore, 9).unwrap();
    session.eval(&PROMPT, &mut || true).unwrap();
    let mut sampler = Sampler::new(SamplerParams::default());
    let mut generation = Generation::new(&mut session, &mut sampler, &tokenizer, NO_LIMITS);
    let mut text = String::new();
    let mut full = |generation: &mut Generation<'_, '_>| loop {
        match generation.next(&mut || true) {
            Ok(more) => text.push_str(&more),
            Err(ending) => break (ending, text.clone()),
        }
    };
    assert_eq!(full(&mut generation), (Ending::ContextFull, "abc ab".into()));
    // Nothing has changed: nothing changes.
    assert_eq!(full(&mut generation), (Ending::ContextFull, "abc ab".into()));
    assert_eq!(generation.shift(9), 0);
    assert_eq!(generation.shift(3), 3);
    // The answer goes on where it was.
    assert_eq!(full(&mut generation), (Ending::ContextFull, "abc abc a".into()));
    assert_eq!(generation.finish(), Leftover { text: String::new(), tokens: tokens("abc abc a") });
    assert_eq!(session.tokens(), tokens("hi\n abc a"));
}

#[test]
fn a_character_goes_on_where_an_answer_does() {
    let model = ChainModel::answers([b'a', 0xe6, 0xbc, 0xa2]);
    let file = model.file();
    let gguf = Gguf::parse(&file).unwrap();
    let model = Model::load(&gguf).unwrap();
    let tokenizer = Tokenizer::load(&gguf).unwrap();
    let mut session = Session::new(&model, &OneCore, 64).unwrap();
    let mut sampler = Sampler::new(SamplerParams::default());
    let begun: [Token; 2] = [b'a' as Token, 0xe6];
    session.eval(&[&PROMPT[..], &begun].concat(), &mut || true).unwrap();
    let mut generation = Generation::new(&mut session, &mut sampler, &tokenizer, NO_LIMITS);
    generation.go_on_behind(&begun);
    let shown: Vec<String> = std::iter::from_fn(|| generation.next(&mut || true).ok()).collect();
    assert_eq!(shown, ["", "漢"]);
    assert_eq!(generation.finish(), Leftover { text: String::new(), tokens: vec![0xbc, 0xa2] });
}
