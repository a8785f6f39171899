"""Print the logits that llama.cpp computes with a model behind the last of some tokens, as a JSON list.

    python llama_cpp_logits.py MODEL.gguf 1 2 3
"""

import json
import sys

import llama_cpp

tokens = [int(token) for token in sys.argv[2:]]
model = llama_cpp.Llama(sys.argv[1], n_ctx=64, n_batch=64, n_threads=1, logits_all=True, verbose=False)
model.eval(tokens)
print(json.dumps([float(logit) for logit in model.scores[len(tokens) - 1]]))
