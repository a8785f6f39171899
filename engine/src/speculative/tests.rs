//! Answers with drafts, next to those without.

use alloc::vec::Vec;

use super::{Drafts, Speculation};
use crate::Token;
use crate::model::Model;
use crate::sampler::{Probabilities, Sampler, SamplerParams};
use crate::session::KvType;
use crate::session::tests::{session, with_model};

/// The positions that the tiny models have.
const N_CTX: usize = 64;

/// Return the `n` tokens that follow `prompt`.
fn answer(
    model: &Model<'_>,
    prompt: &[Token],
    n: usize,
    params: &SamplerParams,
    speculation: &mut Speculation,
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

#[test]
fn drawn_tokens_have_the_distribution_of_the_model() {
    const N_DRAWS: usize = 4000;
    // The model of random weights is very sure.
    const TEMPERATURE: f32 = 3.0;
    let params = SamplerParams { temperature: TEMPERATURE, ..SamplerParams::default() };
    with_model("llama", |model| {
        // After 5 6 7 stands the token that the model finds likeliest there: it is the draft, and comes often.
        let prompt = |drafted: Token| [5, 6, 7, drafted, 5, 6];
        let after = |tokens: &[Token]| -> Vec<f64> {
            let session = session(model, KvType::F32, tokens);
            let logits: Vec<f32> = session.logits().iter().map(|logit| logit / TEMPERATURE).collect();
            let probabilities = Probabilities::new(&logits);
            (0..).take(logits.len()).map(|token| probabilities.of(token)).collect()
        };
        let first = |drafted: Token| after(&[&prompt(drafted)[..], &[7]].concat());
        let likelier = |a: &Token, b: &Token| first(*a)[*a as usize].total_cmp(&first(*b)[*b as usize]);
        let drafted = (0..model.hparams().n_vocab as Token).max_by(likelier).unwrap();
        let (first, n_vocab) = (first(drafted), first(drafted).len());
        let second = after(&[&prompt(drafted)[..], &[7, drafted]].concat());

        // The first token alone where it is another than the draft's, else with the second.
        let mut expected = first.clone();
        let p_accepted = core::mem::take(&mut expected[drafted as usize]);
        expected.extend(second.iter().map(|p| p_accepted * p));
        let mut counts = alloc::vec![0.0; 2 * n_vocab];
        let mut session = session(model, KvType::F32, &prompt(drafted));
        let mut sampler = Sampler::new(params);
        let mut speculation = Speculation::lookup();
        for _ in 0..N_DRAWS {
            session.truncate(prompt(drafted).len());
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
    });
}
