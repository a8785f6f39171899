"""Make fixtures/tokenizer_llama2.json: the ids of each text of tokenizer_texts.py by `sentencepiece`, over the vocabulary of Llama-2.

    pip install -r requirements.txt
    python tokenizer_llama2.py tokenizer.bin [tok512.bin]

The vocabularies are read from files in llama2.c's form (its tokenizer.py wrote them from tokenizer.model: U+2581 became a space, "<s>" and
"</s>" got newlines around them). The texts are those of tokenizer_smollm.json, in the same order.
"""

import re
import struct
import sys
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb

from common import made_with, write_fixture
from tokenizer_texts import ALL

TYPES = pb.ModelProto.SentencePiece


def read(path: Path) -> sentencepiece.SentencePieceProcessor:
    """Return the tokenizer whose pieces are in a llama2.c tokenizer.bin: int32 longest, then float32 score, int32 length, bytes of each."""
    data, at, pieces = path.read_bytes(), 4, []
    while at < len(data):
        score, length = struct.unpack_from("<fi", data, at)
        pieces.append((data[at + 8 : at + 8 + length].decode(), score))
        at += 8 + length
    proto = pb.ModelProto()
    for i, (text, score) in enumerate(pieces):
        kind = {0: TYPES.UNKNOWN, 1: TYPES.CONTROL, 2: TYPES.CONTROL}.get(i, TYPES.BYTE if re.fullmatch("<0x[0-9A-F]{2}>", text) else TYPES.NORMAL)
        proto.pieces.add(piece=text.strip("\n") if kind == TYPES.CONTROL else text.replace(" ", "\u2581"), score=score, type=kind)
    proto.trainer_spec.model_type, proto.trainer_spec.byte_fallback = pb.TrainerSpec.BPE, True
    proto.normalizer_spec.name, proto.normalizer_spec.add_dummy_prefix = "identity", True
    proto.normalizer_spec.remove_extra_whitespaces, proto.normalizer_spec.escape_whitespaces = False, True
    return sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())


def main():
    rows = []
    for path in map(Path, sys.argv[1:]):
        processor = read(path)
        ids = [processor.encode(text) for text in ALL]
        lossy = [text for i, text in zip(ids, ALL) if processor.decode(i) != text]
        print(f"{path.name}: {processor.vocab_size()} pieces, lossy: {lossy}")
        rows.append({"file": path.name, "ids": ids})
    write_fixture("tokenizer_llama2.json", {"made_with": made_with("tokenizer_llama2.py", "sentencepiece"), "vocabularies": rows})


if __name__ == "__main__":
    main()
