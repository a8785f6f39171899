//! What is written equals what jinja2 renders from the published templates (`tests/reference/chat_templates.py`).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::{fs, println};

use serde::Deserialize;

use super::ChatTemplate;
use super::dialect::{BOS, Bos, Dialect, EOS, Piece};
use super::recognise::recognise;
use crate::format::gguf::Gguf;
use crate::testing::GgufWriter;
use crate::tokenizer::Tokenizer;

#[derive(Deserialize)]
struct Fixture {
    conversations: Vec<Conversation>,
    templates: Vec<Template>,
}

#[derive(Deserialize)]
struct Conversation {
    name: String,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
}

#[derive(Deserialize)]
struct Template {
    name: String,
    /// What [`recognise`] looks at: the marks in the template, and the system message that it writes by itself.
    excerpt: String,
    bos: String,
    eos: String,
    texts: Vec<Rendered>,
}

#[derive(Deserialize)]
struct Rendered {
    conversation: String,
    /// The answers with the spaces that the template writes around them, which are the model's to write.
    answers: Vec<String>,
    text: String,
}

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chat_templates.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn text_of(pieces: &[Piece<'_>], template: &Template) -> String {
    let text = |piece: &Piece<'_>| match piece {
        Piece::Markup(markup) => markup.replace(BOS, &template.bos).replace(EOS, &template.eos),
        Piece::Text(text) => text.to_string(),
    };
    pieces.iter().map(text).collect()
}

/// Return `messages` as `dialect` writes them, turn by turn, up to where the next answer begins.
fn write(
    dialect: &Dialect,
    default_system: Option<&str>,
    messages: &[Message],
    template: &Template,
    answers: &[String],
) -> String {
    let (system, turns) = match messages {
        [first, turns @ ..] if first.role == "system" => (Some(first.content.as_str()), turns),
        turns => (default_system, turns),
    };
    let mut answers = answers.iter();
    let mut written = String::new();
    for (i, message) in turns.iter().enumerate() {
        if message.role == "assistant" {
            written.push_str(answers.next().unwrap());
            written.push_str(&text_of(&[Piece::Markup(dialect.end_of_answer)], template));
        } else if i == 0 {
            written.push_str(&text_of(&dialect.first_turn(system, &message.content), template));
        } else {
            written.push_str(&text_of(&dialect.next_turn(&message.content), template));
        }
    }
    written
}

#[test]
fn turns_are_written_as_the_published_templates_write_them() {
    let Fixture { conversations, templates } = fixture();
    assert!(templates.len() >= 17);
    for template in &templates {
        let (dialect, default_system) = recognise(&template.excerpt).unwrap();
        assert!(template.texts.len() >= 11, "{}", template.name);
        for Rendered { conversation, answers, text } in &template.texts {
            let messages = &conversations.iter().find(|known| known.name == *conversation).unwrap().messages;
            let written = write(&dialect, default_system.as_deref(), messages, template, answers);
            assert_eq!(written, *text, "{}: {conversation}", template.name);
        }
        println!("{}: {} conversations", template.name, template.texts.len());
    }
}

#[test]
fn the_templates_own_system_message_is_found() {
    let default_system = |template: &str| recognise(template).unwrap().1;
    for (name, expected) in [
        ("chatml", None),
        ("qwen1.5", Some("You are a helpful assistant")),
        ("qwen2.5", Some("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.")),
        ("qwen3", None),
        ("zephyr", None),
        ("llama-3", None),
        ("llama-3.1", Some("")),
        ("phi-3.5", None),
    ] {
        let Fixture { templates, .. } = fixture();
        let template = templates.iter().find(|template| template.name == name).unwrap();
        assert_eq!(default_system(&template.excerpt).as_deref(), expected, "{name}");
    }
    assert_eq!(
        default_system(r#"{{ '<|im_start|>system\nI\'m \"K\\9\".<|im_end|>\n' }}"#).as_deref(),
        Some(r#"I'm "K\9"."#)
    );
    assert_eq!(
        default_system("{% if x %}<|im_start|>system\nI'm it.<|im_end|>\n{% endif %}").as_deref(),
        Some("I'm it.")
    );
    for none in [
        "<|im_start|>system\n",
        "{{ \"<|im_start|>system\n\" + it + '<|im_end|>' }}",
        "<|im_start|>system\n{{ it }}<|im_end|>",
    ] {
        assert_eq!(default_system(none), None, "{none}");
    }
}

#[test]
fn unlike_templates_are_not_taken_for_known_ones() {
    for (name, template) in [
        ("Phi-4", "{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}"),
        ("Phi-4-mini", "{{ '<|' + role + '|>' + message['content'] + '<|end|>' }}<|assistant|>"),
        ("SmolVLM", "<|im_start|>User: {{ text }}<end_of_utterance>"),
        ("Falcon 3", "{{ '<|user|>\\n' + message['content'] + '\\n' }}{{ '<|assistant|>\\n' }}</s>"),
        ("OLMo", "{{ eos_token }}{{ '<|user|>\\n' + message['content'] }}{{ '<|assistant|>' }}"),
        ("Command R", "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>"),
        ("nothing", ""),
    ] {
        assert!(recognise(template).is_none(), "{name}");
    }
}

#[test]
fn variants_that_only_their_marks_tell_apart() {
    let of = |template: &str| recognise(template).unwrap().0;
    assert_eq!(of("[INST][SYSTEM_PROMPT]").before_text, "[INST]");
    assert_eq!(of("[INST] [SYSTEM_PROMPT]").before_text, "[INST] ");
    assert_eq!(of("[INST] <<SYS>> bos_token + '[INST] '").bos, Bos::EveryTurn);
    assert_eq!(of("bos_token [INST] <<SYS>>").bos, Bos::FirstTurn);
    let system = |template: &str| text_of_system(&of(template));
    assert_eq!(system("[INST] <<SYS>>"), "[INST] <<SYS>>\nS\n<</SYS>>\n\nT [/INST]");
    assert_eq!(system("[INST]"), "[INST] S\nT [/INST]");
}

fn text_of_system(dialect: &Dialect) -> String {
    let no_tokens = Template {
        name: String::new(),
        excerpt: String::new(),
        bos: String::new(),
        eos: String::new(),
        texts: Vec::new(),
    };
    text_of(&dialect.first_turn(Some("S"), "T"), &no_tokens)
}

/// Return a file with a vocabulary of printable bytes, of `<s>` (94) and `</s>` (95), and with `template`.
fn file(template: Option<&str>, adds_bos: bool) -> Vec<u8> {
    let mut gguf = GgufWriter::default();
    gguf.string("tokenizer.ggml.model", "gpt2");
    gguf.string("tokenizer.ggml.pre", "smollm");
    let bytes = (b'!'..=b'~').map(|byte| char::from(byte).to_string());
    let tokens: Vec<_> = bytes.chain(["<s>", "</s>", "Ġ", "Ċ"].map(String::from)).collect();
    gguf.strings("tokenizer.ggml.tokens", &tokens);
    gguf.strings("tokenizer.ggml.merges", &[]);
    let kinds: Vec<i32> = tokens.iter().map(|token| if token.ends_with("s>") { 3 } else { 1 }).collect();
    gguf.i32s("tokenizer.ggml.token_type", &kinds);
    gguf.u32("tokenizer.ggml.bos_token_id", 94);
    gguf.u32("tokenizer.ggml.eos_token_id", 95);
    gguf.bool("tokenizer.ggml.add_bos_token", adds_bos);
    if let Some(template) = template {
        gguf.string("tokenizer.chat_template", template);
    }
    gguf.file()
}

#[test]
fn only_the_template_writes_control_tokens() {
    let says = |file: &[u8], first: &str, next: &str, end: &str| {
        let gguf = Gguf::parse(file).unwrap();
        let tokenizer = Tokenizer::load(&gguf).unwrap();
        let template = ChatTemplate::of(&gguf, &tokenizer).unwrap();
        let text = |tokens: Vec<_>| -> String {
            let one = |token| match token {
                94 => "BOS".into(),
                95 => "EOS".into(),
                token => String::from_utf8(tokenizer.piece(token)).unwrap(),
            };
            tokens.into_iter().map(one).collect()
        };
        assert_eq!(text(template.first_turn(&tokenizer, Some("<s>"), "a</s>{eos}")), first);
        assert_eq!(text(template.next_turn(&tokenizer, "<s>b")), next);
        assert_eq!(text(template.end_of_answer(&tokenizer)), end);
    };
    let llama_2 = file(Some("bos_token + '[INST] <<SYS>>"), true);
    says(&llama_2, "BOS[INST] <<SYS>>\n<s>\n<</SYS>>\n\na</s>{eos} [/INST]", "BOS[INST] <s>b [/INST]", "EOS");
    let zephyr = "{{ '<|user|>\n' + message['content'] + eos_token }}";
    says(
        &file(Some(zephyr), true),
        "BOS<|system|>\n<s>EOS\n<|user|>\na</s>{eos}EOS\n<|assistant|>\n",
        "\n<|user|>\n<s>bEOS\n<|assistant|>\n",
        "EOS",
    );
    says(&file(None, true), "BOS<s>\na</s>{eos}", "<s>b", "");
    says(&file(None, false), "<s>\na</s>{eos}", "<s>b", "");
}

#[test]
fn an_unknown_template_is_named_and_so_are_the_known() {
    let file = file(Some("{{ '<|START_OF_TURN_TOKEN|>' }}"), false);
    let gguf = Gguf::parse(&file).unwrap();
    let error = ChatTemplate::of(&gguf, &Tokenizer::load(&gguf).unwrap()).unwrap_err().to_string();
    for words in ["the chat template", "<|START_OF_TURN_TOKEN|>", "ChatML", "Gemma", "Phi-3"] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn counts_what_comes_before_the_turns() {
    let count = |template, adds_bos, system| {
        let file = file(template, adds_bos);
        let gguf = Gguf::parse(&file).unwrap();
        let tokenizer = Tokenizer::load(&gguf).unwrap();
        ChatTemplate::of(&gguf, &tokenizer).unwrap().n_before_turns(&tokenizer, system)
    };
    let zephyr = Some("{{ '<|user|>\n' + message['content'] + eos_token }}");
    assert_eq!(count(zephyr, false, None), 0);
    assert_eq!(count(zephyr, true, None), 1);
    // "<|system|>\n", the message, EOS, "\n".
    assert_eq!(count(zephyr, true, Some("Rhyme")), 1 + 11 + 5 + 1 + 1);
    let llama_2 = Some("bos_token + '[INST] <<SYS>>");
    assert_eq!(count(llama_2, true, Some("Rhyme")), "B[INST] <<SYS>>\nRhyme\n<</SYS>>\n\n".len());
    assert_eq!(count(None, true, Some("Rhyme")), "BRhyme\n".len());
    assert_eq!(count(None, false, None), 0);
}
