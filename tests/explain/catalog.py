"""A small catalog of films, and cases of recommending from it."""

from __future__ import annotations

from llmrec.explain.evidence import Case
from llmrec.schema import Item

TITLES = (
    "Toy Story",
    "Toy Story 2",
    "Antz",
    "A Bug's Life",
    "Babe",
    "The Matrix",
    "Se7en",
    "The Lion King",
    "Monsters, Inc.",
    "Life",
    "You Again",
    "It Is",
    "Old Friends",
    "Seven Samurai",
    "Amélie",
    "Star Wars: Episode IV - A New Hope",
    "M*A*S*H",
    "!!!",
)

BUGS = Item("3", "A Bug's Life", categories=("Animation", "Comedy"), attributes={"director": "John Lasseter"})
ANTZ = Item("4", "Antz", categories=("Animation", "War"))
TOYS = Item(
    "1",
    "Toy Story",
    "A cowboy doll is threatened by 3 old friends when a new spaceman named Buzz Lightyear arrives.",
    categories=("Animation", "Comedy", "Fantasy"),
    attributes={"director": "John Lasseter", "year": 1995},
)

CASE = Case(
    TOYS, ((BUGS, 0.8), (ANTZ, 0.5)), {"linear": 0.9, "popularity": 0.1}, "funny film with a dinosaur"
)
"""Its evidence: [1] the query, [2] A Bug's Life, [3] Antz, [4] categories, [5] text, [6] director."""
