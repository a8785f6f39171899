//! Prompt lookup (Saxena 2023): what came last time. Answers quote their question, code repeats its names, and lists their
//! form.

use crate::Token;

/// The most tokens that have to come again, and the fewest: what followed them is the likelier, the more they are, and what
/// followed one is seldom right.
const MAX_NGRAM: usize = 3;
const MIN_NGRAM: usize = 2;

/// Return up to `n_draft` tokens that followed in `context` when it last ended in as many tokens as possible as it does
/// now, with `token` behind it.
pub(super) fn draft(context: &[Token], token: Token, n_draft: usize) -> &[Token] {
    // What is found has to be followed by something.
    let Some((_, earlier)) = context.split_last() else { return &[] };
    for n in (MIN_NGRAM..=MAX_NGRAM.min(context.len() + 1)).rev() {
        let before = &context[context.len() + 1 - n..];
        let is_same = |ngram: &[Token]| ngram.split_last() == Some((&token, before));
        if let Some(start) = earlier.windows(n).rposition(is_same) {
            let next = &context[start + n..];
            return &next[..n_draft.min(next.len())];
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::draft;

    #[test]
    fn proposes_what_followed_the_longest_and_latest_repetition() {
        // 1 2 3 was there, and later 9 2 3: three tokens tell more than two.
        assert_eq!(draft(&[1, 2, 3, 4, 9, 2, 3, 5, 1, 2], 3, 2), [4, 9]);
        // Of equals, the later one.
        assert_eq!(draft(&[9, 1, 2, 4, 8, 1, 2, 5, 6, 1], 2, 8), [5, 6, 1]);
        assert_eq!(draft(&[7, 8, 6, 7], 8, 8), [6, 7]);
        assert_eq!(draft(&[7, 7, 7], 7, 8), [7]);
    }

    #[test]
    fn proposes_nothing_without_a_repetition() {
        for context in [&[][..], &[1], &[1, 2, 3]] {
            assert_eq!(draft(context, 4, 8), [0; 0]);
        }
        // One token alone does not count.
        assert_eq!(draft(&[4, 1, 2], 4, 8), [0; 0]);
        // Nothing has followed it yet.
        assert_eq!(draft(&[2, 2], 2, 8), [0; 0]);
    }
}
