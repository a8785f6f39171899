"""Make fixtures/llama2c_v2.bin and .json: a tiny llama2.c model of version 2 with random weights, and the logits of a fixed sequence at every position.

    pip install -r requirements.txt
    python llama2c_v2.py

The file has the layout of version2_export in export.py of karpathy/llama2.c: a header, the norms as floats, then each matrix as int8 groups with their
scales behind them. The logits are computed in float64 with the weights that the file is worth: "logits" with the activations as they are,
"logits_int8" with them rounded to int8 blocks of 32 before each matrix, as an integer dot product has them.

hidden_dim is no multiple of the group size, so that the groups of w2 go over the ends of its rows (as in stories42M: 1376 and 64).
"""

import struct

import numpy as np

from common import FIXTURES, made_with, write_fixture
from llama_numpy import Llama, int8_blocks

SEED = 42
GROUP_SIZE = 64
DIM, HIDDEN_DIM, N_LAYERS, N_HEADS, N_KV_HEADS, VOCAB_SIZE, SEQ_LEN = 64, 96, 2, 4, 1, 40, 32
KV_DIM = DIM // N_HEADS * N_KV_HEADS
N_TOKENS = 20

# Matrices (n_out, n_in) under their names in GGUF, in the file's order: each of every layer before the next.
LAYER_MATRICES = {
    "attn_q": (DIM, DIM), "attn_k": (KV_DIM, DIM), "attn_v": (KV_DIM, DIM), "attn_output": (DIM, DIM),
    "ffn_gate": (HIDDEN_DIM, DIM), "ffn_down": (DIM, HIDDEN_DIM), "ffn_up": (HIDDEN_DIM, DIM),
}


def groups(weights):
    """Return int8 groups and their float32 scales: the largest of each group becomes 127."""
    flat = weights.astype(np.float32).reshape(-1, GROUP_SIZE)
    scales = np.abs(flat).max(1) / np.float32(127)
    return np.rint(flat / scales[:, None]).astype(np.int8), scales


def make_model(rng):
    """Return the file, and the weights that it is worth by name."""
    per_layer = [f"blk.{i}.{{}}.weight" for i in range(N_LAYERS)]
    norms = [name.format(norm) for norm in ("attn_norm", "ffn_norm") for name in per_layer] + ["output_norm.weight"]
    matrices = {"token_embd.weight": (VOCAB_SIZE, DIM)}
    matrices |= {name.format(matrix): shape for matrix, shape in LAYER_MATRICES.items() for name in per_layer}
    matrices |= {"output.weight": (VOCAB_SIZE, DIM)}

    header = struct.pack("<Ii7iBi", 0x616B3432, 2, DIM, HIDDEN_DIM, N_LAYERS, N_HEADS, N_KV_HEADS, VOCAB_SIZE, SEQ_LEN, False, GROUP_SIZE)
    file, worth = header.ljust(256, b"\0"), {}
    for name in norms:
        # Gains that are not 1, so that none can be left out unseen.
        gain = (1 + 0.3 * rng.standard_normal(DIM)).astype("<f4")
        file, worth[name] = file + gain.tobytes(), gain.astype(np.float64)
    for name, shape in matrices.items():
        # Products of about the size of their inputs; groups of different sizes.
        size = 1 if name == "token_embd.weight" else 1.5 * shape[1] ** -0.5
        quants, scales = groups(size * rng.standard_normal(shape) * rng.uniform(0.5, 1.5, (shape[0], 1)))
        file += quants.tobytes() + scales.astype("<f4").tobytes()
        worth[name] = (quants * scales.astype(np.float64)[:, None]).reshape(shape)
    return file, worth


class Llama2c(Llama):
    """The same forward pass over weights in hand, with run.c's constants."""

    def __init__(self, weights, round_activations=False):
        self.n_layer, self.n_head, self.n_head_kv = N_LAYERS, N_HEADS, N_KV_HEADS
        self.eps, self.rope_freq_base, self.n_rot = 1e-5, 10000.0, DIM // N_HEADS
        self.dtype, self.round = np.float64, int8_blocks if round_activations else lambda x: x
        self.weights = weights
        self.clear()


def main():
    rng = np.random.default_rng(SEED)
    file, weights = make_model(rng)
    (FIXTURES / "llama2c_v2.bin").write_bytes(file)
    print(f"llama2c_v2.bin: {len(file):,} bytes")
    tokens = rng.integers(0, VOCAB_SIZE, N_TOKENS)
    exact, rounded = (Llama2c(weights, round_activations).eval(tokens) for round_activations in (False, True))
    print(f"logits up to {np.abs(exact).max():.1f}; rounded activations move them by up to {np.abs(rounded - exact).max():.3f}")
    write_fixture("llama2c_v2.json", {
        "made_with": made_with("llama2c_v2.py", "numpy") | {"seed": SEED},
        "tokens": tokens.tolist(),
        "positions": [
            {"logits": exact[i].round(5).tolist(), "logits_int8": rounded[i].round(5).tolist()} for i in range(N_TOKENS)
        ],
    })


if __name__ == "__main__":
    main()
