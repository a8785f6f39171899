//! Answers with drafts, next to those without.

use alloc::vec::Vec;

use super::{Drafts, Speculation};
use crate::Token;
use crate::model::Model;
use crate::platform::OneCore;
use crate::sampler::{Probabilities, Sampler, SamplerParams};
use crate::session::tests::{session, with_model};
use crate::session::{KvType, Session};

/// The positions that the tiny models have.
const N_CTX: usize = 64;

/// Return the `n` tokens that follow `prompt`.
fn answer(
    model: &Model<'_>,
    prompt: &[Token],
    n: usize,
    params: &SamplerParams,
    speculation: &mut Speculation<'_>,
) -> Vec<Token> {
    let mut session = session(model, KvType::F32, prompt);
    let mut sampler = Sampler::new(params.clone());
    for _ in 0..n {
        let token = sampler.sample(session.logits(), session.tokens());
        speculation.eval(&mut session, token, &mut || true).unwrap().unwrap();
    }
    session.tokens()[prompt.len()..].to_vec()
}

/// Return the same without speculation.
fn plain_answer(model: &Model<'_>, prompt: &[Token], n: usize, params: &SamplerParams) -> Vec<Token> {
    let mut session = session(model, KvType::F32, prompt);
    let mut sampler = Sampler::new(params.clone());
    for _ in 0..n {
        let token = sampler.sample(session.logits(), session.tokens());
        session.eval(&[token], &mut || true).unwrap();
    }
    session.tokens()[prompt.len()..].to_vec()
}

#[test]
fn drafts_change_no_answer_whatever_the_sampler() {
    let drawn = SamplerParams { temperature: 1.0, top_k: 20, top_p: 0.9, ..SamplerParams::default() };
    let penalized = SamplerParams { repeat_penalty: 1.3, presence_penalty: 0.5, ..drawn.clone() };
    let prompt: Vec<Token> = (0..20).map(|i| 3 + i % 5).collect();
    let n = N_CTX - prompt.len();
    let mut speculation = Speculation::lookup();
    for name in ["llama", "gpt2", "qwen2", "qwen3"] {
        with_model(name, |model| {
            for params in [&SamplerParams::default(), &drawn, &penalized] {
                // Up to the end of the context.
                let found = answer(model, &prompt, n, params, &mut speculation);
                assert_eq!(found, plain_answer(model, &prompt, n, params), "{name}, {params:?}");
            }
        });
    }
    // There were drafts, good ones and bad ones.
    let Drafts { n_drafted, n_accepted } = speculation.drafts();
    assert!(0 < n_accepted && n_accepted < n_drafted, "{n_accepted} of {n_drafted}");
}

/// The model of random weights is very sure.
const TEMPERATURE: f32 = 3.0;

/// Return the probabilities of what follows `tokens`.
fn after(model: &Model<'_>, tokens: &[Token]) -> Vec<f64> {
    let session = session(model, KvType::F32, tokens);
    let logits: Vec<f32> = session.logits().iter().map(|logit| logit / TEMPERATURE).collect();
    let probabilities = Probabilities::new(&logits);
    (0..).take(logits.len()).map(|token| probabilities.of(token)).collect()
}

/// Draw often behind `prompt` and 7, where `speculation` drafts `drafted`, and hold what came against the probabilities.
fn assert_draws_as_the_model(
    model: &Model<'_>,
    prompt: &[Token],
    drafted: Token,
    mut speculation: Speculation<'_>,
) {
    const N_DRAWS: usize = 4000;
    let params = SamplerParams { temperature: TEMPERATURE, ..SamplerParams::default() };
    let first = after(model, &[prompt, &[7]].concat());
    let second = after(model, &[prompt, &[7, drafted]].concat());
    let n_vocab = first.len();

    // The first token alone where it is another than the draft's, else with the second.
    let mut expected = first;
    let p_accepted = core::mem::take(&mut expected[drafted as usize]);
    expected.extend(second.iter().map(|p| p_accepted * p));
    let mut counts = alloc::vec![0.0; 2 * n_vocab];
    let mut session = session(model, KvType::F32, prompt);
    let mut sampler = Sampler::new(params);
    for _ in 0..N_DRAWS {
        session.truncate(prompt.len());
        speculation.eval(&mut session, 7, &mut || true).unwrap();
        assert_eq!(session.draft()[0], drafted);
        let token = sampler.sample(session.logits(), session.tokens());
        if token != drafted {
            counts[token as usize] += 1.0;
            continue;
        }
        speculation.eval(&mut session, token, &mut || true).unwrap();
        counts[n_vocab + sampler.sample(session.logits(), session.tokens()) as usize] += 1.0;
    }
    assert_eq!(speculation.drafts().n_accepted as f64, counts[n_vocab..].iter().sum::<f64>());

    // Pearson's chi-square test; rare tokens count as one. The bound is some five deviations off.
    let (mut chi_square, mut n_cells, mut rare) = (0.0, 0.0, (0.0, 0.0));
    let mut add = |count: f64, expected: f64| {
        chi_square += (count - expected).powi(2) / expected;
        n_cells += 1.0;
    };
    for (count, p) in counts.into_iter().zip(expected) {
        let expected = p * N_DRAWS as f64;
        if expected < 5.0 {
            rare = (rare.0 + count, rare.1 + expected);
        } else {
            add(count, expected);
        }
    }
    add(rare.0, rare.1);
    assert!(p_accepted > 0.1 && n_cells > 50.0, "{p_accepted}, {n_cells} cells: this shows little");
    let freedom: f64 = n_cells - 1.0;
    assert!(chi_square < freedom + 5.0 * (2.0 * freedom).sqrt(), "{chi_square} of {n_cells} cells");
}

#[test]
fn drawn_tokens_have_the_distribution_of_the_model() {
    with_model("llama", |model| {
        // After 5 6 7 stands the token that the model finds likeliest there: it is the draft, and comes often.
        let prompt = |drafted: Token| [5, 6, 7, drafted, 5, 6];
        let p_drafted =
            |drafted: Token| after(model, &[&prompt(drafted)[..], &[7]].concat())[drafted as usize];
        let likelier = |a: &Token, b: &Token| p_drafted(*a).total_cmp(&p_drafted(*b));
        let drafted = (0..model.hparams().n_vocab as Token).max_by(likelier).unwrap();
        assert_draws_as_the_model(model, &prompt(drafted), drafted, Speculation::lookup());
    });
}

#[test]
fn drawn_tokens_have_the_distribution_of_the_model_and_not_of_its_draft_model() {
    with_model("llama", |model| {
        with_model("gpt2", |other| {
            let drafted = |prompt: &[Token]| {
                let session = session(other, KvType::F32, &[prompt, &[7]].concat());
                Sampler::new(SamplerParams::default()).sample(session.logits(), &[])
            };
            // One behind which the model is not surprised by what the other one drafts.
            let mut prompts = (3..60).flat_map(|a| (3..60).map(move |b| [a, b]));
            let prompt = prompts
                .find(|prompt| after(model, &[prompt, &[7][..]].concat())[drafted(prompt) as usize] > 0.12);
            let prompt = prompt.expect("such a prompt");
            let speculation = Speculation::draft_model(session(other, KvType::F32, &[3]));
            assert_draws_as_the_model(model, &prompt, drafted(&prompt), speculation);
        });
    });
}

#[test]
fn a_draft_model_changes_no_answer_whatever_the_sampler() {
    let drawn = SamplerParams { temperature: 1.0, top_k: 20, top_p: 0.9, ..SamplerParams::default() };
    let penalized = SamplerParams { repeat_penalty: 1.3, presence_penalty: 0.5, ..drawn.clone() };
    let prompt: Vec<Token> = (0..20).map(|i| 3 + i % 5).collect();
    let n = N_CTX - prompt.len();
    for (name, other) in [("llama", "gpt2"), ("gpt2", "llama"), ("qwen2", "llama"), ("qwen3", "qwen2")] {
        with_model(name, |model| {
            with_model(other, |other| {
                let mut speculation = Speculation::draft_model(session(other, KvType::F16, &[3]));
                for params in [&SamplerParams::default(), &drawn, &penalized] {
                    let found = answer(model, &prompt, n, params, &mut speculation);
                    assert_eq!(found, plain_answer(model, &prompt, n, params), "{name}, {params:?}");
                }
                let Drafts { n_drafted, n_accepted } = speculation.drafts();
                assert!(n_accepted < n_drafted, "{n_accepted} of {n_drafted}");
            });
        });
    }
}

#[test]
fn all_that_a_model_drafts_for_itself_comes() {
    let prompt: Vec<Token> = (0..20).map(|i| 3 + i % 5).collect();
    for name in ["llama", "gpt2", "qwen2", "qwen3"] {
        with_model(name, |model| {
            let mut session = session(model, KvType::F32, &prompt);
            let mut speculation = Speculation::draft_model(self::session(model, KvType::F32, &[3]));
            let mut sampler = Sampler::new(SamplerParams::default());
            while session.n_past() < N_CTX {
                let token = sampler.sample(session.logits(), session.tokens());
                speculation.eval(&mut session, token, &mut || true).unwrap().unwrap();
            }
            let Drafts { n_drafted, n_accepted } = speculation.drafts();
            assert_eq!((n_accepted, session.draft()), (n_drafted, &[][..]), "{name}");
            assert!(n_drafted > 30, "{n_drafted}");
        });
    }
}

#[test]
fn a_draft_model_follows_whatever_becomes_of_the_context() {
    let prompt: Vec<Token> = (0..40).map(|i| 3 + i * 7 % 20).collect();
    with_model("llama", |model| {
        let mut session = session(model, KvType::F32, &prompt);
        let mut speculation = Speculation::draft_model(self::session(model, KvType::F32, &[3]));
        let mut accepts = |session: &mut Session<'_>, what: &str| {
            speculation.begin();
            for _ in 0..9 {
                let token = Sampler::new(SamplerParams::default()).sample(session.logits(), &[]);
                speculation.eval(session, token, &mut || true).unwrap().unwrap();
            }
            let Drafts { n_drafted, n_accepted } = speculation.drafts();
            assert!(n_accepted >= 6, "{what}: {n_accepted} of {n_drafted}");
        };
        accepts(&mut session, "at first");
        session.truncate(17);
        session.eval(&[9, 8], &mut || true).unwrap();
        accepts(&mut session, "after another turn");
        session.clear();
        session.eval(&prompt[..9], &mut || true).unwrap();
        accepts(&mut session, "after a new beginning");
    });
}

#[test]
fn a_draft_model_that_is_interrupted_leaves_the_context_as_it_was() {
    let prompt: Vec<Token> = (0..20).map(|i| 3 + i % 5).collect();
    with_model("llama", |model| {
        let mut session = session(model, KvType::F32, &prompt);
        let mut speculation = Speculation::draft_model(self::session(model, KvType::F32, &[3]));
        let logits = session.logits().to_vec();
        assert_eq!(speculation.eval(&mut session, 7, &mut || false).unwrap(), None);
        assert_eq!((session.tokens(), session.logits()), (&prompt[..], &logits[..]));
        assert!(speculation.eval(&mut session, 7, &mut || true).unwrap().is_some());
    });
}

#[test]
fn a_draft_model_with_a_shorter_context_drafts_as_long_as_that_reaches() {
    let prompt: Vec<Token> = (0..20).map(|i| 3 + i % 5).collect();
    with_model("llama", |model| {
        let short = Session::new(model, &OneCore, 24).unwrap();
        let mut speculation = Speculation::draft_model(short);
        let params = SamplerParams::default();
        let found = answer(model, &prompt, N_CTX - 20, &params, &mut speculation);
        assert_eq!(found, plain_answer(model, &prompt, N_CTX - 20, &params));
        assert!((1..=4).contains(&speculation.drafts().n_drafted), "{:?}", speculation.drafts());
    });
}
