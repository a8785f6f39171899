"""The llama forward pass in numpy, straight from the paper: slow, short, float64. It reads any GGUF of that architecture.

It is not the engine's arithmetic: weights are dequantized to float once (gguf.quants) and activations are never rounded,
unless `round_activations` asks for the int8 blocks that quantized dot products use, to see how far that alone moves a logit.
RoPE turns the pairs (2i, 2i+1): GGUF files of this architecture hold q and k permuted for it.
"""

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

from common import field

INT8_BLOCK = 32  # activations per scale in the Q8_0 and Q8_1 block types


def int8_blocks(x: np.ndarray) -> np.ndarray:
    """Return `x` (..., n) as int8 blocks of 32 with one scale each would hold it."""
    blocks = x.reshape(*x.shape[:-1], -1, INT8_BLOCK)
    scale = np.abs(blocks).max(-1, keepdims=True) / 127
    rounded = np.round(blocks / np.where(scale == 0, 1, scale)) * scale
    return rounded.reshape(x.shape)


class Llama:
    """A model and its kv cache. Weights are (n_out, n_in)."""

    def __init__(self, reader: GGUFReader, dtype=np.float64, round_activations=False):
        def key(name):
            return field(reader, f"llama.{name}")

        self.n_layer, self.n_head, self.n_head_kv = key("block_count"), key("attention.head_count"), key("attention.head_count_kv")
        self.eps, self.rope_freq_base, self.n_rot = key("attention.layer_norm_rms_epsilon"), key("rope.freq_base"), key("rope.dimension_count")
        self.dtype, self.round = dtype, int8_blocks if round_activations else lambda x: x
        self.weights = {t.name: dequantize(t.data, t.tensor_type).astype(dtype) for t in reader.tensors}
        self.weights.setdefault("output.weight", self.weights["token_embd.weight"])
        self.clear()

    def clear(self):
        self.cache = [([], []) for _ in range(self.n_layer)]
        self.n_past = 0

    def linear(self, name, x):
        return self.round(x) @ self.weights[name].T

    def rms_norm(self, name, x):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.weights[name]

    def rope(self, x, positions):
        """Rotate the first n_rot of each head of `x` (n_tokens, heads, head_size)."""
        freq = self.rope_freq_base ** (-np.arange(0, self.n_rot, 2) / self.n_rot)
        angle = positions[:, None] * freq
        cos, sin = (f(angle)[:, None, :].astype(self.dtype) for f in (np.cos, np.sin))
        even, odd, out = x[..., 0 : self.n_rot : 2], x[..., 1 : self.n_rot : 2], x.copy()
        out[..., 0 : self.n_rot : 2] = even * cos - odd * sin
        out[..., 1 : self.n_rot : 2] = even * sin + odd * cos
        return out

    def attention(self, layer, x):
        """Return causal grouped-query attention of `x` (n_tokens, n_embd) over the cache and itself."""
        n = len(x)
        q, k, v = (self.linear(f"blk.{layer}.attn_{name}.weight", x) for name in "qkv")
        positions = self.n_past + np.arange(n)
        q = self.rope(q.reshape(n, self.n_head, -1), positions)
        k = self.rope(k.reshape(n, self.n_head_kv, -1), positions)
        for kept, new in zip(self.cache[layer], (k, v.reshape(n, self.n_head_kv, -1))):
            kept.extend(new)
        keys, values = (np.stack(kept).repeat(self.n_head // self.n_head_kv, axis=1) for kept in self.cache[layer])

        scores = np.einsum("qhd,khd->hqk", q, keys) / q.dtype.type(np.sqrt(q.shape[-1]))
        scores[:, positions[:, None] < np.arange(len(keys))] = -np.inf
        weight = np.exp(scores - scores.max(-1, keepdims=True))
        weight /= weight.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", weight, values).reshape(n, -1)
        return self.linear(f"blk.{layer}.attn_output.weight", mixed)

    def feed_forward(self, layer, x):
        gate, up = (self.linear(f"blk.{layer}.ffn_{name}.weight", x) for name in ("gate", "up"))
        return self.linear(f"blk.{layer}.ffn_down.weight", gate / (1 + np.exp(-gate)) * up)

    def eval(self, tokens) -> np.ndarray:
        """Add `tokens` to the context; return their logits (n_tokens, n_vocab)."""
        x = self.weights["token_embd.weight"][tokens]
        for layer in range(self.n_layer):
            x = x + self.attention(layer, self.rms_norm(f"blk.{layer}.attn_norm.weight", x))
            x = x + self.feed_forward(layer, self.rms_norm(f"blk.{layer}.ffn_norm.weight", x))
        self.n_past += len(tokens)
        return self.linear("output.weight", self.rms_norm("output_norm.weight", x))
