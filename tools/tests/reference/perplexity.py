"""Make fixtures/perplexity.json: how well models foresee a text, by llama.cpp's logits and llama-perplexity's way of counting.

    pip install llama-cpp-python==0.3.36 numpy        # builds llama.cpp
    python perplexity.py                              # some seconds

The models are engine/tests/fixtures/tiny_llama.gguf, as it is and with a token that begins every sequence, and the default model in models/.
llama-perplexity (tools/perplexity/perplexity.cpp of llama.cpp) cuts the tokens into chunks of n_ctx, puts that token in place of each chunk's first one,
and scores the tokens behind n_ctx / 2. Here it is written down anew, over the logits of llama-cpp-python.
"""

import hashlib
import json
import platform
import struct
import tempfile
from importlib.metadata import version
from pathlib import Path

import llama_cpp
import numpy as np
from llama_cpp import Llama

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TINY = ROOT / "engine" / "tests" / "fixtures" / "tiny_llama.gguf"
SMOLLM2 = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"

TEXT = (
    "The ferry left the harbour at six, when the lamps on the quay were still burning. There were eleven passengers: a teacher with a box of maps, two "
    "sisters who did not speak to each other, a man who sold clocks, and seven students on their way home. The captain had made the crossing four thousand "
    "times and no longer looked at the water. He looked at the gulls. When they flew low and close to the hull, he said, the wind would turn before noon, "
    "and it did. The man with the clocks wound each of them by hand, one after the other, so that they would strike together when the island came in "
    "sight. Nobody had asked him to. At ten minutes to nine the sisters began to laugh, and by the time the boat was made fast they had told everyone why.\n"
)


def with_bos(gguf: bytes, token: int) -> bytes:
    """Return the file with a token that begins every sequence. What is added to the metadata is 128 bytes long, so that the tensors stay aligned."""
    n_metadata = struct.unpack_from("<Q", gguf, 16)[0]
    key = lambda name: struct.pack("<Q", len(name)) + name.encode()
    added = key("tokenizer.ggml.add_bos_token") + struct.pack("<IB", 7, 1)
    added += key("tokenizer.ggml.bos_token_id") + struct.pack("<II", 4, token)
    added += key("x") + struct.pack("<IQ", 8, 23) + b"x" * 23
    assert len(added) == 128
    return gguf[:16] + struct.pack("<Q", n_metadata + 3) + added + gguf[24:]


def perplexity(path: Path, n_ctx: int, bos: int | None) -> dict:
    model = Llama(str(path), n_ctx=n_ctx, logits_all=True, n_threads=1, n_threads_batch=1, verbose=False)
    tokens = model.tokenize(TEXT.encode(), add_bos=bos is not None, special=False)
    n_chunks = len(tokens) // n_ctx
    scores = []
    for chunk in np.array(tokens[: n_chunks * n_ctx]).reshape(n_chunks, n_ctx):
        if bos is not None:
            chunk[0] = bos
        model.reset()
        model.eval(chunk.tolist())
        logits = model.scores[:n_ctx].astype(np.float64)
        for j in range(n_ctx // 2, n_ctx - 1):
            shifted = logits[j] - logits[j].max()
            scores.append(np.log(np.exp(shifted).sum()) - shifted[chunk[j + 1]])
    scores = np.array(scores)
    mean = scores.mean()
    # As llama-perplexity writes it: the error of the mean, times the estimate.
    error = np.sqrt((np.mean(scores**2) - mean**2) / (len(scores) - 1)) * np.exp(mean)
    return {"n_ctx": n_ctx, "n_chunks": n_chunks, "n_scored": len(scores), "perplexity": float(np.exp(mean)), "error": float(error)}


def main():
    cases = [{"model": TINY.name, "bos": None} | perplexity(TINY, 32, None)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bos.gguf"
        path.write_bytes(with_bos(TINY.read_bytes(), 65))
        cases.append({"model": TINY.name, "bos": 65} | perplexity(path, 32, 65))
    cases.append({"model": SMOLLM2.name, "bos": None} | perplexity(SMOLLM2, 64, None))
    made_with = {"script": "perplexity.py", "python": platform.python_version()}
    made_with |= {name: version(name) for name in ("llama-cpp-python", "numpy")}
    made_with["system"] = llama_cpp.llama_print_system_info().decode()
    made_with["model_sha256"] = hashlib.sha256(SMOLLM2.read_bytes()).hexdigest()
    fixture = {"made_with": made_with, "text": TEXT, "cases": cases}
    path = HERE.parent / "fixtures" / "perplexity.json"
    path.write_text(json.dumps(fixture, indent=1) + "\n")
    for case in cases:
        print(case)


if __name__ == "__main__":
    main()
