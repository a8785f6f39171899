"""Make fixtures/tokenizer_spm.json: small vocabularies that `sentencepiece` trains, and its ids of each text of tokenizer_texts.py.

    pip install -r requirements.txt
    python tokenizer_spm.py

The vocabularies differ in what a GGUF file can say of one: with and without the space before a text, with and without bytes for characters
that are no pieces, with user-defined pieces. The texts are those of tokenizer_smollm.json, in the same order; "lossy" counts those that do
not decode to themselves (without bytes, unknown characters are lost).
"""

import io

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb

from common import made_with, write_fixture
from tokenizer_texts import ALL, PROSE, SCRIPTS

VOCABULARIES = [
    {"name": "bytes, a space before", "add_dummy_prefix": True, "byte_fallback": True, "vocab_size": 900, "user_defined_symbols": ["<b>", "Hello", "123"]},
    {"name": "bytes, no space before", "add_dummy_prefix": False, "byte_fallback": True, "vocab_size": 700, "user_defined_symbols": ["<b>", "<br>", "->", "1", "日本", "\n\n"]},
    {"name": "no bytes, a space before", "add_dummy_prefix": True, "byte_fallback": False, "vocab_size": 600},
]
TYPES = pb.ModelProto.SentencePiece


def train(options: dict) -> pb.ModelProto:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(PROSE + SCRIPTS[:20]), model_writer=model, model_type="bpe", character_coverage=0.98,
        normalization_rule_name="identity", remove_extra_whitespaces=False, num_threads=1, minloglevel=2, max_sentence_length=1 << 16,
        **{key: value for key, value in options.items() if key != "name"},
    )
    proto = pb.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto


def ids_without_runs(processor, text: str) -> list[int]:
    """Return the ids, one unknown id per unknown character: the package joins runs of them, which loses how many there were."""
    return [piece.id for piece in processor.encode(text, return_type="proto").pieces for _ in (piece.surface if piece.id == processor.unk_id() else " ")]


def main():
    rows = []
    for options in VOCABULARIES:
        proto = train(options)
        processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        ids = [ids_without_runs(processor, text) for text in ALL]
        rows.append({
            "name": options["name"],
            "adds_space_prefix": options["add_dummy_prefix"],
            "pieces": [piece.piece for piece in proto.pieces],
            "scores": [piece.score for piece in proto.pieces],
            "types": [piece.type for piece in proto.pieces],
            "ids": ids,
            "lossy": [i for i, text in enumerate(ALL) if processor.decode(ids[i]) != text],
        })
        print(options["name"], len(proto.pieces), "pieces,", len(rows[-1]["lossy"]), "lossy", {t: sum(p.type == t for p in proto.pieces) for t in TYPES.Type.values()})
    write_fixture("tokenizer_spm.json", {"made_with": made_with("tokenizer_spm.py", "sentencepiece"), "vocabularies": rows})


if __name__ == "__main__":
    main()
