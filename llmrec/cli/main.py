"""The ``llmrec`` command."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer

from llmrec import __version__
from llmrec.cli import (
    adapters,
    cache,
    datasets,
    demo,
    doctor,
    evaluate,
    finetune,
    index,
    models,
    neighbors,
    prompts,
    recommend,
    show,
    tune,
)
from llmrec.cli.output import print_error
from llmrec.errors import LlmrecError

app = typer.Typer(
    name="llmrec",
    help="An LLM-centric multimodal recommender: index a catalog, recommend from it, explain why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(demo.demo)
app.command()(index.index)
app.command(cls=recommend.RecommendCommand)(recommend.recommend)
app.command()(recommend.similar)
app.command()(neighbors.neighbors)
app.command()(show.show)
app.command()(evaluate.evaluate)
app.command()(tune.tune)
app.command()(finetune.finetune)
app.add_typer(adapters.app, name="adapters")
app.add_typer(cache.app, name="cache")
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")
app.add_typer(prompts.app, name="prompts")
app.command()(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llmrec {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """An LLM-centric multimodal recommender: index a catalog, recommend from it, explain why.

    Exit codes: 0 done, 1 error, 2 usage, 3 done but some items were flagged.
    """


def run() -> None:
    """Run the command line; errors end in a message and exit code 1, never in a stack trace."""
    # Of damaged metadata in a picture; what matters of it is said in the error report.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        app()
    except LlmrecError as error:
        print_error(error)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has gone; keep the interpreter from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("LLMREC_DEBUG"):
            raise
        print_error(
            LlmrecError(
                f"internal error: {type(error).__name__}: {error}",
                "This is a defect of llmrec. LLMREC_DEBUG=1 shows where it happened.",
            )
        )
        sys.exit(1)
