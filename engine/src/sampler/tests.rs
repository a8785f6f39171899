//! Each stage against its definition, written naively here; then the whole, by what it draws.

use alloc::vec;
use alloc::vec::Vec;

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

use super::*;

const LOGITS: [f32; 5] = [1.0, 3.0, 2.0, -4.0, 3.0];

/// About as many tokens as a small vocabulary has, some of equal logits.
fn random_logits(rng: &mut Pcg32, n: usize) -> Vec<f32> {
    let spread = [0.5, 4.0, 30.0][rng.next_u32() as usize % 3];
    let uniform = |rng: &mut Pcg32| rng.next_u32() as f32 / u32::MAX as f32;
    let mut logits: Vec<f32> =
        (0..n).map(|_| spread * ((0..6).map(|_| uniform(rng)).sum::<f32>() - 3.0)).collect();
    for _ in 0..n / 10 {
        logits[rng.next_u32() as usize % n] = logits[rng.next_u32() as usize % n];
    }
    logits
}

fn candidates(logits: &[f32]) -> Vec<Candidate> {
    (0..).zip(logits).map(|(token, &logit)| Candidate { logit, token }).collect()
}

fn tokens(candidates: &[Candidate]) -> Vec<Token> {
    candidates.iter().map(|candidate| candidate.token).collect()
}

fn sorted(mut tokens: Vec<Token>) -> Vec<Token> {
    tokens.sort_unstable();
    tokens
}

/// Return all tokens, the likeliest first, of equals the smaller first.
fn naive_order(logits: &[f32]) -> Vec<Token> {
    let mut order: Vec<Token> = (0..logits.len() as Token).collect();
    order.sort_by(|&a, &b| logits[b as usize].partial_cmp(&logits[a as usize]).unwrap());
    order
}

fn naive_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(x.into()));
    let exp: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - max).exp()).collect();
    let total: f64 = exp.iter().sum();
    exp.iter().map(|x| x / total).collect()
}

#[test]
fn top_k_keeps_the_likeliest_in_order() {
    let mut rng = Pcg32::seed_from_u64(1);
    for n in [1, 2, 50, 3000] {
        let logits = random_logits(&mut rng, n);
        for k in [1, 2, 40, n - 1, n, n + 1] {
            let mut kept = candidates(&logits);
            truncation::top_k(&mut kept, k);
            match k {
                0 => assert_eq!(kept.len(), n),
                k if k < n => assert_eq!(tokens(&kept), naive_order(&logits)[..k], "{k} of {n}"),
                _ => assert_eq!(kept.len(), n),
            }
        }
    }
}

#[test]
fn top_p_keeps_the_fewest_that_reach_it() {
    let mut rng = Pcg32::seed_from_u64(2);
    let mut lens = Vec::new();
    for round in 0..60 {
        let n = [1, 5, 64, 65, 3000][round % 5];
        let logits = random_logits(&mut rng, n);
        let p = naive_softmax(&logits);
        for top_p in [0.0, 0.1, 0.5, 0.9, 0.99] {
            let mut total = 0.0;
            let mut sums = naive_order(&logits).into_iter().map(|token| {
                total += p[token as usize];
                total
            });
            let mut kept = candidates(&logits);
            truncation::top_p(&mut kept, top_p as f32, Kernels::detect(), &mut Vec::new());
            let sum = sums.nth(kept.len() - 1).unwrap();
            // In single precision a sum may fall on the other side of what it only just reaches or misses.
            let rounding = 2e-5;
            let before = sum - p[naive_order(&logits)[kept.len() - 1] as usize];
            assert!(sum >= top_p - rounding && before <= top_p + rounding, "{before} {top_p} {sum}");
            let mut expected = naive_order(&logits);
            expected.truncate(kept.len());
            assert_eq!(sorted(tokens(&kept)), sorted(expected));
            lens.push(kept.len());
        }
    }
    // More than are put in order at first, and more than at second, too.
    assert!(lens.iter().any(|len| (65..512).contains(len)) && lens.iter().any(|&len| len > 512));
}

#[test]
fn min_p_keeps_what_is_likely_enough_beside_the_likeliest() {
    let mut rng = Pcg32::seed_from_u64(3);
    for _ in 0..50 {
        let logits = random_logits(&mut rng, 500);
        let p = naive_softmax(&logits);
        let max = p.iter().fold(0.0, |max: f64, p| max.max(*p));
        for min_p in [0.001, 0.05, 0.5, 1.0] {
            let mut kept = candidates(&logits);
            truncation::min_p(&mut kept, min_p as f32);
            for (token, p) in (0..).zip(&p) {
                let is_kept = kept.iter().any(|candidate| candidate.token == token);
                let near = (p / max / min_p - 1.0).abs() < 1e-4;
                assert!(near || is_kept == (*p >= min_p * max), "{p} of {max} with {min_p}");
            }
        }
    }
}

#[test]
fn stages_that_are_off_keep_everything() {
    let logits = random_logits(&mut Pcg32::seed_from_u64(4), 300);
    let mut kept = candidates(&logits);
    truncation::top_k(&mut kept, 0);
    truncation::top_p(&mut kept, 1.0, Kernels::detect(), &mut Vec::new());
    truncation::min_p(&mut kept, 0.0);
    penalties::bias(&mut kept, &[]);
    penalties::no_repeat_ngram(&mut kept, 0, &[1, 1, 1]);
    let off = SamplerParams::default();
    penalties::repeated(&mut kept, &off, &[1, 1, 1], &mut Vec::new());
    let no_window = SamplerParams { repeat_penalty: 2.0, repeat_last_n: 0, ..off };
    penalties::repeated(&mut kept, &no_window, &[1, 1, 1], &mut Vec::new());
    assert_eq!(kept, candidates(&logits));
}

#[test]
fn penalties_follow_their_definition() {
    let mut rng = Pcg32::seed_from_u64(5);
    for repeat_last_n in [1, 7, 64, 1000] {
        let logits = random_logits(&mut rng, 50);
        let context: Vec<Token> = (0..100).map(|_| rng.next_u32() % 30).collect();
        let params = SamplerParams {
            repeat_last_n,
            repeat_penalty: 1.3,
            presence_penalty: 0.4,
            frequency_penalty: 0.11,
            ..SamplerParams::default()
        };
        let mut found = candidates(&logits);
        penalties::repeated(&mut found, &params, &context, &mut Vec::new());
        for (candidate, &logit) in found.iter().zip(&logits) {
            let window = context.iter().rev().take(repeat_last_n);
            let times = window.filter(|&&token| token == candidate.token).count();
            let expected = match times {
                0 => logit,
                _ if logit <= 0.0 => logit * 1.3 - 0.4 - 0.11 * times as f32,
                _ => logit / 1.3 - 0.4 - 0.11 * times as f32,
            };
            assert!((candidate.logit - expected).abs() < 1e-5, "{times}: {} {expected}", candidate.logit);
        }
    }
}

#[test]
fn no_ngram_occurs_twice() {
    let mut rng = Pcg32::seed_from_u64(6);
    for n in 1..5 {
        for len in [0, 1, 2, 30] {
            let context: Vec<Token> = (0..len).map(|_| rng.next_u32() % 3).collect();
            let mut found = candidates(&[1.0; 4]);
            penalties::no_repeat_ngram(&mut found, n, &context);
            for candidate in found {
                let mut next = context.clone();
                next.push(candidate.token);
                let last = next.len().checked_sub(n).map(|at| &next[at..]);
                let is_new = last.is_none_or(|last| !context.windows(n).any(|ngram| ngram == last));
                assert_eq!(candidate.logit == 1.0, is_new, "{n}-gram {last:?} after {context:?}");
            }
        }
    }
}

fn draws(params: &SamplerParams, n: usize) -> Vec<Token> {
    let mut sampler = Sampler::new(params.clone());
    (0..n).map(|_| sampler.sample(&LOGITS, &[])).collect()
}

#[test]
fn temperature_zero_takes_the_first_of_the_likeliest() {
    assert_eq!(draws(&SamplerParams::default(), 3), [1, 1, 1]);
    // Whatever else is set: the likeliest is never left out.
    let params = SamplerParams { top_k: 1, top_p: 0.1, min_p: 0.9, ..SamplerParams::default() };
    assert_eq!(draws(&params, 3), [1, 1, 1]);
    let warm = SamplerParams { temperature: 1.0, ..params };
    assert_eq!(draws(&warm, 3), [1, 1, 1]);
}

#[test]
fn the_coldest_and_the_hottest_draw_still_follow_the_logits() {
    let cold = SamplerParams { temperature: f32::MIN_POSITIVE, ..SamplerParams::default() };
    let mut seen = sorted(draws(&cold, 200));
    seen.dedup();
    assert_eq!(seen, [1, 4]);
    let hot = SamplerParams { temperature: f32::MAX, ..SamplerParams::default() };
    let mut seen = sorted(draws(&hot, 200));
    seen.dedup();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn each_stage_changes_what_is_drawn() {
    // The probabilities are 0.054, 0.398, 0.146, 0.0004, 0.398: two tokens reach 0.7, three reach 0.9.
    let seen = |change: &dyn Fn(&mut SamplerParams)| {
        let mut params = SamplerParams { temperature: 1.0, seed: 7, ..SamplerParams::default() };
        change(&mut params);
        let mut sampler = Sampler::new(params);
        let mut seen = sorted((0..500).map(|_| sampler.sample(&LOGITS, &[4, 1, 0, 4])).collect());
        seen.dedup();
        seen
    };
    assert_eq!(seen(&|params| params.top_p = 0.7), [1, 4]);
    assert_eq!(seen(&|params| params.top_p = 0.9), [1, 2, 4]);
    assert_eq!(seen(&|params| params.top_k = 3), [1, 2, 4]);
    assert_eq!(seen(&|params| params.min_p = 0.3), [1, 2, 4]);
    assert_eq!(seen(&|params| params.min_p = 0.5), [1, 4]);
    // 4, 1 was there.
    assert_eq!(seen(&|params| (params.no_repeat_ngram, params.top_k) = (2, 2)), [2, 4]);
    assert_eq!(seen(&|params| params.logit_bias = [(1, f32::NEG_INFINITY), (4, -50.0)].into()), [0, 2]);
    assert_eq!(seen(&|params| params.logit_bias = [(3, f32::INFINITY), (9, 1.0)].into()), [3]);
    // Penalties come before top-k.
    assert_eq!(seen(&|params| (params.presence_penalty, params.top_k) = (20.0, 2)), [2, 3]);
    assert_eq!(seen(&|params| (params.frequency_penalty, params.top_k) = (2.0, 2)), [1, 2]);
    // Token 4 is the only one in a window of one: 3 / 3 is below 2.
    let window = |params: &mut SamplerParams| {
        (params.repeat_penalty, params.repeat_last_n, params.top_k) = (3.0, 1, 2);
    };
    assert_eq!(seen(&window), [1, 2]);
    // Temperature comes last: at this one, all would be about as likely.
    assert_eq!(seen(&|params| (params.temperature, params.top_p) = (100.0, 0.7)), [1, 4]);
}

#[test]
fn draws_follow_the_probabilities() {
    let n = 20_000;
    let shares = |params: &SamplerParams, expected: &[(Token, f64)]| {
        let drawn = draws(params, n);
        for &(token, p) in expected {
            let share = drawn.iter().filter(|&&drawn| drawn == token).count() as f64 / n as f64;
            // Four standard deviations of a share at this many draws.
            let tolerance = 4.0 * (p * (1.0 - p) / n as f64).sqrt();
            assert!((share - p).abs() <= tolerance, "token {token} was drawn with {share}, not {p}");
        }
    };
    let params = SamplerParams { temperature: 1.0, seed: 3, ..SamplerParams::default() };
    shares(&params, &[(0, 0.053_9), (1, 0.398_6), (2, 0.146_6), (3, 0.000_36), (4, 0.398_6)]);
    // At temperature 2: e^-1, 1, e^-0.5, e^-3.5, 1 over their sum 3.004606.
    let hot = SamplerParams { temperature: 2.0, ..params.clone() };
    shares(&hot, &[(0, 0.122_4), (1, 0.332_8), (2, 0.201_9), (3, 0.010_05), (4, 0.332_8)]);
    // The three that are left share what the others had.
    let top = SamplerParams { top_k: 3, ..params };
    shares(&top, &[(0, 0.0), (1, 0.422_3), (2, 0.155_4), (3, 0.0), (4, 0.422_3)]);
}

#[test]
fn the_seed_decides() {
    let with = |seed| draws(&SamplerParams { temperature: 1.5, seed, ..SamplerParams::default() }, 50);
    assert_eq!(with(11), with(11));
    assert_ne!(with(11), with(12));
}

#[test]
fn logits_that_are_not_numbers_are_not_drawn() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for temperature in [0.0, 1.0] {
        for (top_p, min_p, top_k) in [(1.0, 0.0, 0), (0.9, 0.1, 3)] {
            let params =
                SamplerParams { temperature, top_p, min_p, top_k, seed: 1, ..SamplerParams::default() };
            let mut sampler = Sampler::new(params);
            let mut seen = |logits: &[f32]| {
                let mut seen = sorted((0..100).map(|_| sampler.sample(logits, &[])).collect());
                seen.dedup();
                seen
            };
            assert_eq!(seen(&[nan, -2.0, nan, -inf, -900.0]), [1]);
            assert_eq!(seen(&[1.0, f32::MAX, -inf, f32::MIN, nan]), [1]);
            assert_eq!(seen(&[nan, 3.0, inf, -inf]), [2]);
            assert_eq!(seen(&[nan; 4]), [0]);
            assert_eq!(seen(&[-inf; 4]), [0]);
            assert_eq!(seen(&[]), [0]);
            let both = if temperature == 0.0 { vec![1] } else { vec![1, 2] };
            assert_eq!(seen(&[0.0, inf, inf, nan]), both);
        }
    }
}
