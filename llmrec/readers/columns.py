"""Which column means what: known names, the aliases read without ``--map``, and the mapping itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from llmrec.errors import ConfigError, ReaderError
from llmrec.readers.table import Table
from llmrec.readers.text import clean
from llmrec.schema import Columns


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: the columns it must have, and for each known column the aliases it may go by.

    Names are compared without regard to case. A known name wins over its aliases, an earlier alias over a
    later one, and a column that is not taken is an attribute.
    """

    name: str
    required: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]]


_FILM = ("itemId", "movieId", "movie_id", "asin", "product_id")

CATALOG = Kind(
    "catalog",
    (Columns.ITEM,),
    {
        Columns.ITEM: ("id", *_FILM),
        Columns.TITLE: ("name", "movie_title"),
        Columns.TEXT: ("description",),
        Columns.CATEGORIES: ("genres", "genre", "category", "class"),
        Columns.IMAGES: ("image",),
        Columns.AUDIO: (),
        Columns.VIDEO: (),
    },
)

LOG = Kind(
    "log",
    (Columns.USER, Columns.ITEM, Columns.TIMESTAMP),
    {
        Columns.USER: ("userId", "user"),
        Columns.ITEM: (*_FILM, "item"),  # not "id", which in a log is the event's
        Columns.TIMESTAMP: ("time", "ts", "date"),
        Columns.WEIGHT: ("rating", "score", "count"),
        Columns.TEXT: (),
    },
)

USERS = Kind("user table", (Columns.USER,), {Columns.USER: ("userId", "user", "id")})

_KNOWN = {
    name.casefold()
    for kind in (CATALOG, LOG, USERS)
    for known, aliases in kind.aliases.items()
    for name in (known, *aliases)
}


def is_known_name(column: str) -> bool:
    """Whether a column is a known one, or an alias of one, in any kind of file."""
    return column.casefold() in _KNOWN


@dataclass(frozen=True, slots=True)
class Binding:
    """How the columns of a file are read.

    ``column`` maps our known names to the file's, ``others`` pairs every other column with its attribute
    name, and ``missing`` are the required names that no column answers to.
    """

    column: Mapping[str, str]
    others: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]


def bind(columns: Sequence[str], kind: Kind, mapping: Mapping[str, str]) -> Binding:
    """Find the known columns of a file: by ``mapping`` first, then by name, then by alias.

    Of two columns that are mapped to one known name the first is taken.
    """
    bound: dict[str, str] = {}
    free: dict[str, str] = {}
    for name in columns:
        if name not in mapping:
            folded = name.casefold()
            if name == folded or folded not in free:
                free[folded] = name
        elif mapping[name] in kind.aliases:
            bound.setdefault(mapping[name], name)
    for ours, aliases in kind.aliases.items():
        spelling = next((free[name] for name in map(str.casefold, (ours, *aliases)) if name in free), None)
        if spelling is not None:
            bound.setdefault(ours, spelling)
    taken = set(bound.values())
    others = ((name, clean(mapping.get(name, name))) for name in columns if name not in taken)
    return Binding(
        bound,
        tuple((theirs, ours) for theirs, ours in others if ours),
        tuple(name for name in kind.required if name not in bound),
    )


def check_columns(table: Table, kind: Kind, mapping: Mapping[str, str], source: str) -> None:
    """Refuse a table that cannot be a catalog, log or user table.

    Raises:
        ReaderError: it lacks a required column, or one that ``mapping`` names.
    """
    missing = bind(table.columns, kind, mapping).missing
    if table.columns and missing:
        raise _missing(missing, table.columns, kind, source)
    if table.fixed:
        _check_mapping(table.columns, kind, mapping, source)


def _missing(missing: Sequence[str], columns: Sequence[str], kind: Kind, source: str) -> ReaderError:
    hint = f"Name the column that holds it: --map THEIRS={missing[0]}"
    if len(columns) == 1:
        hint += "; with one column found, the separator may be none of comma, semicolon, tab or |."
    elif any(name.replace(".", "").isdigit() for name in columns):
        hint = "The first line looks like data: add a header line with the column names."
    what = " and ".join(missing)
    return ReaderError(f"{source}:1: the {kind.name} has no column {what} (found: {_listed(columns)})", hint)


def _check_mapping(columns: Sequence[str], kind: Kind, mapping: Mapping[str, str], source: str) -> None:
    # One mapping may serve a catalog and its log: only targets that no other kind of file has are checked.
    shared = {Columns.ITEM, Columns.USER, Columns.TEXT}
    for theirs, ours in mapping.items():
        if ours in kind.aliases and ours not in shared and theirs not in columns:
            raise ReaderError(
                f"{source}:1: --map {theirs}={ours} names a column that the {kind.name} lacks",
                f"Columns found: {_listed(columns)}",
            )


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in columns[:30]) + (", …" if len(columns) > 30 else "")


def parse_mapping(pairs: Iterable[str]) -> dict[str, str]:
    """Read ``--map`` options.

    Args:
        pairs: each ``THEIRS=OURS``, such as ``movieId=item_id``; a column name may itself hold ``=``.

    Returns:
        Our column name by theirs.

    Raises:
        ConfigError: a pair is not of that form, or one column is given two names.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        theirs, _, ours = (part.strip() for part in pair.rpartition("="))
        if not theirs or not ours:
            raise ConfigError(f"--map {pair!r}: expected THEIRS=OURS", "For example: --map movieId=item_id")
        if mapping.setdefault(theirs, ours) != ours:
            raise ConfigError(f"--map: {theirs!r} is mapped to both {mapping[theirs]!r} and {ours!r}")
    return mapping
