"""Make fixtures/gguf_py-0000?-of-00003.gguf: a model of five tensors in the parts that llama.cpp's `gguf` package makes of it.

    pip install gguf==0.19.0
    python split_gguf.py

The n-th tensor is [32, n + 1] in the order of GGUF, and each of its weights is n.
"""

from pathlib import Path

import gguf
import numpy as np

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"

writer = gguf.GGUFWriter(FIXTURES / "gguf_py.gguf", "llama", split_max_tensors=2)
writer.add_name("numbers")
for n in range(5):
    writer.add_tensor(f"blk.{n}.weight", np.full((n + 1, 32), n, dtype=np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
