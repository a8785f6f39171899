//! Tokenizers against the `tokenizers` and `sentencepiece` packages: `tests/reference/*.py` made the fixtures, each of which
//! records the versions. All of them encode the texts of `tokenizer_smollm.json`, in its order.

use std::path::Path;
use std::string::{String, ToString};
use std::time::{Duration, Instant};
use std::vec::Vec;
use std::{format, fs, println, vec};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::pretokenize::PreTokenizer;
use super::*;
use crate::testing::{GgufWriter, InTurn};

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn texts() -> Vec<String> {
    #[derive(Deserialize)]
    struct Fixture {
        texts: Vec<Text>,
    }
    #[derive(Deserialize)]
    struct Text {
        text: String,
    }
    fixture::<Fixture>("tokenizer_smollm.json").texts.into_iter().map(|text| text.text).collect()
}

/// Return a GGUF file with a SentencePiece vocabulary.
fn spm(pieces: &[String], scores: &[f32], types: &[i32], adds_space_prefix: bool) -> Vec<u8> {
    let mut gguf = GgufWriter::default();
    gguf.string("tokenizer.ggml.model", "llama");
    gguf.strings("tokenizer.ggml.tokens", pieces);
    gguf.f32s("tokenizer.ggml.scores", scores);
    gguf.i32s("tokenizer.ggml.token_type", types);
    gguf.bool("tokenizer.ggml.add_space_prefix", adds_space_prefix);
    gguf.file()
}

/// Return a GGUF file with a byte-level vocabulary.
fn bpe(pre: &str, pieces: &[String], merges: &[String], types: &[i32]) -> Vec<u8> {
    let mut gguf = GgufWriter::default();
    gguf.string("tokenizer.ggml.model", "gpt2");
    gguf.string("tokenizer.ggml.pre", pre);
    gguf.strings("tokenizer.ggml.tokens", pieces);
    gguf.strings("tokenizer.ggml.merges", merges);
    gguf.i32s("tokenizer.ggml.token_type", types);
    gguf.file()
}

fn with_tokenizer<T>(file: &[u8], test: impl FnOnce(&Tokenizer<'_>) -> T) -> T {
    let gguf = Gguf::parse(file).unwrap();
    test(&Tokenizer::load(&gguf).unwrap())
}

fn decode(tokenizer: &Tokenizer<'_>, tokens: &[Token]) -> String {
    let mut decoder = tokenizer.decoder();
    let text: String = tokens.iter().map(|&token| decoder.push(token)).collect();
    text + &decoder.finish()
}

#[track_caller]
fn assert_same(name: &str, tokenizer: &Tokenizer<'_>, texts: &[String], ids: &[Vec<Token>], lossy: &[usize]) {
    assert_eq!(texts.len(), ids.len());
    for (i, (text, ids)) in texts.iter().zip(ids).enumerate() {
        assert_eq!(tokenizer.encode(text), *ids, "{name}: {text:?}");
        if !lossy.contains(&i) {
            assert_eq!(decode(tokenizer, ids), *text, "{name}");
        }
    }
}

#[test]
fn words_equal_those_of_the_published_patterns() {
    #[derive(Deserialize)]
    struct Fixture {
        pre_tokenizers: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        name: String,
        words: Vec<Vec<usize>>,
    }
    let texts = texts();
    assert!(texts.len() > 400);
    let Fixture { pre_tokenizers } = fixture("pretokenizers.json");
    assert_eq!(pre_tokenizers.len(), 5);
    for Row { name, words } in pre_tokenizers {
        let mut gguf = GgufWriter::default();
        gguf.string("tokenizer.ggml.pre", &name);
        let pre_tokenizer = PreTokenizer::of(&Gguf::parse(&gguf.file()).unwrap()).unwrap();
        assert_eq!(texts.len(), words.len());
        for (text, words) in texts.iter().zip(words) {
            let mut found = Vec::new();
            pre_tokenizer.for_each_word(text, |word| found.push(word.len()));
            assert_eq!(found, words, "{name}: {text:?}");
        }
    }
}

#[derive(Deserialize)]
struct Gpt2 {
    bytes: String,
    merges: Vec<String>,
    ids: Vec<Vec<Token>>,
}

impl Gpt2 {
    fn file(&self, pre: &str, more: &[(&str, i32)]) -> Vec<u8> {
        let mut pieces: Vec<String> = self.bytes.chars().map(|c| c.to_string()).collect();
        pieces.extend(self.merges.iter().map(|merge| merge.replace(' ', "")));
        let mut types = vec![NORMAL; pieces.len()];
        pieces.extend(more.iter().map(|(piece, _)| piece.to_string()));
        types.extend(more.iter().map(|(_, kind)| kind));
        bpe(pre, &pieces, &self.merges, &types)
    }
}

#[test]
fn gpt2_tokens_equal_those_of_the_tokenizers_package() {
    let gpt2: Gpt2 = fixture("tokenizer_gpt2.json");
    with_tokenizer(&gpt2.file("gpt-2", &[]), |tokenizer| {
        assert_eq!(tokenizer.n_vocab(), 5256);
        assert!(!tokenizer.adds_bos());
        assert_same("gpt-2", tokenizer, &texts(), &gpt2.ids, &[]);
    });
}

#[test]
fn merges_lead_to_the_first_token_of_their_text_in_whatever_order_they_are() {
    let pieces = ["a", "b", "c", "bc", "ab", "bc"].map(String::from);
    for (merges, n_pieces) in [(["a b", "b c"], 6), (["a b", "b c"], 5), (["b c", "a b"], 5)] {
        let file = bpe("gpt-2", &pieces[..n_pieces], &merges.map(String::from), &vec![NORMAL; n_pieces]);
        with_tokenizer(&file, |tokenizer| {
            assert_eq!((tokenizer.encode("ab"), tokenizer.encode("bc")), (vec![4], vec![3]), "{merges:?}");
        });
    }
}

#[test]
fn any_number_of_cores_find_the_same_merges_and_the_same_mistake() {
    let mut gpt2: Gpt2 = fixture("tokenizer_gpt2.json");
    let good = gpt2.file("gpt-2", &[]);
    let wrong = gpt2.merges.len() * 3 / 4;
    gpt2.merges[wrong] = "no-token a".to_string();
    let bad = gpt2.file("gpt-2", &[]);
    for n_cores in [1, 2, 3, 64] {
        let gguf = Gguf::parse(&good).unwrap();
        let tokenizer = Tokenizer::load_with(&gguf, &InTurn(n_cores)).unwrap();
        assert_same("gpt-2", &tokenizer, &texts(), &gpt2.ids, &[]);
        let error = Tokenizer::load_with(&Gguf::parse(&bad).unwrap(), &InTurn(n_cores)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(&format!("merge {wrong} of")) && error.contains("no-token a"), "{error}");
    }
}

#[test]
fn of_several_tokens_with_one_text_the_first_that_text_is_made_of_counts() {
    let pieces = ["<unk>", "a", "a", "a"].map(String::from);
    with_tokenizer(&spm(&pieces, &[0.0; 4], &[UNKNOWN, UNUSED, NORMAL, NORMAL], false), |tokenizer| {
        assert_eq!(tokenizer.encode("a"), [2]);
    });
}

#[derive(Deserialize)]
struct Spms {
    vocabularies: Vec<SpmRow>,
}

#[derive(Deserialize)]
struct SpmRow {
    name: String,
    adds_space_prefix: bool,
    pieces: Vec<String>,
    scores: Vec<f32>,
    types: Vec<i32>,
    ids: Vec<Vec<Token>>,
    lossy: Vec<usize>,
}

#[test]
fn sentencepiece_tokens_equal_those_of_its_package() {
    let Spms { vocabularies } = fixture("tokenizer_spm.json");
    assert_eq!(vocabularies.len(), 3);
    for SpmRow { name, adds_space_prefix, pieces, scores, types, ids, lossy } in vocabularies {
        with_tokenizer(&spm(&pieces, &scores, &types, adds_space_prefix), |tokenizer| {
            assert_eq!((tokenizer.adds_bos(), tokenizer.adds_eos()), (true, false));
            assert_same(&name, tokenizer, &texts(), &ids, &lossy);
        });
    }
}

/// A vocabulary of letters and all bytes, with a token of every kind; the numbers of the tokens stand before the bytes'.
fn spm_of_every_kind() -> Vec<u8> {
    let tokens = [
        ("<unk>", UNKNOWN, 0.0),
        ("<s>", CONTROL, 0.0),
        ("</s>", CONTROL, 0.0),
        ("\u{2581}", NORMAL, -1.0),
        ("a", NORMAL, -2.0),
        ("b", NORMAL, -2.0),
        ("ab", NORMAL, -0.5),
        ("\u{2581}a", NORMAL, -0.75),
        ("<s", NORMAL, -0.1),
        ("<", NORMAL, -3.0),
        ("s", NORMAL, -3.0),
        (">", NORMAL, -3.0),
        ("[x]", USER_DEFINED, 0.0),
        ("[x][y]", USER_DEFINED, 0.0),
        ("aab", UNUSED, 9.0),
        ("[x", NORMAL, -1.0),
    ];
    let mut pieces: Vec<String> = tokens.iter().map(|(piece, ..)| piece.to_string()).collect();
    let mut types: Vec<i32> = tokens.iter().map(|&(_, kind, _)| kind).collect();
    let mut scores: Vec<f32> = tokens.iter().map(|&(.., score)| score).collect();
    pieces.extend((0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")));
    types.extend([BYTE; 256]);
    scores.extend([0.0; 256]);
    spm(&pieces, &scores, &types, true)
}

#[test]
fn control_tokens_are_written_by_programs_only() {
    with_tokenizer(&spm_of_every_kind(), |tokenizer| {
        // Typed: a space before, then "<s" and ">", which merge no further.
        assert_eq!(tokenizer.encode("<s>"), [3, 8, 11]);
        assert_eq!(tokenizer.encode("<0x0A>")[..2], [3, 9]);
        // Written: the token itself; a text begins anew behind it.
        assert_eq!(tokenizer.encode_with_control("<s>"), [1]);
        assert_eq!(tokenizer.encode_with_control("<s>ab</s>ab"), [1, 3, 6, 2, 3, 6]);
        assert_eq!(tokenizer.encode_with_control("<unk>"), [0]);
        // Each part as its writer may; what lies between control tokens is one text, whoever wrote it.
        let parts = [Part::Written("<s>a"), Part::Typed("b<s>"), Part::Written("</s>")];
        assert_eq!(tokenizer.encode_parts(&parts), [1, 3, 6, 8, 11, 2]);
        for parts in [
            [Part::Written("<"), Part::Typed("s>")],
            [Part::Typed("<"), Part::Written("s>")],
            [Part::Written("<s"), Part::Written(">")],
        ] {
            assert_eq!(tokenizer.encode_parts(&parts), [3, 8, 11], "{parts:?}");
        }
    });
}

#[test]
fn user_defined_tokens_are_found_in_any_text_and_the_longest_first() {
    with_tokenizer(&spm_of_every_kind(), |tokenizer| {
        for encode in [Tokenizer::encode, Tokenizer::encode_with_control] {
            assert_eq!(encode(tokenizer, "[x]"), [3, 12]);
            assert_eq!(encode(tokenizer, "a[x]a[x][y]b"), [7, 12, 4, 13, 5]);
        }
        // Across parts too.
        assert_eq!(tokenizer.encode_parts(&[Part::Written("a[x]["), Part::Typed("y]")]), [7, 13]);
    });
    let gpt2: Gpt2 = fixture("tokenizer_gpt2.json");
    let file = gpt2.file("gpt-2", &[("<|im_end|>", USER_DEFINED), ("  é", USER_DEFINED)]);
    with_tokenizer(&file, |tokenizer| {
        // What ends a generation is a control token, whatever the file says.
        assert!(tokenizer.is_control(5256) && tokenizer.is_end(5256));
        assert!(!tokenizer.encode("<|im_end|>").contains(&5256));
        assert_eq!(tokenizer.encode_with_control("<|im_end|>"), [5256]);
        assert_eq!(tokenizer.encode("  é"), [5257]);
        assert_eq!(decode(tokenizer, &[5257, 5256]), "  é");
    });
}

#[track_caller]
fn assert_refused(file: &[u8], words: &[&str]) {
    let message = Tokenizer::load(&Gguf::parse(file).unwrap()).expect_err("must be refused").to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}

#[test]
fn refuses_a_vocabulary_that_contradicts_itself() {
    let pieces = ["<unk>", "a", "<0x0A>"].map(String::from);
    let (scores, types) = ([0.0, -1.0, -2.0], [UNKNOWN, NORMAL, BYTE]);
    with_tokenizer(&spm(&pieces, &scores, &types, true), |tokenizer| {
        assert_eq!(tokenizer.encode("a\n"), [0, 1, 2]);
    });
    assert_refused(
        &spm(&pieces, &scores[..2], &types, true),
        &["scores", "array of 2", "each of the 3 tokens"],
    );
    assert_refused(&spm(&pieces, &[0.0, f32::NAN, 0.0], &types, true), &["score of token 1", "NaN"]);
    assert_refused(&spm(&pieces, &scores, &types[..1], true), &["token_type", "array of 1", "each of the 3"]);
    assert_refused(&spm(&pieces, &scores, &[2, 7, 6], true), &["type of token 1", "is 7", "0 to 6"]);
    assert_refused(&spm(&pieces, &scores, &[2, BYTE, 6], true), &["token 1", "\"a\"", "<0x00>"]);
    let long = [pieces[0].clone(), "x".repeat(257), pieces[2].clone()];
    assert_refused(&spm(&long, &scores, &[2, USER_DEFINED, 6], true), &["token 1", "at most 256", "257"]);
    let mut gguf = GgufWriter::default();
    gguf.string("tokenizer.ggml.model", "llama");
    gguf.strings("tokenizer.ggml.tokens", &pieces);
    assert_refused(&gguf.file(), &["no tokenizer.ggml.scores"]);
    let gpt2 = |pre: &str| bpe(pre, &pieces, &[], &types);
    assert_refused(&gpt2("mystery"), &["pre-tokenizer \"mystery\"", "qwen2"]);
    with_tokenizer(&gpt2("qwen2"), |tokenizer| assert_eq!(tokenizer.encode("ab"), [1]));
}

#[test]
fn unused_tokens_are_never_produced() {
    with_tokenizer(&spm_of_every_kind(), |tokenizer| {
        assert_eq!(tokenizer.encode("aab"), [7, 6]);
        assert_eq!(tokenizer.piece(14), b"");
    });
}

#[test]
fn a_character_without_a_piece_becomes_its_bytes_and_comes_back() {
    with_tokenizer(&spm_of_every_kind(), |tokenizer| {
        let tokens = tokenizer.encode("aé\n");
        assert_eq!(tokens, [7, 16 + 0xc3, 16 + 0xa9, 16 + 0x0a]);
        let mut decoder = tokenizer.decoder();
        let shown: Vec<String> = tokens.iter().map(|&token| decoder.push(token)).collect();
        assert_eq!(shown, ["a", "", "é", "\n"]);
    });
}

#[test]
fn a_decoder_drops_only_the_space_that_the_tokenizer_puts_first() {
    with_tokenizer(&spm_of_every_kind(), |tokenizer| {
        assert_eq!(decode(tokenizer, &[1, 7, 7, 3, 2]), "a a ");
        assert_eq!(decode(tokenizer, &[3, 7]), " a");
        assert_eq!(decode(tokenizer, &[4, 7]), "a a");
    });
    let gpt2: Gpt2 = fixture("tokenizer_gpt2.json");
    with_tokenizer(&gpt2.file("gpt-2", &[]), |tokenizer| {
        assert_eq!(decode(tokenizer, &tokenizer.encode(" a")), " a");
    });
}

#[test]
fn llama_bpe_takes_a_word_that_is_a_token_whole() {
    let gpt2: Gpt2 = fixture("tokenizer_gpt2.json");
    // No merge leads to this token.
    let more = [("Ġxyzzy", NORMAL), ("<|begin_of_text|>", CONTROL)];
    let last_two = |pre: &str| {
        with_tokenizer(&gpt2.file(pre, &more), |tokenizer| {
            (tokenizer.encode("a xyzzy").len(), tokenizer.adds_bos())
        })
    };
    assert_eq!(last_two("llama-bpe"), (2, true));
    let (n_tokens, adds_bos) = last_two("qwen2");
    assert!(n_tokens > 3 && !adds_bos);
}

/// A megabyte takes less than this, in a build without optimization too.
const LIMIT: Duration = Duration::from_secs(20);

/// Return a megabyte of each kind of text that is hard to encode, and prose.
fn megabytes() -> [(&'static str, String); 5] {
    let mib = 1 << 20;
    let texts = texts();
    let mut prose = String::new();
    for text in texts.iter().filter(|text| text.len() < 300).cycle() {
        prose.push_str(text);
        if prose.len() >= mib {
            break;
        }
    }
    let mut state = 1_u32;
    let letters = (0..mib).map(|_| {
        // Numerical Recipes' generator.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + (state >> 24) as u8 % 26)
    });
    [
        ("all the texts", prose),
        ("one letter", "a".repeat(mib)),
        ("one word of random letters", letters.collect()),
        ("spaces", " ".repeat(mib)),
        ("no letters", "\u{1f468}\u{200d}".repeat(mib / 7)),
    ]
}

fn time(name: &str, tokenizer: &Tokenizer<'_>) {
    for (what, text) in megabytes() {
        let start = Instant::now();
        let n_tokens = tokenizer.encode(&text).len();
        let took = start.elapsed();
        println!("{name}: 1 MiB, {what}: {n_tokens} tokens in {} ms", took.as_millis());
        assert!(took < LIMIT, "{name}: {what} took {took:?}");
    }
}

#[test]
fn a_megabyte_of_anything_is_encoded_in_time() {
    let gpt2: Gpt2 = fixture("tokenizer_gpt2.json");
    for pre in ["gpt-2", "default", "smollm", "llama-bpe", "qwen2"] {
        with_tokenizer(&gpt2.file(pre, &[]), |tokenizer| time(pre, tokenizer));
    }
    let Spms { vocabularies } = fixture("tokenizer_spm.json");
    for SpmRow { name, adds_space_prefix, pieces, scores, types, .. } in vocabularies {
        with_tokenizer(&spm(&pieces, &scores, &types, adds_space_prefix), |tokenizer| time(&name, tokenizer));
    }
}
