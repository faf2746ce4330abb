"""Fine-tuning of a captioner apart from any catalog.

``python finetune/captioner.py OUT --base file:blip/ --pairs pairs.jsonl --config RECIPE``

``OUT`` becomes a folder for runs and results, as a workspace is; then it does what `llmrec finetune --role
captioner --pairs FILE --workspace OUT` does.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path

from llmrec.config import FORMAT
from llmrec.errors import ConfigError, LlmrecError
from llmrec.progress import ConsoleProgress
from llmrec.training.captioner.finetuning import finetune_captioner, setting_of
from llmrec.training.captioner.pairs import read_pairs
from llmrec.training.settings import CaptionerSettings, load_recipe
from llmrec.workspace import SETTINGS, Workspace


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", required=True, help="a BLIP checkpoint: hf:NAME, file:FOLDER")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    try:
        settings = (
            load_recipe(arguments.config, CaptionerSettings) if arguments.config else CaptionerSettings()
        )
        with closing(opened(arguments.out, arguments.base)) as workspace:
            done = finetune_captioner(
                workspace,
                read_pairs(arguments.pairs, workspace.settings.media),
                settings,
                arguments.name,
                resume=arguments.resume,
                progress=ConsoleProgress(),
            )
    except LlmrecError as error:
        sys.exit(f"error: {error}")
    print(done.folder, json.dumps(done.card["metrics"]))
    print(setting_of(done))


def opened(root: Path, base: str) -> Workspace:
    """The folder as a workspace whose captioner is ``base``."""
    if not (root / SETTINGS).exists():
        root.mkdir(parents=True, exist_ok=True)
        models = f"[models]\ncaptioner = {json.dumps(base, ensure_ascii=False)}\n"
        (root / SETTINGS).write_text(f'format = {FORMAT}\nprofile = "small"\n\n{models}', encoding="utf-8")
    workspace = Workspace(root)
    if workspace.settings.models.captioner != base:
        workspace.close()
        raise ConfigError(f"{root / SETTINGS}: its captioner is not {base}", "Take another folder.")
    return workspace


if __name__ == "__main__":
    main()
