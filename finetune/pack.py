"""Pack a captioner for the wheel: its weights in eight bits, and its entry of ``assets.toml``.

``python finetune/pack.py CAPTIONER llmrec/weights/NAME``

``CAPTIONER`` is a folder that `llmrec finetune --role captioner` made. Printed is the list ``parts`` of the
asset, with the digests of what a pull makes of the files: a BLIP folder with weights in float32.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from safetensors.numpy import load_file

from llmrec.assets import blocks
from llmrec.errors import LlmrecError
from llmrec.modality.blip.folder import read_blip_folder
from llmrec.training.captioner.export import copy_companions

WEIGHTS = "model.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("captioner", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    try:
        pack(arguments.captioner, arguments.out)
    except (LlmrecError, OSError) as error:
        sys.exit(f"error: {error}")


def pack(captioner: Path, out: Path) -> None:
    read_blip_folder(captioner, captioner.name)  # a folder that could not be used is refused
    out.mkdir(parents=True, exist_ok=True)
    packed = out / f"{WEIGHTS.removesuffix('.safetensors')}{blocks.SUFFIX}"
    packed.write_bytes(blocks.pack(load_file(captioner / WEIGHTS)))
    contents = {WEIGHTS: (packed, blocks.unpack(packed))}
    for name in copy_companions(captioner, out, "card.json", "config.json", "generation_config.json"):
        contents[name] = (out / name, (out / name).read_bytes())
    print("parts = [")
    for name, (file, content) in sorted(contents.items()):
        digest = hashlib.sha256(content).hexdigest()
        uri = f"package:{out.name}/{file.name}"
        print(f'  {{ uri = "{uri}", path = "{name}", sha256 = "{digest}", size = {len(content)} }},')
    print("]")


if __name__ == "__main__":
    main()
