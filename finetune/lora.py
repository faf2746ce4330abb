"""Fine-tuning on several GPUs or processes: ``accelerate launch finetune/lora.py --workspace W --config F``.

With one process it does what ``llmrec finetune`` does.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from accelerate import PartialState

from llmrec.errors import LlmrecError
from llmrec.progress import ConsoleProgress, NoProgress
from llmrec.runtime.devices import has_gpu
from llmrec.training.finetuning import finetune
from llmrec.training.settings import TrainingSettings, load_training_settings
from llmrec.workspace import Workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    try:
        settings = load_training_settings(arguments.config) if arguments.config else TrainingSettings()
        first = PartialState(cpu=not has_gpu()).is_main_process
        with closing(Workspace(arguments.workspace)) as workspace:
            done = finetune(
                workspace,
                settings,
                arguments.name,
                resume=arguments.resume,
                progress=ConsoleProgress() if first else NoProgress(),
            )
    except LlmrecError as error:
        sys.exit(f"error: {error}")
    if first:
        print(done.folder, done.card["metrics"])


if __name__ == "__main__":
    main()
