"""``llmrec recommend`` and ``llmrec similar``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for
from llmrec.schema import Evidence, Recommendation

_SHOWN_CHANNELS = 3


class Explain(StrEnum):
    """What ``--explain`` gives."""

    TEXT = "text"
    EVIDENCE = "evidence"


class RecommendCommand(TyperCommand):
    """``--explain`` alone stands for ``--explain=text``, whatever comes after it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say what is left unsaid; after ``--`` there are no options."""
        end = args.index("--") if "--" in args else len(args)
        options = [f"--explain={Explain.TEXT}" if arg == "--explain" else arg for arg in args[:end]]
        return super().parse_args(ctx, options + args[end:])


CountOption = Annotated[int, typer.Option("-k", min=1, max=1000, help="How many items.")]


def recommend(
    user: Annotated[str | None, typer.Argument(help="A user of the log or the user table.")] = None,
    query: Annotated[str, typer.Option("--query", "-q", help="What is wanted, in words.")] = "",
    image: Annotated[
        list[Path] | None, typer.Option(help="A picture of what is wanted; may be given again.")
    ] = None,
    audio: Annotated[list[Path] | None, typer.Option(help="Someone saying what is wanted.")] = None,
    likes: Annotated[str, typer.Option(help="Ids of liked items, comma-separated.")] = "",
    k: CountOption = 10,
    where: Annotated[
        str | None, typer.Option(help='Condition on columns and attributes, such as "year >= 1990".')
    ] = None,
    exclude: Annotated[str, typer.Option(help="Ids of items to leave out, comma-separated.")] = "",
    diversity: Annotated[
        float,
        typer.Option(
            help="0 to 1: how much the items should differ from each other; they are then not by score."
        ),
    ] = 0.0,
    explain: Annotated[
        Explain | None,
        typer.Option(
            help="Say why, from checked evidence; --explain alone means text, --explain=evidence prints the "
            "evidence only, without a language model."
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recommend items for a user, a query, liked items, or any of these together."""
    from llmrec.recommender import Recommender
    from llmrec.workspace import find_workspace

    with Recommender.open(find_workspace(workspace), progress_for(as_json)) as recommender:
        if explain is Explain.TEXT:
            recommender.prepare_explanations()
        if image or audio:
            from llmrec.asking import query_of

            heard = query_of(
                recommender.workspace, images=image or (), audio=audio or (), progress=recommender.progress
            )
            query = f"{query} {heard}".strip()
        liked = ids(likes)
        found = recommender.recommend(
            user,
            k=k,
            query=query,
            likes=liked,
            where=where,
            exclude=ids(exclude),
            diversity=diversity,
            explain="evidence" if explain is Explain.EVIDENCE else False,
        )
        explained = iter(found if explain else ())
        if explain is Explain.TEXT:
            explained = recommender.explain_each(found, user, query=query, likes=liked)
        if as_json:
            entries = [*explained] if explain else found
            print_json({"user_id": user, "recommendations": [entry.to_json() for entry in entries]})
            return
        print_recommendations(f"For {user}" if user else "For you", found)
        print_explanations(explained)


def similar(
    item: Annotated[str, typer.Argument(help="An item id.")],
    k: CountOption = 10,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the items whose text is nearest to an item's."""
    from llmrec.recommender import Recommender
    from llmrec.workspace import find_workspace

    with Recommender.open(find_workspace(workspace), progress_for(as_json)) as recommender:
        found = recommender.similar(item, k=k)
    if as_json:
        print_json({"item_id": item, "similar": [entry.to_json() for entry in found]})
    else:
        print_recommendations(f"Like {item}", found)


def print_recommendations(title: str, found: Sequence[Recommendation]) -> None:
    """A table with the channels that contribute most to each score; ``--json`` has all."""
    rows = [
        (
            str(place),
            entry.item_id,
            entry.title,
            f"{entry.score:.3f}",
            ", ".join(f"{name} {value:+.2f}" for name, value in _largest(entry.contributions)),
        )
        for place, entry in enumerate(found, 1)
    ]
    print_table(title, ["#", "item", "title", "score", "most of it"], rows)
    if not found:
        console.print("Nothing is left to recommend: every item was seen, excluded or filtered out.")


def _largest(contributions: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(contributions.items(), key=lambda part: -abs(part[1]))[:_SHOWN_CHANNELS]


def print_explanations(explained: Iterable[Recommendation]) -> None:
    """Each explanation with its citations resolved, or its evidence alone, as soon as it is there."""
    for place, entry in enumerate(explained, 1):
        console.print()
        if entry.explanation is None:
            console.print(plain(f"{place}. {entry.title or entry.item_id}"))
            _print_evidence(entry.evidence or ())
            continue
        by_model = entry.explanation.source == "model"
        console.print(plain(f"{place}. {entry.explanation.text}"))
        _print_evidence(entry.explanation.citations)
        console.print("   written by the model, checked" if by_model else "   from the template", style="dim")


def _print_evidence(facts: Iterable[Evidence]) -> None:
    for fact in facts:
        console.print(plain(f"   [{fact.number}] {fact.text} ({fact.source})"), style="dim")


def ids(text: str) -> list[str]:
    """Ids of a comma-separated option."""
    return [item.strip() for item in text.split(",") if item.strip()]
