"""Make fixtures/smollm2_logits.json: what SmolLM2 answers, and its logits, by the numpy float64 forward pass of llama_numpy.py.

    pip install -r requirements.txt
    python smollm2_logits.py [MODEL.gguf]        # about a minute, 3 GB of memory

"greedy" holds for each prompt its token ids and the greedy continuation up to <|im_end|> (or 32 tokens), and for every step the gap
between the two best logits: a program whose logits are off by more than half of it may rightly choose another token there.
"logits" holds, for a few positions of a prompt or a text, the 20 best logits, mean and standard deviation over the
vocabulary, and the logits of 64 fixed ids ("probe_ids"). "int8" there is how far the logits move when only the activations are rounded to int8 blocks
of 32, weights unchanged: max and root-mean-square of the difference over the vocabulary, and "spread", its standard deviation: most of
the difference is one shift of all logits, which moves no choice. An engine with int8 activations lies about that far off; one in
floats is within 1e-3.
"""

import numpy as np

from common import bpe_tokenizer, encode_with_control, made_with, model_path, read_gguf, smollm_pre_tokenizer, write_fixture
from llama_numpy import Llama

QUESTIONS = [
    "What is the capital of France?",
    "Name three primary colors.",
    "Write one sentence about the sea.",
]
N_STEPS = 32

TEXT = """The lighthouse keeper wrote in her log every evening: wind, sea, and the ships that passed. On the 14th of March 1923 she
counted 27 sails before noon, and none after. "Fog," she wrote, "and a bell somewhere to the north." Later readers
have wondered which bell it was.

def ships(log):
    return [line for line in log if line.startswith("ship")]

La mer était calme; das Licht brannte die ganze Nacht. Nobody on the island spoke of it again, but children
were told to listen when the fog came in, and to count slowly: one, two, three, four. If they reached one hundred without
hearing anything, they could go to sleep. Most of them never did reach one hundred, and those who said they had were
not believed by anyone. The log itself is kept in the town museum, open at that page, under a lamp that is never put out."""


def user_prompt(question: str) -> str:
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def summary(name, position, logits, rounded, probe_ids) -> dict:
    best = np.argsort(-logits)[:20]
    moved = rounded - logits
    return {
        "of": name,
        "position": position,
        "top": [[int(i), round(float(logits[i]), 6)] for i in best],
        "mean": round(float(logits.mean()), 6),
        "std": round(float(logits.std()), 6),
        "probe": [round(float(logits[i]), 6) for i in probe_ids],
        "int8": {"max": round(float(np.abs(moved).max()), 4), "rms": round(float(np.sqrt((moved**2).mean())), 4),
                 "spread": round(float(moved.std()), 4), "top": int(rounded.argmax())},
    }


def greedy(model, prompt, end):
    """Return ids and top-2 gaps of the greedy continuation, and the logits of the prompt's last position."""
    model.clear()
    first = logits = model.eval(prompt)[-1]
    ids, gaps = [], []
    while len(ids) < N_STEPS:
        second, best = np.sort(logits)[-2:]
        ids.append(int(logits.argmax()))
        gaps.append(round(float(best - second), 4))
        if ids[-1] == end:
            break
        logits = model.eval(ids[-1:])[-1]
    return ids, gaps, first


def main():
    path = model_path()
    reader = read_gguf(path)
    tokenizer = bpe_tokenizer(reader, smollm_pre_tokenizer())
    exact, rounded = Llama(reader), Llama(reader, np.float32, round_activations=True)
    end = encode_with_control(reader, tokenizer, "<|im_end|>")[0]
    probe_ids = sorted(int(i) for i in np.random.default_rng(64).choice(49152, 64, replace=False))

    answers, logits = [], []
    for question in QUESTIONS:
        prompt = encode_with_control(reader, tokenizer, user_prompt(question))
        ids, gaps, last = greedy(exact, prompt, end)
        int8_ids, _, int8_last = greedy(rounded, prompt, end)
        answers.append({"prompt": user_prompt(question), "prompt_ids": prompt, "ids": ids, "gaps": gaps, "int8_ids": int8_ids})
        logits.append(summary(user_prompt(question), len(prompt) - 1, last, int8_last, probe_ids))
        print(question, ids, gaps, repr(tokenizer.decode(ids)), "int8 agrees:", ids == int8_ids)
    assert answers[0]["ids"] == [504, 3575, 282, 4649, 314, 7042, 30, 2]

    text_ids = tokenizer.encode(TEXT).ids
    exact.clear(), rounded.clear()
    by_position, by_position_int8 = exact.eval(text_ids), rounded.eval(text_ids)
    for position in (0, 63, 127, len(text_ids) - 1):
        logits.append(summary("text", position, by_position[position], by_position_int8[position], probe_ids))
    top_two = np.sort(by_position, -1)[:, -2:]
    gaps = top_two[:, 1] - top_two[:, 0]
    moved = np.abs(by_position_int8 - by_position)
    print(f"text: {len(text_ids)} tokens, top-2 gap mean {gaps.mean():.3f}, median {np.median(gaps):.3f}, 5 % quantile {np.quantile(gaps, 0.05):.3f}")
    print(f"int8 activations: logits move at most {moved.max():.3f}, rms {np.sqrt((moved**2).mean()):.4f}; "
          f"the best token differs at {(by_position.argmax(-1) != by_position_int8.argmax(-1)).sum()} positions")

    write_fixture("smollm2_logits.json", {
        "made_with": made_with("smollm2_logits.py", "gguf", "numpy", "tokenizers", model=path),
        "probe_ids": probe_ids, "text": TEXT, "text_ids": text_ids, "greedy": answers, "logits": logits,
    })


if __name__ == "__main__":
    main()
