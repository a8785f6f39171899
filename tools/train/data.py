"""The text: read from files, cut into a part to learn from and a part held out, and drawn from in windows."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from tokenizer import BOS, EOS


@dataclass(frozen=True)
class Texts:
    """What was read. The end of every file is held out: it is never trained on, and tells how well the model does on what it has not seen."""

    train: list[str]
    held_out: list[str]
    sha256: str  # of all files, one behind the other


def read(paths, held_out):
    """Return the texts of the files at paths, with the fraction held_out of each held out from the beginning of a line on."""
    sha256 = hashlib.sha256()
    train, rest = [], []
    for path in paths:
        file = Path(path).read_bytes()
        sha256.update(file)
        text = file.decode()
        cut = text.rfind("\n", 0, int(len(text) * (1 - held_out))) + 1
        train.append(text[:cut])
        rest.append(text[cut:])
    return Texts(train, rest, sha256.hexdigest())


def encode(tokenizer, texts):
    """Return the tokens of all texts, each between a begin and an end token."""
    return torch.tensor([token for text in texts for token in [BOS, *tokenizer.encode(text), EOS]])


def random_windows(tokens, n_batch, n_ctx):
    """Return n_batch windows (n_batch, n_ctx + 1) from anywhere in tokens.

    Each begins with the begin token: a model is always run with one, and where a person's prompt stands in a text is not known.
    """
    starts = torch.randint(len(tokens) - n_ctx + 1, (n_batch, 1))
    return with_begin(tokens[starts + torch.arange(n_ctx)])


def all_windows(tokens, n_ctx):
    """Return the windows (n, n_ctx + 1) that follow each other in tokens; what is left at the end is left out."""
    return with_begin(tokens[: len(tokens) // n_ctx * n_ctx].view(-1, n_ctx))


def with_begin(windows):
    return torch.cat((torch.full((len(windows), 1), BOS), windows), dim=1)
