"""Make fixtures/pretokenizers.json: where HF `tokenizers` cuts each text of tokenizer_texts.py with the published patterns.

    pip install -r requirements.txt
    python pretokenizers.py

The patterns stand in the models' tokenizer.json; "default" is what llama.cpp takes where a file names none. Words are written as their
lengths in bytes of UTF-8; the texts themselves are those of tokenizer_smollm.json, in the same order.
"""

from tokenizers import Regex, pre_tokenizers

from common import made_with, write_fixture
from tokenizer_texts import ALL

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "llama-bpe": [LLAMA3],
    "qwen2": [LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")],
}


def word_lengths(patterns: list[str], text: str) -> list[int]:
    splits = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns])
    return [len(word.encode()) for word, _ in splits.pre_tokenize_str(text)]


def main():
    rows = [{"name": name, "words": [word_lengths(patterns, text) for text in ALL]} for name, patterns in PATTERNS.items()]
    write_fixture("pretokenizers.json", {"made_with": made_with("pretokenizers.py", "tokenizers"), "pre_tokenizers": rows})


if __name__ == "__main__":
    main()
