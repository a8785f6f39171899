//! The grammar of JSON against serde_json.

use engine::grammar::JSON;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

use crate::{matcher, matches};

fn random_json(rng: &mut Pcg32, depth: usize) -> serde_json::Value {
    let mut below = |n: u32| rng.next_u32() % n;
    let kind = if depth == 0 { below(6) } else { below(8) };
    match kind {
        0 => serde_json::Value::Null,
        1 => below(2).eq(&0).into(),
        2 => (i64::from(below(u32::MAX)) - (1 << 31)).into(),
        3 => (f64::from(below(1 << 20)) / 256.0).into(),
        4 | 5 => {
            let characters = ['a', '"', '\\', '\n', '\0', 'é', '漢', '😀', '/', '\u{7f}'];
            (0..below(5)).map(|_| characters[below(10) as usize]).collect::<String>().into()
        }
        6 => (0..below(4)).map(|_| random_json(rng, depth - 1)).collect::<Vec<_>>().into(),
        _ => {
            let members = (0..below(4)).map(|i| (format!("k{i}\t"), random_json(rng, depth - 1)));
            serde_json::Value::Object(members.collect())
        }
    }
}

#[test]
fn json_that_programs_write_is_matched() {
    let mut rng = Pcg32::seed_from_u64(4);
    let mut json = matcher(JSON);
    for _ in 0..2000 {
        let value = serde_json::Value::from(vec![random_json(&mut rng, 3)]);
        for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            assert!(matches(&mut json, &text), "{text}");
        }
    }
    for text in [r#"{"a": 1, "b": [ true, null ]}"#, "{\n\t\"a\": -0.5e-10\n}", r#"["\ud83D\uDE00\/"]"#] {
        assert!(matches(&mut json, text), "{text}");
    }
}

#[test]
fn what_is_matched_is_json() {
    let mut rng = Pcg32::seed_from_u64(5);
    let mut json = matcher(JSON);
    let bytes = br#"[]{}",:\u0dDeE+-.19truefalsn /"#;
    let [mut n_matched, mut n_refused, mut n_only_serde] = [0; 3];
    for _ in 0..20_000 {
        let value = serde_json::Value::from(vec![random_json(&mut rng, 2)]);
        let mut text = serde_json::to_string(&value).unwrap().into_bytes();
        for _ in 0..rng.next_u32() % 3 {
            let at = rng.next_u32() as usize % text.len();
            let byte = bytes[rng.next_u32() as usize % bytes.len()];
            match rng.next_u32() % 3 {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
            if text.is_empty() {
                break;
            }
        }
        let is_json = serde_json::from_slice::<serde_json::Value>(&text).is_ok();
        let is_matched = matches(&mut json, &text);
        assert!(is_json || !is_matched, "{}", String::from_utf8_lossy(&text));
        n_matched += u32::from(is_matched);
        n_refused += u32::from(!is_json);
        n_only_serde += u32::from(is_json && !is_matched);
    }
    println!("{n_matched} matched, {n_refused} are no JSON, {n_only_serde} are and were not matched");
    assert!(n_matched > 5000 && n_refused > 5000 && n_only_serde < n_matched / 10);
    for text in
        ["\"a\"", "1", "[1e400]", "[01]", "[\"\\ud800\"]", "[1,]", "{\"a\":1,}", "[]  ", "[\"\n\"]", ""]
    {
        assert!(!matches(&mut json, text), "{text}");
    }
}
