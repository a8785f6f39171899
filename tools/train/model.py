"""The model: llama2.c's architecture, which is Llama's with small numbers, in as few lines as say it whole.

It is what engine/src/model/llama.rs computes. The pairs that RoPE turns are neighbours, (2i, 2i + 1), as in llama2.c and in ggml: weights are exported as they are.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

NORM_EPS = 1e-5  # run.c has it fixed
ROPE_FREQ_BASE = 10000.0  # likewise


@dataclass(frozen=True)
class Shape:
    """A model's hyperparameters, by the names that the engine gives them."""

    n_vocab: int
    n_ctx: int
    n_embd: int
    n_layer: int
    n_head: int
    n_head_kv: int  # fewer than n_head: heads share keys and values (GQA)
    n_ff: int

    def __post_init__(self):
        if self.n_embd % self.n_head or self.n_head % self.n_head_kv:
            raise ValueError(f"n_head_kv has to divide n_head, and that n_embd: {self.n_head_kv}, {self.n_head}, {self.n_embd}")
        if self.n_embd_head % 2:
            raise ValueError(f"RoPE turns pairs, and a head has {self.n_embd_head} numbers")

    @property
    def n_embd_head(self):
        return self.n_embd // self.n_head


def rotations(shape, n_tokens):
    """Return the cosines and sines (n_tokens, n_embd_head / 2) of the angles by which RoPE turns each pair at each position."""
    frequencies = ROPE_FREQ_BASE ** (-torch.arange(0, shape.n_embd_head, 2) / shape.n_embd_head)
    angles = torch.outer(torch.arange(n_tokens), frequencies)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """Return x (..., n_tokens, n_embd_head) with each pair of neighbours turned."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        n_kv = shape.n_head_kv * shape.n_embd_head
        self.q = nn.Linear(shape.n_embd, shape.n_embd, bias=False)
        self.k = nn.Linear(shape.n_embd, n_kv, bias=False)
        self.v = nn.Linear(shape.n_embd, n_kv, bias=False)
        self.output = nn.Linear(shape.n_embd, shape.n_embd, bias=False)

    def forward(self, x, cos, sin):
        def heads(projected, n_head):  # (n_batch, n_tokens, n) -> (n_batch, n_head, n_tokens, n_embd_head)
            return projected.unflatten(-1, (n_head, -1)).transpose(1, 2)

        q = rotate(heads(self.q(x), self.shape.n_head), cos, sin)
        k = rotate(heads(self.k(x), self.shape.n_head_kv), cos, sin)
        v = heads(self.v(x), self.shape.n_head_kv)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.output(mixed.transpose(1, 2).flatten(-2))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape):
        super().__init__()
        self.gate = nn.Linear(shape.n_embd, shape.n_ff, bias=False)
        self.up = nn.Linear(shape.n_embd, shape.n_ff, bias=False)
        self.down = nn.Linear(shape.n_ff, shape.n_embd, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Layer(nn.Module):
    def __init__(self, shape, dropout):
        super().__init__()
        self.attn_norm = nn.RMSNorm(shape.n_embd, NORM_EPS)
        self.attn = Attention(shape)
        self.ffn_norm = nn.RMSNorm(shape.n_embd, NORM_EPS)
        self.ffn = FeedForward(shape)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, cos, sin):
        x = x + self.dropout(self.attn(self.attn_norm(x), cos, sin))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))


class Model(nn.Module):
    def __init__(self, shape, dropout=0.0):
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.n_vocab, shape.n_embd)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(shape, dropout) for _ in range(shape.n_layer))
        self.output_norm = nn.RMSNorm(shape.n_embd, NORM_EPS)
        cos, sin = rotations(shape, shape.n_ctx)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.apply(initialise)
        for layer in self.layers:
            # Each layer adds twice to the stream; scaled so, the sum starts out no larger however many layers there are (GPT-2).
            for last in (layer.attn.output, layer.ffn.down):
                nn.init.normal_(last.weight, std=0.02 * (2 * shape.n_layer) ** -0.5)

    def forward(self, tokens):
        """Return the logits (n_batch, n_tokens, n_vocab) behind each of tokens (n_batch, n_tokens)."""
        n_tokens = tokens.shape[1]
        cos, sin = self.cos[:n_tokens], self.sin[:n_tokens]
        x = self.dropout(self.token_embd(tokens))
        for layer in self.layers:
            x = layer(x, cos, sin)
        return F.linear(self.output_norm(x), self.token_embd.weight)  # tied: the embedding makes the logits too


def initialise(module):
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)


def loss(model, tokens):
    """Return the mean surprise, in nats, at each token (n_batch, n_tokens) but the first."""
    logits = model(tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
