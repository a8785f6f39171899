"""Make fixtures/llama_cpp_greedy.json: what llama.cpp continues ten prompts with, greedily; and compare it with transformers on the tiny models.

    pip install -r requirements.txt
    CMAKE_ARGS=-DGGML_NATIVE=ON pip install --no-binary llama-cpp-python llama-cpp-python==0.3.36    # builds llama.cpp, some ten minutes
    python llama_cpp_greedy.py [MODEL.gguf]        # half a minute

"prompts" holds for each its text, llama.cpp's token ids of it (control tokens read where they are spelled, no BOS), and "steps": for each of the 32
tokens that follow the two likeliest, [id, logit, id, logit]; the first is what goes on, past an <|im_end|> too. llama.cpp rounds activations to 8 bits as
the engine does, keeps keys and values in binary16, and runs on one thread, so that its sums always have the same order.

What is printed of the tiny models (tiny_models.py) shows that llama.cpp reads those files as transformers meant them: with keys and values in floats, the
logits of every position differ by 4e-5 at the most, those of gpt2 by 0.007, as ggml takes GELU from a table in binary16.
"""

import llama_cpp
import numpy as np
from llama_cpp import Llama

from common import FIXTURES, field, made_with, model_path, read_gguf, write_fixture

N_STEPS = 32

PROMPTS = [
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nYou are a cook who answers in one sentence.<|im_end|>\n<|im_start|>user\nHow do I boil an egg?<|im_end|>\n<|im_start|>assistant\n",
    "The lighthouse keeper wrote in her log every evening:",
    "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
    "1, 2, 4, 8, 16, 32, 64,",
    "Il était une fois, dans un petit village de Bretagne,",
    "むかしむかし、あるところに、おじいさんと",
    "Weather today: ☀️🌧️ and my mood: 🙂👍🏽\n",
    "| planet | moons |\n|--------|-------|\n| Earth | 1 |\n| Mars | 2 |\n| Jupiter |",
    "The harbour of the town lies between two hills, and whoever comes by sea sees first the white tower on the eastern one. It was built in 1787, after "
    "three ships had been lost in a single winter, and its first keeper was a widow who had asked for the post because nobody else wanted it. She kept a diary. "
    "In it she wrote down the wind, the sea, the names of the ships that passed, and now and then a sentence about herself: that the stairs had 112 steps, that "
    "the oil smelled of fish, that she had taught her dog to bark when the fog came in. After her death the diary lay in a chest for almost a hundred years, "
    "until a teacher found it and read from it to her class. The children asked what had become of the dog. The teacher did not know, and so they decided",
]


def load(path, n_ctx: int, **options) -> Llama:
    return Llama(str(path), n_ctx=n_ctx, logits_all=True, n_threads=1, n_threads_batch=1, verbose=False, **options)


def logits(model: Llama) -> np.ndarray:
    """Return the logits (n_vocab) of the last position."""
    return model.scores[model.n_tokens - 1]


def greedy(model: Llama, prompt: list[int]) -> list[list]:
    """Return the steps of the continuation: the two likeliest ids with their logits."""
    model.reset()
    model.eval(prompt)
    steps = []
    for _ in range(N_STEPS):
        now = logits(model)
        second, best = (int(token) for token in np.argsort(now, kind="stable")[-2:])
        steps.append([best, round(float(now[best]), 4), second, round(float(now[second]), 4)])
        model.eval([best])
    return steps


def compare_tiny_models() -> None:
    for path in sorted(FIXTURES.glob("tiny_*.gguf")):
        reader = read_gguf(path)
        tokens = [int(token) for token in field(reader, "reference.tokens")]
        expected = np.array(field(reader, "reference.logits")).reshape(len(tokens), -1)
        model = load(path, 64, type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32)
        model.eval(tokens)
        difference = np.abs(model.scores[: len(tokens)] - expected).max()
        print(f"{path.name}: llama.cpp's logits differ from transformers' by at most {difference:.1e}, of up to {np.abs(expected).max():.1f}")


def main():
    compare_tiny_models()
    path = model_path()
    model = load(path, 512)
    prompts = []
    for text in PROMPTS:
        ids = model.tokenize(text.encode(), add_bos=False, special=True)
        steps = greedy(model, ids)
        prompts.append({"text": text, "ids": ids, "steps": steps})
        print(len(ids), "tokens:", repr(model.detokenize([step[0] for step in steps], special=True).decode(errors="replace")))
    system = llama_cpp.llama_print_system_info().decode()
    write_fixture("llama_cpp_greedy.json", {
        "made_with": made_with("llama_cpp_greedy.py", "llama-cpp-python", "numpy", model=path) | {"system": system},
        "prompts": prompts,
    })


if __name__ == "__main__":
    main()
