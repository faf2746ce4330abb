"""MovieLens files without a header line: ml-100k's ``u.*`` and the ``.dat`` files of ml-1m and ml-10m.

The ``.csv`` files of later releases have a header and are read as any other CSV.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmrec.readers.delimited import sized_rows, split_lines
from llmrec.readers.lines import read_lines
from llmrec.readers.table import Reject, Row, Table
from llmrec.schema import Columns

# fmt: off
_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)
# fmt: on
_EVENT = (Columns.USER, Columns.ITEM, Columns.WEIGHT, Columns.TIMESTAMP)
_RELEASE = ("release_date", "video_release_date", "imdb_url")


@dataclass(frozen=True, slots=True)
class _Layout:
    separator: str
    columns: tuple[str, ...]


_LAYOUTS = {
    "u.data": _Layout("\t", _EVENT),
    "u.item": _Layout("|", (Columns.ITEM, Columns.TITLE, *_RELEASE, *_GENRES)),
    "u.user": _Layout("|", (Columns.USER, "age", "gender", "occupation", "zip_code")),
    "ratings.dat": _Layout("::", _EVENT),
    "movies.dat": _Layout("::", (Columns.ITEM, Columns.TITLE, Columns.CATEGORIES)),
    "users.dat": _Layout("::", (Columns.USER, "gender", "age", "occupation", "zip_code")),
}
NAMES = tuple(_LAYOUTS)


@contextmanager
def open_movielens(path: Path, reject: Reject) -> Iterator[Table]:
    """A file named as one of ``NAMES``; in latin-1, as GroupLens publishes them."""
    layout = _LAYOUTS[path.name.removesuffix(".gz")]
    with closing(read_lines(path, "latin-1")) as lines:
        rows = sized_rows(split_lines(lines, layout.separator), layout.columns, reject)
        if layout.columns[-1] == _GENRES[-1]:
            columns = tuple(name for name in layout.columns if name not in _GENRES)
            yield Table((*columns, Columns.CATEGORIES), _named_genres(rows))
        else:
            yield Table(layout.columns, rows)


def _named_genres(rows: Iterator[Row]) -> Iterator[Row]:
    for line, row in rows:
        genres = [name for name in _GENRES if row[name] == "1"]
        values = {name: value for name, value in row.items() if name not in _GENRES}
        yield line, {**values, Columns.CATEGORIES: genres}
