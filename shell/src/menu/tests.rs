//! Choosing a model: by number, by name, with arrows, by waiting; at the start and on the way.

use engine::format::gguf::Gguf;
use engine::model::Model;
use engine::session::{KvType, memory_required};
use engine::testing::ChainModel;
use engine::tokenizer;

use crate::fit::RESERVE_BYTES;
use crate::testing::script::{Kind, Script};
use crate::tests::{assert_shows, bare_metal, talk, talk_as, unwrapped};
use crate::{Ending, Options};

/// Files of two models that tell which one they are.
struct Two([Vec<u8>; 2]);

impl Two {
    fn new() -> Self {
        Self([ChainModel::answers("one").file(), ChainModel::answers("two").file()])
    }

    fn files(&self) -> [(&str, &[u8]); 2] {
        [("first.gguf", &self.0[0]), ("second.gguf", &self.0[1])]
    }
}

/// Let `script` choose from two models as `options` ask for it, and return what it got.
fn choose_as(script: Script, options: &Options) -> String {
    talk_as(script, &Two::new().files(), 1 << 30, bare_metal(), options).0.output().into()
}

/// Let `script` choose from two models, and return what it got.
fn choose(script: Script) -> String {
    choose_as(script, &Options::default())
}

#[test]
fn lists_models_with_their_measures() {
    let output = choose(Script::piped("/exit\n"));
    let two = Two::new();
    let megabytes = two.0[0].len() as f64 / 1e6;
    let rows: Vec<_> = output.lines().filter(|line| line.starts_with('✓')).collect();
    assert_eq!(rows.len(), 2, "{output}");
    for (number, row) in (1..).zip(rows) {
        let columns: Vec<_> = row.split_whitespace().collect();
        let megabytes = format!("{megabytes:.1}");
        let expected = ["✓", &number.to_string(), "chain", &megabytes, "MB", "231K", "F32", "llama", "4096"];
        assert_eq!(columns[..9], expected, "{row}");
    }
    assert_shows(&output, "1.07 GB are free.\nWhich model? [1] /exit\n");
}

#[test]
fn a_number_a_name_or_enter_chooses() {
    for (typed, answer) in [
        ("\nhi\n", "one"),
        ("1\nhi\n", "one"),
        ("2\r\nhi\r\n", "two"),
        ("12\x7f\x7f2\nhi\n", "two"),
        ("3\nx\n0\n\x032\nhi\n", "two"),
        ("second.gguf\nhi\n", "two"),
        ("SEC\nhi\n", "two"),
        ("/model 2\nhi\n", "two"),
    ] {
        assert_shows(&choose(Script::piped(typed)), &format!(">>> hi\n{answer}\n"));
    }
    let output = choose(Script::piped("3\nseconds.gguf\nQwen3-0.6B\n/exit\n"));
    assert_shows(&output, "\nThere is no model 3: type a number from 1 to 2, or a name. /exit leaves.\n");
    assert_shows(&output, "\nThere is no model seconds.gguf: type a number");
    assert_shows(&output, "\nQwen3-0.6B is not here: no file of it was loaded. /exit leaves.\n");
}

#[test]
fn arrows_move_the_choice_on_every_terminal() {
    for (keys, number) in
        [("\x1b[B", 2), ("\x1b[B\x1b[B", 1), ("\x1b[A", 2), ("\x1bOA\x1bOA", 1), ("1\x1b[B", 2)]
    {
        let script = Script::new(Kind::Silent, 80).after("[1] ").types(keys).types("\r").after(">>> ");
        let (script, _) = talk_as(script, &Two::new().files(), 1 << 30, bare_metal(), &Options::default());
        assert_shows(&script.screen(), &format!("\nWhich model? [{number}]\n"));
    }
}

#[test]
fn the_default_is_taken_after_a_countdown() {
    let mut script = Script::new(Kind::Silent, 80);
    for seconds in (1..=10).rev() {
        script = script.after(&format!("(starts in {seconds} s)"));
    }
    let (script, _) = talk_as(
        script.after(">>> ").types("hi\n"),
        &Two::new().files(),
        1 << 30,
        bare_metal(),
        &Options::default(),
    );
    assert_shows(script.output(), ">>> hi\none\n");
    assert_shows(&script.screen(), "\nWhich model? [1]\n");
}

#[test]
fn a_pipe_gets_no_countdown() {
    let (script, _) =
        talk_as(Script::piped(""), &Two::new().files(), 1 << 30, bare_metal(), &Options::default());
    assert!(script.output().ends_with("\nWhich model? [1] \n"), "{}", script.output());
}

#[test]
fn a_pipe_that_only_the_person_knows_of_gets_text_alone() {
    let script = Script::new(Kind::Silent, 80).types("1\nhi\n/exit\n");
    let options = Options::parse("terminal=pipe", &[]);
    let output = choose_as(script, &options);
    assert_shows(&output, "Which model? [1] 1\n");
    assert!(output.ends_with("\n\n>>> hi\none\n\n>>> /exit\n"), "{output:?}");
    assert!(!output.contains('\x1b'), "{output:?}");
}

#[test]
fn any_key_stops_the_countdown() {
    let script = Script::new(Kind::Silent, 80).after("(starts in 9 s)").types("x");
    // Nobody types any more: had the countdown gone on, the default would be taken.
    let (script, ending) = talk_as(script, &Two::new().files(), 1 << 30, bare_metal(), &Options::default());
    assert!(
        script.screen().ends_with(
            "There is no model x: type a number from 1 to 2, or a name. /exit leaves.\nWhich model? [1]"
        ),
        "{}",
        script.screen()
    );
    assert!(!script.screen().contains("starts in"), "{}", script.screen());
    assert_eq!(ending, Ending::Done);
}

#[test]
fn leaving_and_commands_work_in_the_menu() {
    assert!(choose(Script::piped("/exit\n")).ends_with("Which model? [1] /exit\n"));
    assert!(choose(Script::piped("\x04")).ends_with("Which model? [1] \n"));
    let output = choose(Script::piped("\x03/version\n/stats\n/frob\n2\nhi\n"));
    assert_shows(&output, "Which model? [1] ^C\n/exit or Ctrl-D leaves.\nWhich model? [1] /version\nbootlm ");
    assert_shows(&output, "/stats\nThere is no model to talk to; /exit leaves.\n");
    assert_shows(&output, "unknown command /frob");
    assert_shows(&output, ">>> hi\ntwo\n");
    let (_, ending) =
        talk_as(Script::piped("/reboot\n"), &Two::new().files(), 1 << 30, bare_metal(), &Options::default());
    assert_eq!(ending, Ending::Reboot);
}

#[test]
fn one_model_is_chosen_at_once_and_shown_in_the_menu_when_asked_for() {
    let file = ChainModel::answers("yes").file();
    let output = talk(Script::piped("hi\n/model\n1\nhi\n"), &[("chain.gguf", &file)]);
    let (before, after) = output.split_once(">>> /model\n").unwrap();
    assert!(!before.contains("Which model?") && !before.contains("stories15M"), "{before}");
    assert_shows(after, "✓  1 chain ");
    assert_shows(after, "✗ stories15M");
    assert_shows(after, "Which model? [1] 1\nchain.gguf: llama 231K F32");
    assert_shows(after, ">>> hi\nyes\n");
    // Nobody came back to a machine that has just begun.
    assert_eq!(output.matches("memory 0.01, model ").count(), 1, "{output}");
}

#[test]
fn model_leads_to_the_menu_or_to_another_model_and_back() {
    let output = choose(Script::piped("1\nhi\n/model\n2\nhi\n/model 1\nhi\n/model second\nhi\n"));
    let answers: Vec<_> = output.split(">>> hi\n").skip(1).map(|rest| rest.lines().next().unwrap()).collect();
    assert_eq!(answers, ["one", "two", "one", "two"], "{output}");
    assert!(!output.contains("starts in"), "{output}");
}

#[test]
fn a_model_that_is_not_there_leaves_the_conversation_as_it_is() {
    let output = choose(Script::piped("1\nhi\n/model 3\n/model TinyLlama-1.1B-Chat-v1.0\n/stats\n"));
    assert_shows(&output, ">>> /model 3\nThere is no model 3: type a number from 1 to 2, or a name.\n\n>>> ");
    assert_shows(
        &output,
        "\nTinyLlama-1.1B-Chat-v1.0 is not here: no file of it was loaded.\n\n>>> /stats\nprefill: ",
    );
}

#[test]
fn broken_files_are_listed_with_the_reason_and_the_others_work() {
    let two = Two::new();
    let short = &two.0[0][..two.0[0].len() / 2];
    let files: [(&str, &[u8]); 4] =
        [("short.gguf", short), two.files()[0], ("Qwen3-0.6B-Q8_0.gguf", b"not a model"), two.files()[1]];
    let output = talk(Script::piped("2\nhi\n"), &files);
    let flat = unwrapped(&output);
    assert_shows(&flat, "✗ short.gguf: cannot be used: the file is cut short");
    assert_shows(&flat, "✗ Qwen3-0.6B-Q8_0.gguf: cannot be used: not a model file");
    assert!(!flat.contains("✗ Qwen3-0.6B "), "a broken file is there: {output}");
    assert_shows(&output, ">>> hi\ntwo\n");
}

#[test]
fn files_of_known_models_have_the_catalogs_name() {
    let two = Two::new();
    let files: [(&str, &[u8]); 2] = [("smollm2-360m-instruct-q8_0.gguf", &two.0[0]), two.files()[1]];
    let output = talk(Script::piped("SmolLM2-360M-Instruct\nhi\n/set temp\n"), &files);
    assert_shows(&output, "✓  1 SmolLM2-360M-Instruct ");
    assert!(!output.contains("✗ SmolLM2-360M-Instruct"), "{output}");
    assert_shows(&output, ">>> hi\none\n");
    assert_shows(&output, "temp = 0.2\n");
}

#[test]
fn the_settings_of_every_known_model_are_taken() {
    let file = ChainModel::answers("yes").file();
    for known in catalog::MODELS {
        let shown: String = known.sampling.iter().map(|(name, _)| format!("/set {name}\n")).collect();
        let output = talk(Script::piped(shown), &[(known.file, &file)]);
        for (name, value) in known.sampling {
            let setting = output.split(&format!(">>> /set {name}\n")).nth(1).unwrap();
            let shown = setting.split_whitespace().nth(2);
            assert_eq!(shown, Some(*value), "{}: {name} in {setting}", known.name);
        }
    }
}

#[test]
fn the_screen_has_room_for_all_of_it() {
    let file = ChainModel::answers("yes").file();
    let files: Vec<(&str, &[u8])> = catalog::MODELS.iter().map(|known| (known.file, &*file)).collect();
    let two = Two::new();
    let broken = ("broken.gguf", &b"no"[..]);
    for files in [&files[..], &[two.files()[0], two.files()[1], broken]] {
        let output = talk(Script::new(Kind::Dumb, 80).after("[1] ").types("\x04"), files);
        let rows: Vec<_> = output.lines().collect();
        assert!(rows.len() <= 24, "{} rows:\n{output}", rows.len());
        assert!(rows.iter().all(|row| row.chars().count() < 80), "{output}");
    }
}

#[test]
fn marks_are_ascii_where_the_terminal_shows_nothing_else() {
    let output = choose_as(Script::piped("1\nhi\n"), &Options::parse("utf8=off", &[]));
    assert_shows(&output, "+  1 chain ");
    assert_shows(&output, "- stories15M  - ");
    assert!(output.is_ascii(), "{output}");
}

#[test]
fn a_model_that_needs_more_memory_than_is_free_is_marked_and_not_the_default() {
    let (large, small) =
        (ChainModel::answers("one").file(), ChainModel::answers("two").n_ctx_train(64).file());
    let files: [(&str, &[u8]); 2] = [("large.gguf", &large), ("small.gguf", &small)];
    let gguf = Gguf::parse(&large).unwrap();
    let context_bytes = memory_required(Model::load(&gguf).unwrap().hparams(), 256, KvType::default(), 1);
    let free_bytes = context_bytes + tokenizer::memory_required(&gguf) + RESERVE_BYTES - 1;
    let (script, _) = talk_as(Script::piped("1\n"), &files, free_bytes, bare_metal(), &Options::default());
    assert_shows(script.output(), "✗  1 chain ");
    assert_shows(script.output(), "✓  2 chain ");
    assert_shows(script.output(), "Which model? [2] 1\n");
    assert_shows(
        &unwrapped(script.output()),
        "✗ large.gguf: cannot be used: a context of 256 tokens in f16 takes",
    );
}

#[test]
fn the_command_line_chooses_the_default() {
    for (line, answer) in [("model=2", "two"), ("model=second", "two"), ("model=FIRST.GGUF", "one")] {
        assert_shows(
            &choose_as(Script::piped("\nhi\n"), &Options::parse(line, &[])),
            &format!(">>> hi\n{answer}\n"),
        );
    }
    let output = choose_as(Script::piped("\nhi\n"), &Options::parse("model=third", &[]));
    assert_shows(&output, "\ncommand line: model=third: There is no model third: type a number");
    assert_shows(&output, ">>> hi\none\n");
}

#[test]
fn the_command_line_asks_and_goes_on_or_leaves() {
    let options = Options::parse("model=2 prompt=\"hi there\"", &[]);
    let output = choose_as(Script::piped("again\n/model 1\nhi\n"), &options);
    assert!(!output.contains("Which model?"), "{output}");
    assert_shows(&output, "\n>>> hi there\ntwo\n\n>>> again\ntwo\n");
    // It is said once, not to every model.
    assert_shows(&output, "leaves.\n\n>>> hi\none\n");

    let options = Options::parse("prompt=\"hi there\" once", &[]);
    // A script that is never asked for anything.
    let output = choose_as(Script::new(Kind::Dumb, 80).after("never"), &options);
    assert!(output.ends_with("\n>>> hi there\none\n\n"), "{output}");
}

#[test]
fn the_command_line_sets_and_warns() {
    let options = Options::parse("temp=0.5 n_ctx=512 top_p=2 system=\"Be brief.\" tmep=1", &[]);
    let output = choose_as(Script::piped("1\n/set temp\n/system\n"), &options);
    assert_shows(&output, "\ncommand line: there is no option tmep; did you mean temp?\n");
    assert_shows(&output, "\ncommand line: top_p takes 0 to 1, not \"2\"");
    assert_shows(&output, ", context 512 of 4096\n");
    assert_shows(&output, "temp = 0.5\n");
    assert_shows(&output, ">>> /system\nBe brief.\n");
}
