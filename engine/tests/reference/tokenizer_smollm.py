"""Make fixtures/tokenizer_smollm.json: the ids of each text of tokenizer_texts.py by HF `tokenizers`, over the GGUF's vocabulary.

    pip install -r requirements.txt
    python tokenizer_smollm.py [MODEL.gguf]

No special token is known here, so that "<|im_end|>" is encoded as the characters that a person typed. The vocabulary lacks the tokens of
21 bytes (04 06 13 14 16 1D C0 C1 F1 F2 F5-FF; 13 of them occur in no UTF-8 text); `tokenizers` drops such bytes before it merges. "lossy"
marks the texts that therefore do not decode to themselves.
"""

from common import bpe_tokenizer, made_with, model_path, read_gguf, smollm_pre_tokenizer, write_fixture
from tokenizer_texts import ALL


def main():
    path = model_path()
    tokenizer = bpe_tokenizer(read_gguf(path), smollm_pre_tokenizer())
    texts = []
    for text in ALL:
        ids = tokenizer.encode(text).ids
        lossy = {} if tokenizer.decode(ids) == text else {"lossy": True}
        texts.append({"text": text, "ids": ids} | lossy)
    print(f"{len(texts)} texts, {sum('lossy' in t for t in texts)} of them lossy")
    write_fixture("tokenizer_smollm.json", {"made_with": made_with("tokenizer_smollm.py", "gguf", "tokenizers", model=path), "texts": texts})


if __name__ == "__main__":
    main()
