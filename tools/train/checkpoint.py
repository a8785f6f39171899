"""A checkpoint: one file with all that training needs to go on as if it had never stopped, and all that the others need of a model.

`shape`, `tokenizer` (a SentencePiece model file) and `model` make a model; `options`, `sha256` (of the text), `step`, `optimizer`, `random` and `history` make a training of it.
"""

import os
from dataclasses import asdict

import torch

from model import Model, Shape
from tokenizer import Tokenizer


def save(path, state):
    """Write state to path; whatever happens meanwhile, a whole checkpoint lies there."""
    part = f"{path}.part"
    torch.save(state, part)
    os.replace(part, path)


def load(path):
    """Return the state in path, which is only data: no code in it is run."""
    return torch.load(path, weights_only=True)


def of_model(model, tokenizer):
    """Return the part of a checkpoint that makes a model."""
    return {"shape": asdict(model.shape), "tokenizer": tokenizer.proto, "model": model.state_dict()}


def model_and_tokenizer(state, dropout=0.0):
    """Return the model of a checkpoint, ready to be run, and its tokenizer."""
    model = Model(Shape(**state["shape"]), dropout)
    model.load_state_dict(state["model"])
    return model.eval(), Tokenizer(state["tokenizer"])
