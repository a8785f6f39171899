"""The vocabulary: SentencePiece's byte-pair encoding with a fall-back to bytes, as Llama 2 and llama2.c have it.

Nothing of a text is normalised away: what is decoded is what was encoded, to the byte.
"""

import io
import struct

import sentencepiece

UNKNOWN, BOS, EOS = 0, 1, 2  # where llama2.c expects them

# The numbers of `tokenizer.ggml.token_type`.
NORMAL, IS_UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def train(texts, n_vocab):
    """Return a tokenizer of n_vocab tokens, of which 259 are the unknown, begin, end, and every byte, learned from texts."""
    if n_vocab <= 259:
        raise ValueError(f"a vocabulary of {n_vocab} has no room for words: 259 tokens are control tokens and bytes")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(line for text in texts for line in text.splitlines() if line),
            model_writer=model,
            model_type="bpe",
            vocab_size=n_vocab,
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            add_dummy_prefix=False,  # a prompt begins as it is typed
            character_coverage=1.0,
            max_sentence_length=1 << 20,
            input_sentence_size=1_000_000,  # lines: enough to learn from, however long the text
            shuffle_input_sentence=True,
            unk_id=UNKNOWN,
            bos_id=BOS,
            eos_id=EOS,
            pad_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:  # most often that the text does not have so many different pieces
        raise ValueError(f"no vocabulary of {n_vocab} tokens can be learned from this text: {error}") from error
    return Tokenizer(model.getvalue())


class Tokenizer:
    def __init__(self, proto):
        self.proto = proto  # the bytes of a SentencePiece model file
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=proto)
        self.n_vocab = self.processor.get_piece_size()

    def encode(self, text):
        return self.processor.encode(text)

    def decode(self, tokens):
        return self.processor.decode(tokens)

    def pieces(self):
        """Return of every token its piece, its score and its type, as a GGUF file tells them."""

        def kind(token):
            if self.processor.is_unknown(token):
                return IS_UNKNOWN
            if self.processor.is_control(token):
                return CONTROL
            return BYTE if self.processor.is_byte(token) else NORMAL

        tokens = range(self.n_vocab)
        return [(self.processor.id_to_piece(token), self.processor.get_score(token), kind(token)) for token in tokens]

    def to_bin(self):
        """Return llama2.c's tokenizer.bin: the length of the longest piece, then score, length and text of each."""
        # As llama2.c's tokenizer.py writes them: spaces as spaces, and the begin and end tokens on lines of their own.
        special = {"<s>": "\n<s>\n", "</s>": "\n</s>\n"}
        texts = [special.get(piece, piece.replace("▁", " ")).encode() for piece, _, _ in self.pieces()]
        entries = [struct.pack("<fI", score, len(text)) + text for text, (_, score, _) in zip(texts, self.pieces())]
        return struct.pack("<I", max(map(len, texts))) + b"".join(entries)
