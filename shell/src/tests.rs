//! Whole conversations on scripted terminals, with models whose answers are known.

use core::cell::Cell;

use engine::cpu::Kernels;
use engine::format::gguf::Gguf;
use engine::model::Model;
use engine::platform::{Clock, Entropy, OneCore};
use engine::quant::TensorType;
use engine::session::{KvType, memory_required};
use engine::testing::ChainModel;

use crate::fit::RESERVE_BYTES;
use crate::testing::script::{Kind, Script};
use crate::{Ending, Host, Machine, ModelFile, Options, answer, run};

/// What the machine has logged.
pub(crate) const LOG: &str = "[    0.000] loader: Script 1.0\n";

/// A clock that advances a little at each look: 10 ms.
#[derive(Default)]
pub(crate) struct TickingClock(Cell<u64>);

impl Clock for TickingClock {
    fn now_ns(&self) -> u64 {
        self.0.set(self.0.get() + 10_000_000);
        self.0.get()
    }
}

/// Seeds that count up.
#[derive(Default)]
struct CountingEntropy(Cell<u64>);

impl Entropy for CountingEntropy {
    fn seed(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

/// Let `script` talk to a machine with `free_memory` bytes and the files, as `options` ask for it, and return its terminal and
/// how it ended.
pub(crate) fn talk_as(
    mut script: Script,
    files: &[(&str, &[u8])],
    free_memory: u64,
    host: Host,
    options: &Options,
) -> (Script, Ending) {
    let mut copies: Vec<_> = files.iter().map(|(_, bytes)| bytes.to_vec()).collect();
    let named = files.iter().zip(&mut copies);
    let mut files: Vec<_> =
        named.map(|((name, _), bytes)| ModelFile { name, bytes, may_change: true }).collect();
    let ending = on_machine_with(free_memory, host, |machine| run(&mut script, machine, &mut files, options));
    (script, ending)
}

/// Do `work` on a machine with `free_memory` bytes.
fn on_machine_with<T>(free_memory: u64, host: Host, work: impl FnOnce(&Machine) -> T) -> T {
    work(&Machine {
        keeper: &(),
        clock: &TickingClock::default(),
        workers: &OneCore,
        kernels: Kernels::detect(),
        entropy: &CountingEntropy::default(),
        free_memory: &|| free_memory,
        memory_bytes: 4_000_000_000,
        host,
    })
}

/// Do `work` on a machine with plenty of memory.
pub(crate) fn on_machine<T>(work: impl FnOnce(&Machine) -> T) -> T {
    on_machine_with(1 << 30, bare_metal(), work)
}

/// Return a machine without an operating system.
pub(crate) fn bare_metal() -> Host<'static> {
    Host::BareMetal {
        loader: "Script 1.0",
        clock: "100 Hz (tests)",
        date: &|| Some("2026-11-27 07:05:09".into()),
        log: &|| LOG.into(),
        memory: &[("image", 1_000_000), ("heap", 3_999_000_000)],
    }
}

/// Let `script` talk to a machine with `free_memory` bytes and the files, and return its terminal.
pub(crate) fn talk_with_memory(script: Script, files: &[(&str, &[u8])], free_memory: u64) -> Script {
    talk_as(script, files, free_memory, bare_metal(), &Options::default()).0
}

/// Let `script` talk to a machine with plenty of memory and the files, and return what it got.
pub(crate) fn talk(script: Script, files: &[(&str, &[u8])]) -> String {
    talk_with_memory(script, files, 1 << 30).output().into()
}

/// Let `script` talk to `model`, and return what it got.
pub(crate) fn talk_to(model: &ChainModel, script: Script) -> String {
    talk(script, &[("chain.gguf", &model.file())])
}

/// Assert that `output` contains `text`.
#[track_caller]
pub(crate) fn assert_shows(output: &str, text: &str) {
    assert!(output.contains(text), "no {text:?} in:\n{output}");
}

/// Return `output` with its rows joined, as a sentence was before it was wrapped.
pub(crate) fn unwrapped(output: &str) -> String {
    output.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Return the largest number of tokens, a multiple of 64, that a context in `kv` of the model in `file` may have in `free_bytes`.
pub(crate) fn n_ctx_in(free_bytes: u64, file: &[u8], kv: KvType) -> usize {
    let gguf = Gguf::parse(file).unwrap();
    let model = Model::load(&gguf).unwrap();
    let needed_bytes = |n_ctx| memory_required(model.hparams(), n_ctx, kv, 1) + RESERVE_BYTES;
    (1..).map(|n| n * 64).take_while(|&n_ctx| needed_bytes(n_ctx) <= free_bytes).last().unwrap()
}

/// Return a model that answers until it is stopped.
pub(crate) fn endless() -> ChainModel {
    ChainModel::repeats("abc ")
}

#[test]
fn shows_the_model_the_times_and_the_answer() {
    let file = ChainModel::answers("Paris.").file();
    let output = talk(Script::piped("capital?\n/exit\n"), &[("chain.gguf", &file)]);
    let megabytes = file.len() as f64 / 1e6;
    // The clock advances by 10 ms between two looks; interleaving takes one when it begins, one before each part, one at the end.
    let (all, model) = match Kernels::detect().interleaves(TensorType::F32) {
        true => ("0.08", "0.05"),
        false => ("0.04", "0.01"),
    };
    let expected = format!(
        "chain.gguf: llama 231K F32, {megabytes:.1} MB, context 2048 of 4096\n\
         ready in {all} s: memory 0.01, model {model}, tokenizer 0.01, context 0.01\n\
         /help lists the commands; Ctrl-C stops an answer, /exit leaves.\n\n\
         >>> capital?\nParis.\n\n>>> /exit\n"
    );
    assert!(output.ends_with(&expected), "{output}");
}

#[test]
fn begins_with_the_machine() {
    let output = talk(Script::piped(""), &[]);
    let (processor, isa) = (engine::cpu::Processor::detect().name, Kernels::detect().isa());
    let expected = format!(
        "bootlm {}, a language model on bare metal\n\
         processor  {processor}\n\
         cores      1, computing with {isa}\n\
         memory     4.00 GB, 1.07 GB of it free\n\
         boot       by Script 1.0 in 0.01 s; clock 100 Hz (tests)\n\
         date       2026-11-27 07:05:09\n\n",
        env!("CARGO_PKG_VERSION")
    );
    assert!(output.starts_with(&expected), "{output}");
}

#[test]
fn end_of_input_and_ctrl_d_leave() {
    for typed in ["hi\n", "hi\n\x04", "hi"] {
        let output = talk_to(&ChainModel::answers("yes"), Script::piped(typed));
        assert!(output.ends_with(">>> hi\nyes\n\n>>> \n"), "{output}");
    }
}

#[test]
fn blank_lines_say_nothing() {
    let output = talk_to(&ChainModel::answers("yes"), Script::piped("\n  \n/exit\n"));
    assert!(output.ends_with(">>> \n>>>   \n>>> /exit\n"), "{output}");
}

#[test]
fn a_second_turn_reads_only_what_is_new() {
    // Byte tokens. First: <|im_start|>, "user\n", the text, <|im_end|>, "\n", <|im_start|>, "assistant\n".
    let first = 1 + 5 + "one".len() + 1 + 1 + 1 + 10;
    // Then also <|im_end|> and "\n" of the first answer.
    let second = 2 + 1 + 5 + "fourteen".len() + 1 + 1 + 1 + 10;
    let answer = "Yes!".len();
    let output = talk_to(&ChainModel::answers("Yes!"), Script::piped("one\n/stats\nfourteen\n/stats\n"));
    assert_shows(
        &output,
        &format!("prefill: {first} tokens, 0.01 s, {}.0 tokens/s; 0 reused\n", first * 100),
    );
    assert_shows(&output, &format!("decode: {answer} tokens, 0.01 s, {}.0 tokens/s\n", answer * 100));
    assert_shows(&output, &format!("context: {} of 2048 tokens\n", first + answer));
    let rate = format!("{second} tokens, 0.01 s, {}.0 tokens/s", second * 100);
    assert_shows(&output, &format!("prefill: {rate}; {} reused\n", first + answer));
    assert_shows(&output, &format!("context: {} of 2048 tokens\n", first + second + 2 * answer));
    assert_shows(&output, &format!("machine: {}, cores 1, free memory 1073.7 MB\n", Kernels::detect().isa()));
}

#[test]
fn stats_before_any_turn_say_so() {
    let output = talk_to(&ChainModel::answers("yes"), Script::piped("/stats\n"));
    assert_shows(&output, "no turn yet\ncontext: 0 of 2048 tokens\n");
}

#[test]
fn clear_forgets_the_conversation() {
    let output = talk_to(&ChainModel::answers("yes"), Script::piped("one\n/clear\n/stats\none\n/stats\n"));
    assert_shows(&output, "The conversation is forgotten.\n");
    assert_shows(&output, "context: 0 of 2048 tokens\n");
    // The first turn of a new conversation: nothing of the old one is closed.
    assert_eq!(output.matches("prefill: 22 tokens").count(), 2, "{output}");
}

#[test]
fn ctrl_c_stops_an_answer_and_keeps_the_chat() {
    let script = Script::new(Kind::Dumb, 80).types("go\n").after("abc abc").types("\x03");
    let script = script.after(">>> ").types("/stats\nagain\n").after("abc ").types("\x03");
    let output = talk_to(&endless(), script.after(">>> ").types("/stats\n"));
    assert_shows(&output, "\n[stopped; /continue goes on]\n\n>>> /stats\nprefill: 21 tokens");
    assert_shows(&output, ">>> again\nabc ");
    // What was shown is in the context, but for the token that the model was reading. The next turn reads it first, then
    // <|im_end|> and "\n", then the 19 tokens of the template and the text.
    let after = |from: &str, until: char| output.split(from).nth(1).unwrap().split(until).next().unwrap();
    let n_shown = after("go\n", '\n').len();
    assert_eq!(after("context: ", ' '), (21 + n_shown - 1).to_string(), "{output}");
    assert_shows(&output, &format!("prefill: {} tokens", 1 + 2 + 19 + "again".len()));
}

#[test]
fn ctrl_c_stops_the_reading_of_a_message() {
    let script = Script::new(Kind::Dumb, 80).types("stay\n").after(">>> stay\n").types("\x03");
    let output = talk_to(&endless(), script.after(">>> ").types("/stats\n"));
    assert_shows(
        &output,
        ">>> stay\n[stopped before all was read; the conversation is as it was]\n\n>>> /stats\nno turn yet\n",
    );
    assert_shows(&output, "context: 0 of 2048 tokens\n");
}

#[test]
fn keeps_what_is_typed_during_an_answer() {
    let model = ChainModel::answers("yes");
    let output = talk_to(&model, Script::piped("one\ntwo\n/stats\n"));
    assert_shows(&output, ">>> one\nyes\n\n>>> two\nyes\n\n>>> /stats\n");
}

#[test]
fn loses_nothing_of_a_pipe_that_holds_more_than_is_read_ahead() {
    let messages = format!("{}\n", "x".repeat(16_000)).repeat(6);
    let output = talk_to(&ChainModel::answers("yes"), Script::piped(format!("hi\n{messages}")));
    assert_shows(&output, ">>> hi\nyes\n");
    assert_eq!(output.matches("This message takes 16022 tokens, and the whole context has 2048.").count(), 6);
}

#[test]
fn ctrl_c_flushes_what_is_typed_during_an_answer() {
    let script = Script::new(Kind::Dumb, 80).types("go\n").after("abc").types("lost\nlost too\x03");
    let output = talk_to(&endless(), script.after(">>> ").types("/exit\n"));
    assert!(output.ends_with("[stopped; /continue goes on]\n\n>>> /exit\n"), "{output}");
    assert!(!output.contains("lost"), "{output}");
}

#[test]
fn clear_forgets_what_up_brings_back() {
    let output = talk_to(&ChainModel::answers("yes"), Script::piped("secret\n/clear\n\x1b[A\x1b[A\n/exit\n"));
    assert!(output.matches("secret").count() == 1, "{output}");
}

#[test]
fn ctrl_c_at_the_prompt_clears_the_line_or_tells_how_to_leave() {
    let output = talk_to(&ChainModel::answers("yes"), Script::piped("half\x03\x03/exit\n"));
    assert!(output.ends_with(">>> half^C\n>>> ^C\n/exit or Ctrl-D leaves.\n\n>>> /exit\n"), "{output}");
}

#[test]
fn stops_at_max_tokens_and_goes_on() {
    let output = talk_to(&endless(), Script::piped("/set max_tokens 6\ngo\n/set max_tokens 3\nagain\n"));
    assert_shows(&output, ">>> go\nabc ab\n[stopped after max_tokens = 6; /continue goes on]\n\n>>> ");
    assert_shows(&output, ">>> again\nabc\n[stopped after max_tokens = 3;");
}

#[test]
fn refuses_a_message_longer_than_the_context() {
    let message = "x".repeat(60);
    let output = talk_to(&endless().n_ctx_train(64), Script::piped(format!("{message}\n/stats\n")));
    assert_shows(&output, "This message takes 80 tokens, and the whole context has 64. Make it shorter.\n");
    assert_shows(&output, "context: 0 of 64 tokens");
}

#[test]
fn settings_change_the_answer() {
    let model = ChainModel::answers("yes").or_answers("NO");
    let ask = |settings: &str, n: usize| {
        let output = talk_to(&model, Script::piped(format!("{settings}{}", "well?\n".repeat(n))));
        let answers: Vec<_> = output
            .split(">>> well?\n")
            .skip(1)
            .map(|part| part.lines().next().unwrap().to_string())
            .collect();
        answers
    };
    // Greedy takes the first of equals, "N" before "y"; a fixed seed draws the same each time; a random one does not.
    assert_eq!(ask("/set temp 0\n", 4), ["NO"; 4]);
    let drawn = ask("/set temp 1\n/set top_p 1\n", 30);
    assert!(drawn.contains(&"yes".into()) && drawn.contains(&"NO".into()), "{drawn:?}");
    let fixed = ask("/set temp 1\n/set top_p 1\n/set seed 5\n", 10);
    assert!(fixed.iter().all(|answer| *answer == fixed[0]), "{fixed:?}");
}

#[test]
fn commands_answer_and_errors_say_what_to_do() {
    let output = talk_to(
        &ChainModel::answers("yes"),
        Script::piped("/hlep\n/set temp 9\n/set\n/help set\n/exit now\nhi\n"),
    );
    assert_shows(&output, ">>> /hlep\nunknown command /hlep; did you mean /help?\n\n>>> ");
    assert_shows(&output, ">>> /set temp 9\ntemp takes 0 to 2, not \"9\"; it stays 0.8\n\n>>> ");
    assert_shows(&output, "max_tokens      = 512");
    assert_shows(&output, "/set temp 0.8 changes it.");
    assert_shows(&output, "/exit takes no arguments");
    assert_shows(&output, ">>> hi\nyes\n");
}

#[test]
fn control_tokens_cannot_be_typed() {
    let output = talk_to(&ChainModel::answers("yes"), Script::piped("<|im_end|>\n/stats\n"));
    // Ten bytes, ten tokens, beside the 19 of the template.
    assert_shows(&output, "prefill: 29 tokens");
}

#[test]
fn streams_whole_characters() {
    let output = talk_to(&ChainModel::answers("é漢"), Script::piped("hi\n"));
    assert_shows(&output, ">>> hi\né漢\n");
    // The model ends in the middle of a character.
    let output = talk_to(&ChainModel::answers([b'a', 0xe6, 0xbc]), Script::piped("hi\n"));
    assert_shows(&output, ">>> hi\na\u{fffd}\n\n>>> ");
}

#[test]
fn a_model_cannot_steer_the_terminal() {
    let output = talk_to(&ChainModel::answers("\x1b[2J\x07\x08\tok\r\u{9b}H"), Script::piped("hi\n"));
    assert_shows(&output, ">>> hi\n\u{fffd}[2J\u{fffd}\u{fffd}\tok\u{fffd}H\n\n>>> ");
}

#[test]
fn an_empty_answer_is_told() {
    let output = talk_to(&ChainModel::answers(""), Script::piped("hi\n"));
    assert!(output.ends_with(">>> hi\n[the model has nothing to say]\n\n>>> \n"), "{output:?}");
}

#[test]
fn names_unusable_files_and_runs_the_one_that_is_left() {
    let file = ChainModel::answers("yes").file();
    let files: [(&str, &[u8]); 3] = [
        ("short.gguf", &file[..file.len() / 2]),
        ("\x1b]0;evil\x07.gguf", b"not a model"),
        ("good.gguf", &file),
    ];
    let output = talk(Script::piped("hi\n"), &files);
    assert_shows(&output, "short.gguf: cannot be used: the file is cut short");
    assert_shows(&output, "\u{fffd}]0;evil\u{fffd}.gguf: cannot be used: not a model file");
    assert_shows(&output, "good.gguf: llama");
    assert_shows(&output, ">>> hi\nyes\n");
}

#[test]
fn without_a_model_help_and_exit_work() {
    let output = talk(Script::piped("/help\nhello\n/set temp 1\n/exit\nnever\n"), &[]);
    assert_shows(&output, "\n\nThere is no model to talk to. bootlm runs GGUF files");
    assert_shows(&output, "/help [command]");
    assert_shows(&output, ">>> hello\nThere is no model to talk to; /exit leaves.\n");
    assert_shows(&output, ">>> /set temp 1\nThere is no model to talk to; /exit leaves.\n");
    assert!(output.ends_with(">>> /exit\n"), "{output}");
}

#[test]
fn too_little_memory_is_told_in_numbers_and_the_machine_stays_up() {
    let file = ChainModel::answers("yes").file();
    let terminal = talk_with_memory(Script::piped("/help\n/exit\n"), &[("chain.gguf", &file)], 3_000_000);
    let output = terminal.output();
    assert_shows(&unwrapped(output), "chain.gguf: cannot be used: a context of 256 tokens in f16 takes ");
    assert_shows(&unwrapped(output), "3.0 MB are free; give the machine at least ");
    assert_shows(output, ">>> /help\nThe conversation\n  /system [text]");

    // Room for the context alone is not enough: the tokenizer needs some as well.
    let model = Model::load(&Gguf::parse(&file).unwrap()).unwrap();
    let context_bytes = memory_required(model.hparams(), 256, KvType::default(), 1) + RESERVE_BYTES;
    let terminal = talk_with_memory(Script::piped(""), &[("chain.gguf", &file)], context_bytes);
    assert_shows(&unwrapped(terminal.output()), "give the machine at least 0.1 MB more");
}

#[test]
fn a_context_that_is_asked_for_in_advance_is_as_large_as_memory_allows() {
    let file = ChainModel::answers("yes").n_ctx_train(1 << 20).file();
    let talk = |command_line: &str| {
        let options = Options::parse(command_line, &[]);
        let files: [(&str, &[u8]); 1] = [("chain.gguf", &file)];
        talk_as(Script::piped("/set kv\n"), &files, 10_000_000, bare_metal(), &options).0.output().to_string()
    };
    let output = talk("n_ctx=100000");
    assert_shows(&output, "command line: a context of 100000 tokens in f16 takes ");
    let [f16, q8_0] = [KvType::F16, KvType::Q8_0].map(|kv| n_ctx_in(10_000_000, &file, kv));
    assert!(f16 < q8_0, "{f16} and {q8_0}");
    assert_shows(&output, &format!(" and 10.0 MB are free; {f16} fit, or {q8_0} in q8_0; it has {f16}\n"));
    assert_shows(&output, &format!(", context {f16} of 1048576\n"));
    // In eight bits from the start, and not only after one in sixteen was made.
    let output = talk("n_ctx=100000 kv=q8_0");
    assert_shows(&output, "command line: a context of 100000 tokens in q8_0 takes ");
    assert_shows(&output, &format!(", context {q8_0} of 1048576\n"));
    assert_shows(&output, ">>> /set kv\nkv = q8_0\n");
    assert!(!talk("n_ctx=2048").contains("command line"));
}

#[test]
fn a_model_that_does_not_start_leads_back_to_the_menu() {
    let good = ChainModel::answers("yes").file();
    let mut bad = good.clone();
    let at = bad.windows(6).position(|window| window == b"smollm").unwrap();
    bad[at] = b'z';
    let output = talk(Script::piped("1\nhi\n"), &[("bad.gguf", &bad), ("good.gguf", &good)]);
    assert_shows(&output, "bad.gguf: cannot be used: the pre-tokenizer \"zmollm\" is not supported");
    assert_shows(&output, "good.gguf: llama 231K F32");
    assert_shows(&output, ">>> hi\nyes\n");
}

/// A conversation in which the second turn needs the first, with the default model.
#[test]
fn talks_with_the_default_model() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let file = match std::fs::read(path) {
        Ok(file) => file,
        Err(error) => {
            return println!(
                "SKIPPED talks_with_the_default_model: {path}: {error}; `make models` fetches it"
            );
        }
    };
    let typed =
        "What is the capital of France?\n/stats\nWhich country is that city the capital of?\n/stats\n/exit\n";
    let output = talk(Script::piped(typed), &[("SmolLM2-135M-Instruct.Q4_1.gguf", &file)]);
    // The clock advances by 10 ms while the file is read, and with each part of what is interleaved.
    let is_interleaved = !output.contains("model 0.01, ");
    assert_eq!(is_interleaved, Kernels::detect().interleaves(TensorType::Q4_1), "{output}");
    assert_shows(
        &output,
        "SmolLM2-135M-Instruct.Q4_1.gguf: llama 135M Q4_1, 98.4 MB, context 2048 of 8192\n",
    );
    assert_shows(&output, ">>> What is the capital of France?\nThe capital of France is Paris.\n\n>>> ");
    assert_shows(&output, "decode: 7 tokens");
    let second = output.split("capital of?\n").nth(1).unwrap().lines().next().unwrap();
    assert!(second.contains("France"), "{output}");
}

#[test]
fn one_answer_is_shown_alone_and_what_goes_wrong_is_no_part_of_it() {
    let (hello, other) = (ChainModel::answers("Hello!").file(), ChainModel::answers("Other").file());
    let options = |settings: &[(&str, &str)]| Options {
        prompt: Some("/help".into()),
        settings: settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        ..Options::default()
    };
    let answers = |files: &[(&str, &[u8])], free_memory, options: &Options| {
        let mut script = Script::piped("");
        let mut copies: Vec<_> = files.iter().map(|(_, bytes)| bytes.to_vec()).collect();
        let named = files.iter().zip(&mut copies);
        let files: Vec<_> =
            named.map(|((name, _), bytes)| ModelFile { name, bytes, may_change: true }).collect();
        let outcome = on_machine_with(free_memory, Host::Program, |machine| {
            answer(&mut script, machine, &files, options)
        });
        (script.output().to_string(), outcome)
    };
    let alone: &[(&str, &[u8])] = &[("a.gguf", &hello)];
    assert_eq!(answers(alone, u64::MAX, &options(&[])), ("Hello!\n".into(), Ok(())));
    assert_eq!(answers(alone, u64::MAX, &options(&[("max_tokens", "2")])), ("He\n".into(), Ok(())));
    for (files, free_memory, settings, reason) in [
        (alone, u64::MAX, [("temp", "hot")].as_slice(), "temp"),
        (alone, 1_000, &[], "memory"),
        (&[], u64::MAX, &[], "no model"),
        (&[("a.gguf", &hello[..100])], u64::MAX, &[], "a.gguf: "),
        (&[("a.gguf", &hello), ("b.gguf", &other)], u64::MAX, &[], "2 models"),
    ] {
        let (shown, outcome) = answers(files, free_memory, &options(settings));
        assert_eq!(shown, "", "{reason}");
        assert!(outcome.as_ref().unwrap_err().contains(reason), "{reason:?} is not in {outcome:?}");
    }
}
