//! Conversations on scripted terminals: every command about what was said, and every limit of a turn.
//!
//! Every byte is a token of these models, and ChatML writes 19 beside a first message, 21 beside a further one.

use engine::format::gguf::Gguf;
use engine::model::Model;
use engine::session::{KvType, memory_required};
use engine::testing::ChainModel;

use crate::Options;
use crate::fit::RESERVE_BYTES;
use crate::testing::script::{Kind, Script};
use crate::tests::{
    assert_shows, bare_metal, endless, n_ctx_in, talk, talk_as, talk_to, talk_with_memory, unwrapped,
};

/// Let `typed` be typed to a model that says "yes".
fn talk_yes(typed: &str) -> String {
    talk_to(&ChainModel::answers("yes"), Script::piped(typed))
}

#[test]
fn history_shows_who_said_what() {
    let output = talk_yes("/history\none\n/system Be kind\ntwo\n/history\n");
    assert_shows(&output, ">>> /history\nNothing was said yet.\n\n>>> one");
    // <|im_start|>, "system\n", the text, <|im_end|>, "\n".
    assert_shows(
        &output,
        ">>> /history\nsystem (17 tokens): Be kind\nyou (39 tokens): one\nmodel (3 tokens): yes\n\
         you (24 tokens): two\nmodel (3 tokens): yes\n\n>>> ",
    );
}

#[test]
fn undo_takes_the_last_turn_back() {
    let output = talk_yes("/undo\none\ntwo\n/undo\n/history\nthree\n/stats\n/undo\n/undo\n/undo\n");
    assert_shows(&output, ">>> /undo\nNothing was said yet.\n\n>>> one");
    assert_shows(&output, ">>> /undo\nTaken back: two\n\n>>> /history\nyou (22 tokens): one\n");
    assert_shows(&output, "model (3 tokens): yes\n\n>>> three");
    // The last token of the first answer is read again, for the logits that undo has lost.
    assert_shows(&output, "prefill: 27 tokens, 0.01 s, 2700.0 tokens/s; 24 reused\n");
    assert!(output.ends_with("back: one\n\n>>> /undo\nNothing was said yet.\n\n>>> \n"), "{output}");
}

#[test]
fn regen_answers_again_and_reads_next_to_nothing() {
    let output = talk_yes("/regen\none\n/regen\n/stats\n/history\n");
    assert_shows(&output, ">>> /regen\nNothing was said yet.\n\n>>> one\nyes\n\n>>> /regen\nyes\n\n>>> ");
    assert_shows(&output, "prefill: 1 tokens, 0.01 s, 100.0 tokens/s; 21 reused\n");
    assert_shows(&output, ">>> /history\nyou (22 tokens): one\nmodel (3 tokens): yes\n\n>>> ");
}

#[test]
fn regen_draws_another_answer_and_the_same_with_a_fixed_seed() {
    let model = ChainModel::answers("yes").or_answers("NO");
    let answers = |seed: &str| {
        let typed = format!("/set temp 1\n/set seed {seed}\nwell?\n{}", "/regen\n".repeat(20));
        let output = talk_to(&model, Script::piped(typed));
        ["yes", "NO"].map(|answer| output.matches(&format!("\n{answer}\n")).count())
    };
    let [yes, no] = answers("random");
    assert!(yes > 0 && no > 0 && yes + no == 21, "{yes} {no}");
    assert!(answers("7").contains(&21));
}

#[test]
fn regen_stopped_before_all_was_read_keeps_the_answer() {
    let script =
        Script::piped("one\n/set n_ctx 1024\n").types("/regen\n").after(">>> /regen\n").types("\x03");
    let output = talk_to(&ChainModel::answers("yes"), script.after(">>> ").types("/history\n"));
    assert_shows(&output, ">>> /regen\n[stopped before all was read; the conversation is as it was]\n");
    assert_shows(&output, "you (22 tokens): one\nmodel (3 tokens): yes\n");
}

#[test]
fn drafts_are_counted_and_change_no_answer() {
    let script = "/set max_tokens 40\ngo\n/stats\n/set speculative lookup\n/stats on\n/regen\n/stats\n";
    let output = talk_to(&endless(), Script::piped(script));
    let answer = &"abc ".repeat(10);
    assert_eq!(output.matches(answer.trim_end()).count(), 2, "{output}");
    // What was drafted when max_tokens ended the answer did not come.
    let drafted = |output: &str| {
        let (n_drafted, n_accepted) =
            output.split_once("drafts: ")?.1.split_once(" accepted, ")?.0.split_once(" tokens, ")?;
        Some((n_drafted.parse::<usize>().ok()?, n_accepted.parse::<usize>().ok()?))
    };
    let (before, after) = output.split_once("speculative = lookup").unwrap();
    assert_eq!(drafted(before), None);
    let (n_drafted, n_accepted) = drafted(after).unwrap();
    assert!(n_accepted >= 20 && (n_accepted..n_accepted + 7).contains(&n_drafted), "{output}");
    assert_shows(&output, &format!(" ({n_accepted} of {n_drafted} drafted), context "));
}

/// Return what a conversation with the endless model shows, beside which `other` could draft.
fn talk_beside(other: &ChainModel, script: Script, options: &Options) -> String {
    let (file, other) = (endless().file(), other.file());
    let files: [(&str, &[u8]); 2] = [("big.gguf", &file), ("small.gguf", &other)];
    talk_as(script, &files, 1 << 30, bare_metal(), options).0.output().into()
}

#[test]
fn a_model_drafts_for_another() {
    let script =
        "1\n/set max_tokens 40\ngo\n/set speculative small\ngo\n/stats\n/memory\n/regen\n/undo\ngo\n/stats\n";
    let answer = "abc ".repeat(10);
    for (other, n_accepted) in [(endless(), 30..=40), (ChainModel::answers("xyz"), 0..=0)] {
        let output = talk_beside(&other, Script::piped(script), &Options::default());
        assert_shows(&output, "\nspeculative = small\n");
        assert_shows(&output, "  the same for the model that drafts\n");
        assert_eq!(output.matches(answer.trim_end()).count(), 4, "{output}");
        for stats in output.split(">>> /stats\n").skip(1) {
            let found = stats.split_once(" accepted, ").unwrap().0.rsplit_once(' ').unwrap().1;
            assert!(n_accepted.contains(&found.parse().unwrap()), "{output}");
        }
    }
}

#[test]
fn a_draft_model_can_be_asked_for_in_advance() {
    let settings = [("speculative", "small.gguf"), ("max_tokens", "12")];
    let settings = settings.map(|(name, value)| (name.to_string(), value.to_string())).to_vec();
    let options = Options { settings, prompt: Some("go".into()), ..Options::default() };
    let output =
        talk_beside(&endless(), Script::piped("/set n_ctx 128\n/memory\n/regen\n/stats\n"), &options);
    assert_eq!(output.matches("abc abc abc").count(), 2, "{output}");
    assert_shows(&output, "\nn_ctx = 128\n");
    assert_shows(&output, "  keys and values of 128 tokens\n");
    assert_shows(&output, "  the same for the model that drafts\n");
    assert_shows(&output, "\ndrafts: ");
}

#[test]
fn what_cannot_draft_is_refused_with_the_reason() {
    let script = "1\n/set speculative on\n/set speculative small\n/set speculative\n";
    let other = ChainModel::answers("yes").ends_with("<|end|>", Some("eos"));
    let output = talk_beside(&other, Script::piped(script), &Options::default());
    assert_shows(&output, "speculative takes off, lookup or a model. There is no model on: type a number");
    assert_shows(
        &output,
        "small.gguf has another vocabulary than big.gguf: expected \"<|im_end|>\" as token 257, and it has \"<|end|>\"",
    );
    assert_shows(&output, "\nspeculative = off\n");
}

#[test]
fn a_draft_model_for_which_memory_is_short_is_refused_in_numbers() {
    let file = ChainModel::answers("yes").n_ctx_train(1 << 20).file();
    let gguf = Gguf::parse(&file).unwrap();
    let model = Model::load(&gguf).unwrap();
    let context_bytes = |n_ctx, kv| memory_required(model.hparams(), n_ctx, kv, 1);
    let free_bytes = 10_000_000;
    // The largest that takes the place of the first one: there is no room for two of them.
    let n_ctx = n_ctx_in(free_bytes + context_bytes(2048, KvType::F16), &file, KvType::F16);
    let typed = format!("1\n/set n_ctx {n_ctx}\n/set speculative small\n/set speculative\none\n/stats\n");
    let files: [(&str, &[u8]); 2] = [("big.gguf", &file), ("small.gguf", &file)];
    let terminal = talk_with_memory(Script::piped(&typed), &files, free_bytes);
    let there_bytes = free_bytes + context_bytes(n_ctx, KvType::F16);
    let [f16, q8_0] = [KvType::F16, KvType::Q8_0].map(|kv| {
        let fits = |n: &usize| 2 * context_bytes(*n, kv) + RESERVE_BYTES <= there_bytes;
        (1..).map(|n| n * 64).take_while(fits).last().unwrap().min(n_ctx)
    });
    let needed = (2 * context_bytes(n_ctx, KvType::F16) + RESERVE_BYTES) as f64 / 1e6;
    let refusal = format!(
        "a context of {n_ctx} tokens in f16, with that of the model that drafts, takes {needed:.1} MB of memory and {:.1} MB are \
         free; {f16} fit, or {q8_0} in q8_0; it stays at {n_ctx}, kv f16",
        there_bytes as f64 / 1e6
    );
    let output = unwrapped(terminal.output());
    assert_shows(&output, &refusal);
    assert_shows(&output, ">>> /set speculative speculative = off ");
    assert_shows(
        &output,
        &format!(
            ">>> one yes >>> /stats prefill: 22 tokens, 0.01 s, 2200.0 tokens/s; 0 reused decode: 3 tokens, 0.01 s, 300.0 tokens/s context: 25 of {n_ctx} tokens"
        ),
    );
}

#[test]
fn continue_goes_on_with_a_stopped_answer() {
    let script = Script::new(Kind::Dumb, 80).types("go\n").after("abc abc").types("\x03").after(">>> ");
    let script = script.types("/set max_tokens 5\n/continue\n/continue\n/stats\n/history\n");
    let output = talk_to(&endless(), script);
    let answer = output.split(">>> go\n").nth(1).unwrap();
    let mut parts = answer.split("[stopped").map(|part| part.rsplit("\n\n").next().unwrap());
    let begun = parts.next().unwrap().trim_end_matches('\n');
    let whole = "abc ".repeat(begun.len() + 10);
    assert_shows(
        &output,
        &format!(">>> /continue\n{}\n[stopped after max_tokens = 5;", &whole[begun.len()..][..5]),
    );
    assert_shows(&output, &format!(">>> /continue\n{}\n", &whole[begun.len() + 5..][..5]));
    // The second one begins where the context is: its last token is read again.
    assert_shows(&output, "prefill: 1 tokens, ");
    let n_tokens = begun.len() + 10;
    assert_shows(&output, &format!("model ({n_tokens} tokens): {}\n", whole[..n_tokens].trim_end()));
}

#[test]
fn continue_has_nothing_to_add_to_a_whole_answer() {
    let output = talk_yes("/continue\none\n/continue\n");
    assert_shows(&output, ">>> /continue\nNothing was said yet.\n");
    assert_shows(&output, ">>> /continue\n[the model has nothing to say]\n\n>>> ");
}

#[test]
fn system_shows_sets_and_removes_the_message() {
    let output = talk_yes(
        "/system\n/system default\n/system Be  kind \n/system\none\n/stats\n/system none\n/system\n",
    );
    assert_shows(&output, ">>> /system\nThere is none; /system TEXT sets one.\n");
    assert_shows(&output, "The model's template has no system message of its own.\n");
    assert_shows(&output, ">>> /system\nBe  kind\n\n>>> one");
    assert_shows(&output, "prefill: 40 tokens, ");
    assert!(output.ends_with(
        "no system message any more.\n\n>>> /system\nThere is none; /system TEXT sets one.\n\n>>> \n"
    ));
}

#[test]
fn a_system_message_applies_to_what_was_said_already() {
    let output = talk_yes("one\n/system Be kind\ntwo\n/stats\n");
    // The first turn with its answer, the system message, and the second turn; all begin with <|im_start|>.
    assert_shows(&output, "prefill: 65 tokens, 0.01 s, 6500.0 tokens/s; 1 reused\n");
}

#[test]
fn clear_keeps_the_system_message() {
    let output = talk_yes("/system Be kind\none\n/clear\n/stats\n/system\n/history\none\n/stats\n");
    assert_shows(&output, "context: 17 of 2048 tokens\n");
    assert_shows(
        &output,
        ">>> /system\nBe kind\n\n>>> /history\nsystem (17 tokens): Be kind\n\n>>> one\nyes\n",
    );
    assert_shows(&output, "prefill: 22 tokens, 0.01 s, 2200.0 tokens/s; 17 reused\n");
}

#[test]
fn a_full_context_forgets_the_oldest_and_says_so() {
    let model = endless().n_ctx_train(64);
    let typed = "/set max_tokens 50\ngo\n/stats\n/history\nmore\n/stats\n";
    let output = talk_to(&model, Script::piped(typed));
    // 21 tokens of the message and 43 of the answer fill the context; half of them go.
    let answer = "abc ".repeat(13);
    let forgotten = "[the context was full: the oldest 32 tokens are forgotten]\n";
    let stopped = "[stopped after max_tokens = 50; /continue goes on]\n";
    assert_shows(&output, &format!(">>> go\n{}\n{forgotten}{stopped}", &answer[..50]));
    assert_shows(&output, "context: 39 of 64 tokens\n");
    assert_shows(&output, &format!("model (50 tokens): {}\n", answer[..50].trim_end()));
    assert_shows(&output, "The oldest 32 tokens are not in the context any more.\n");
    // 25 tokens more would leave room for none; half of the 39 go.
    assert_shows(&output, ">>> more\n[the context is full: the oldest 19 tokens are forgotten]\nabc ");
    assert_shows(&output, "prefill: 25 tokens, 0.01 s, 2500.0 tokens/s; 20 reused\n");
}

#[test]
fn a_full_context_keeps_the_system_message() {
    let model = endless().n_ctx_train(64);
    let output = talk_to(&model, Script::piped("/system Be kind\n/set max_tokens 90\ngo\n/undo\n/stats\n"));
    assert_shows(&output, "tokens are forgotten]\n");
    // What is left of the conversation is the system message.
    assert_shows(&output, "context: 17 of 64 tokens\n");
}

#[test]
fn regen_reads_a_forgotten_message_again() {
    let model = endless().n_ctx_train(64);
    let output =
        talk_to(&model, Script::piped("/set max_tokens 50\ngo\n/set max_tokens 5\n/regen\n/stats\n"));
    assert_shows(&output, ">>> /regen\nabc a\n[stopped after max_tokens = 5;");
    assert_shows(&output, "context: 26 of 64 tokens\n");
}

#[test]
fn what_is_said_after_undo_is_not_forgotten() {
    let model = endless().n_ctx_train(64);
    let typed = "/set max_tokens 50\none\ntwo\n/undo\n/set max_tokens 5\nthree\n/stats\n";
    let output = talk_to(&model, Script::piped(typed));
    // All of the first turn was forgotten; the message and the two tokens before it are there.
    assert_shows(&output, "prefill: 26 tokens, 0.01 s, 2600.0 tokens/s; 0 reused\n");
    assert_shows(&output, "context: 31 of 64 tokens\n");
}

#[test]
fn every_stop_string_ends_an_answer() {
    let output = talk_to(
        &ChainModel::answers("Hi.User:x"),
        Script::piped("/set stop \"###\" \"User:\"\none\n/history\n/set stop none\n/regen\n"),
    );
    assert_shows(&output, ">>> one\nHi.\n[stopped at a stop string; /set stop shows them]\n\n>>> ");
    assert_shows(&output, "model (3 tokens): Hi.\n");
    assert_shows(&output, ">>> /regen\nHi.User:x\n\n>>> ");
}

#[test]
fn another_context_reads_the_conversation_again() {
    let output = talk_yes("one\n/set n_ctx 512\n/stats\ntwo\n/stats\n/set kv f32\nthree\n/stats\n");
    assert_shows(&output, "context: 0 of 512 tokens\n");
    assert_shows(&output, "prefill: 49 tokens, 0.01 s, 4900.0 tokens/s; 0 reused\n");
    assert_shows(&output, "kv = f32\n");
    assert_shows(&output, "prefill: 78 tokens, 0.01 s, 7800.0 tokens/s; 0 reused\n");
}

#[test]
fn a_smaller_context_forgets_what_does_not_fit() {
    let output = talk_yes("one\ntwo\nthree\n/set n_ctx 64\n/regen\n/stats\n");
    assert_shows(&output, ">>> /regen\n[the context is full: the oldest 26 tokens are forgotten]\nyes\n");
    assert_shows(&output, "prefill: 52 tokens, 0.01 s, 5200.0 tokens/s; 0 reused\n");
}

#[test]
fn a_context_for_which_memory_is_short_is_refused_in_numbers() {
    let file = ChainModel::answers("yes").n_ctx_train(1 << 20).file();
    let free_bytes = 10_000_000;
    let script = Script::piped("one\n/set n_ctx 1000000\n/set n_ctx\n/set kv\n/stats\n");
    let terminal = talk_with_memory(script, &[("chain.gguf", &file)], free_bytes);
    let output = terminal.output();
    assert_shows(output, "a context of 1000000 tokens in f16 takes ");
    // The one that is there is given up for it.
    let gguf = Gguf::parse(&file).unwrap();
    let there_bytes = memory_required(Model::load(&gguf).unwrap().hparams(), 2048, KvType::F16, 1);
    let [f16, q8_0] = [KvType::F16, KvType::Q8_0].map(|kv| n_ctx_in(free_bytes + there_bytes, &file, kv));
    assert!(2048 < f16 && f16 < q8_0, "{f16} and {q8_0}");
    let would_fit = format!("{f16} fit, or {q8_0} in q8_0");
    assert_shows(
        output,
        &format!(" MB are free; {would_fit}; it stays at 2048, kv f16\n\n>>> /set n_ctx\nn_ctx = 2048\n"),
    );
    assert_shows(output, ">>> /set kv\nkv = f16\n");
    assert_shows(output, ">>> /stats\nprefill: 22 tokens");
    assert_shows(output, "context: 25 of 2048");
}

#[test]
fn stats_on_shows_a_line_after_every_answer() {
    let output = talk_yes("/stats on\none\n/stats off\ntwo\n/stats maybe\n");
    let line = "[prefill 22 tokens (0 reused) 2200.0/s, decode 3 tokens 300.0/s, context 25/2048]";
    assert_shows(&output, &format!(">>> one\nyes\n{line}\n\n>>> /stats off\n"));
    assert!(line.len() <= 80 + 1, "{}", line.len());
    assert_shows(&output, ">>> two\nyes\n\n>>> /stats maybe\n/stats takes on or off, not \"maybe\"\n");
}

#[test]
fn info_shows_what_the_model_is_made_of() {
    let output = talk_yes("/info\n");
    for row in [
        "model           chain, llama of 231K parameters, 0.9 MB\n",
        "n_layer         1\n",
        "n_embd          288\n",
        "n_ctx           2048, kv f16\n",
        "tensors         12 F32\n",
        "tokenizer       gpt2, pre-tokenizer smollm, 288 tokens\n",
        "a sequence      begins with no token, ends with token 257\n",
        "template        ChatML\n",
    ] {
        assert_shows(&output, row);
    }
}

#[test]
fn template_raw_continues_the_text() {
    let output =
        talk_yes("/template\n/template raw\none\n/stats\n/template auto\n/regen\n/stats\n/template no\n");
    assert_shows(&output, ">>> /template\nturns as in: ChatML\nthe model's own template:\n{{ '<|im_start|>'");
    assert_shows(&output, ">>> /template raw\nturns as in: none\n");
    assert_shows(&output, "prefill: 3 tokens, ");
    assert_shows(&output, "prefill: 22 tokens, ");
    assert_shows(&output, "/template takes raw or auto, not \"no\"\n");
}

#[test]
fn tokens_shows_texts_and_numbers() {
    let output = talk_yes("/tokens a\\\"é\n/tokens\n/tokens <|im_end|>\n");
    let tokens = "97 \"a\"  92 \"\\\\\"  34 \"\\\"\"  195 \"\u{fffd}\"  169 \"\u{fffd}\"\n";
    assert_shows(&output, &format!("{tokens}5 tokens, 4 characters\n"));
    assert_shows(&output, "/tokens takes a text: /tokens Hello, world!\n");
    assert_shows(&output, "10 tokens, 10 characters\n");
    assert!(output.lines().all(|line| line.chars().count() < 80), "{output}");
}

#[test]
fn logprobs_shows_the_likeliest_of_the_last_tokens() {
    let output = talk_yes("/logprobs\none\n/logprobs 2\n/logprobs 0\n/stats\nfour\n/stats\n");
    assert_shows(&output, ">>> /logprobs\nNothing was said yet.\n");
    // 287 logits are 0, and one is the root of 288: each of the others has e^-16.97 of its probability.
    assert_shows(
        &output,
        "\"y\"               -0.000  \"y\" 100.0%  \"\\0\" 0.0%\n".replace("\\0", "\u{fffd}").as_str(),
    );
    assert_shows(&output, "next                      <|im_end|> 100.0%  ");
    assert_shows(&output, "/logprobs takes 1 to 50, not \"0\"\n");
    // Nothing of the conversation is lost by looking.
    assert_shows(&output, "context: 25 of 2048 tokens\n");
    assert_shows(&output, "; 25 reused\n");
}

#[test]
fn perplexity_is_what_the_model_was_built_for() {
    let output = talk_yes("one\n/perplexity aaaa\n/perplexity yes\n/perplexity a\n/perplexity\n/stats\n");
    // After an "a", all 288 tokens are equally likely.
    assert_shows(&output, "perplexity 288.00: 3 tokens foreseen with 5.663 nats each\n");
    assert_shows(&output, "perplexity 1.00: 2 tokens foreseen with 0.000 nats each\n");
    assert_shows(&output, "The first token is foreseen by nothing: the text takes two at least.\n");
    assert_shows(&output, "/perplexity takes a text: /perplexity Hello, world!\n");
    assert_shows(&output, "context: 25 of 2048 tokens\n");
}

#[test]
fn a_text_longer_than_any_context_of_the_model_is_refused() {
    let model = ChainModel::answers("yes").n_ctx_train(64);
    let output = talk_to(&model, Script::piped(format!("/perplexity {}\n", "x".repeat(65))));
    assert_shows(&output, "This takes 65 tokens of context, and the model knows 64.\n");
}

#[test]
fn bench_measures_beside_the_conversation() {
    let output = talk_yes("one\n/bench\n/stats\n");
    let isa = engine::cpu::Kernels::detect().isa().to_string();
    let row =
        |test, speed| format!("| llama F32   |   0.89 MiB |   231K | {isa:<14} | {test} | {speed:>14} |\n");
    // The clock advances by 10 ms between two looks.
    assert_shows(&output, &(row("pp512", "51200.00 ± 0.00") + &row("tg128", "12800.00 ± 0.00")));
    assert!(output.lines().all(|line| line.chars().count() <= 80), "{output}");
    assert_shows(&output, "prefill: 22 tokens");
    assert_shows(&output, "context: 25 of 2048 tokens\n");
}

#[test]
fn ctrl_c_stops_a_bench_and_memory_may_be_short_for_it() {
    let script = Script::piped("/bench\n").after("---: |").types("\x03").after(">>> ").types("hi\n");
    let output = talk_to(&ChainModel::answers("yes"), script);
    assert_shows(&output, "---: |\n[stopped]\n\n>>> hi\nyes\n");
    let file = ChainModel::answers("yes").n_ctx_train(256).file();
    let script = Script::piped("/set n_ctx 64\n/bench\n");
    let terminal = talk_with_memory(script, &[("chain.gguf", &file)], 1 << 30);
    assert_shows(terminal.output(), "| pp256 |");
}

#[test]
fn trace_shows_every_step_of_the_last_token() {
    let output = talk_yes("/trace\none\n/trace\n/stats\n");
    assert_shows(&output, ">>> /trace\nNothing was said yet.\n");
    // One layer; the clock advances by 10 ms with each step.
    assert_shows(&output, "norms               20.000 ms  20.0%\n");
    assert_shows(&output, "logits              10.000 ms  10.0%\n");
    assert_shows(&output, "a token            100.000 ms 100.0%\n");
    assert_shows(&output, "context: 25 of 2048 tokens\n");
}

#[test]
fn demo_lists_and_says_what_to_try() {
    assert_shows(&talk_yes("/demo\n"), "No demos are known for this model; say anything.\n");
    let file = ChainModel::answers("yes").file();
    let script = Script::piped("/demo\n/demo 4\n/demo 2\n");
    let output = talk(script, &[("SmolLM2-135M-Instruct.F32.gguf", &file)]);
    assert_shows(&output, "/help lists the commands, /demo what to try; Ctrl-C stops, /exit leaves.\n\n");
    assert_shows(&output, ">>> /demo\n1  What is the capital of France?\n2  What is gravity?\n3  ");
    assert_shows(&output, "/demo takes 1 to 3, not \"4\"\n");
    assert_shows(&output, ">>> /demo 2\nWhat is gravity?\nyes\n\n>>> ");
}
