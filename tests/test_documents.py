"""Items and users become text: important things first, cut last; and what was cut is told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from llmrec.config import DocumentSettings
from llmrec.documents import ItemDocuments, Tokenizer, UserDocuments, attribute_text, is_identifier, item_line
from llmrec.prompts import load_prompt, parse_prompt
from llmrec.schema import AttributeValue, Document, Item, TextPiece, User


class Words:
    """A tokenizer of words and punctuation marks."""

    max_tokens = 64
    _token = re.compile(r"\w+|[^\w\s]")

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(self._token.findall(text)) for text in texts]

    def cut(self, text: str, tokens: int) -> str:
        ends = [match.end() for match in self._token.finditer(text)]
        return text if len(ends) <= tokens else text[: ends[tokens - 1]] if tokens > 0 else ""


class Letters:
    """A tokenizer of single characters, so that cuts fall inside words and leave white space behind."""

    max_tokens = 60

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def cut(self, text: str, tokens: int) -> str:
        return text[:tokens]


class Merging(Letters):
    """Counts a text that ends inside a word higher than its prefix of the whole, as subword models may."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) + 2 * bool(re.search(r"[a-c]$", text)) for text in texts]

    def cut(self, text: str, tokens: int) -> str:
        while text and self.count_tokens([text])[0] > tokens:
            text = text[:-1]
        return text


class Roomy(Letters):
    max_tokens = 2000


WORDS = Words()
WIDTH = WORDS.max_tokens


def item_documents(tokenizer: Tokenizer = WORDS, **changes: object) -> ItemDocuments:
    return ItemDocuments(load_prompt("item"), DocumentSettings.model_validate(changes), tokenizer)


def document_of(item: Item, tokenizer: Tokenizer = WORDS, **changes: object) -> Document:
    return item_documents(tokenizer, **changes)([item])[0]


def user_document(user: User, history: Sequence[Item], tokenizer: Tokenizer = WORDS) -> Document:
    return UserDocuments(load_prompt("user"), DocumentSettings(), tokenizer)([(user, history)])[0]


def words(count: int, stem: str = "w") -> str:
    return " ".join(f"{stem}{number}" for number in range(count))


def test_an_item_reads_in_order_of_importance() -> None:
    long = "cast " * 20
    item = Item(
        "i1",
        title="Toy Story",
        text="A cowboy doll is threatened.",
        categories=("Animation", "Comedy"),
        attributes={"crew": long, "release_year": 1995, "dubbed": True, "tags": ["pixar", "fun"]},
    )
    document = document_of(item, Roomy())
    assert document.text.splitlines() == [
        "Toy Story (Animation, Comedy)",
        "release year: 1995",
        "dubbed: yes",
        "tags: pixar, fun",
        "about: A cowboy doll is threatened.",
        f"crew: {long}".strip(),
    ]
    assert document.cut == {}
    assert document.pieces == (
        TextPiece("title", "Toy Story", "title"),
        TextPiece("category", "Animation", "categories"),
        TextPiece("category", "Comedy", "categories"),
        TextPiece("attribute", "1995", "release_year"),
        TextPiece("attribute", "yes", "dubbed"),
        TextPiece("attribute", "pixar, fun", "tags"),
        TextPiece("text", "A cowboy doll is threatened.", "text"),
        TextPiece("attribute", long, "crew"),
    )


def test_an_attribute_that_looks_like_the_text_is_still_an_attribute() -> None:
    document = document_of(Item("i1", text="Warm", attributes={"about": "Warm"}))
    assert [(piece.kind, piece.source) for piece in document.pieces] == [
        ("attribute", "about"),
        ("text", "text"),
    ]


def test_the_last_fields_are_cut_first() -> None:
    item = Item("i1", "Toy Story", words(40), attributes={"short": "red", "long": words(100, "x")})
    document = document_of(item)
    assert WORDS.count_tokens([document.text])[0] == WIDTH
    assert document.text.startswith("Toy Story\nshort: red\nabout: w0 w1 ")
    assert "w39\nlong: x0 x1" in document.text
    # 64 - 2 title - 3 short - 42 about - 2 label
    assert document.cut == {"long": 100 - 15}


def test_a_field_that_would_keep_only_its_first_words_goes_whole() -> None:
    item = Item("i1", "Toy Story", words(55), attributes={"long": words(100, "x")})
    document = document_of(item)
    assert document.text == f"Toy Story\nabout: {words(55)}"
    assert document.cut == {"long": 100}


def test_several_fields_are_cut_until_it_fits() -> None:
    item = Item("i1", "Toy Story", words(90), attributes={"long": words(100, "x"), "other": words(100, "y")})
    document = document_of(item)
    assert document.text == f"Toy Story\nabout: {words(60)}"
    assert document.cut == {"text": 30, "long": 100, "other": 100}


def test_a_head_that_is_too_long_is_cut_as_a_whole() -> None:
    document = document_of(Item("i1", words(80), "never seen", attributes={"year": 1995}))
    assert document.text == words(WIDTH)
    assert document.cut == {"title": 16, "text": 2, "year": 1}


def test_fields_are_told_apart_although_they_read_alike() -> None:
    item = Item("i1", "T", attributes={"a_b": words(90, "x"), "a b": words(90, "y")})
    document = document_of(item)
    assert document.cut == {"a_b": 90 - 60, "a b": 90}


def test_pieces_keep_the_whole_text_of_what_was_cut() -> None:
    document = document_of(Item("i1", "T", words(100)))
    assert TextPiece("text", words(100), "text") in document.pieces


def test_documents_come_in_the_order_of_the_items() -> None:
    items = [Item("a", "One"), Item("b", words(99)), Item("c", "Three")]
    assert [document.text[:5] for document in item_documents()(items)] == ["One", "w0 w1", "Three"]
    assert item_documents()([]) == []


def test_an_empty_item_is_an_empty_document() -> None:
    assert document_of(Item("i1")) == Document("")


def test_an_item_without_title_shows_what_it_has() -> None:
    assert document_of(Item("i1", categories=("Drama",), text="Sad.")).text == "(Drama)\nabout: Sad."


# One document for each modality


def test_each_modality_has_a_text_of_its_own() -> None:
    pieces = (
        TextPiece("caption", "a cowboy", "a.jpg"),
        TextPiece("ocr", "SALE", "a.jpg"),
        TextPiece("look", "brown", "b.jpg"),
        TextPiece("caption", "a guess", "c.jpg", unsure=True),
        TextPiece("transcript", "to infinity", "a.mp3"),
    )
    item = Item("i1", "Toy Story", "A doll.", ("Comedy",), attributes={"year": 1995}, pieces=pieces)
    documents = item_documents()
    assert documents.by_modality([item, Item("i2", "Heat")]) == [
        {
            "text": "Toy Story (Comedy)\nyear: 1995\nabout: A doll.",
            "picture": "picture: a cowboy\nwords in the picture: SALE\ncolours: brown",
            "sound": "speech: to infinity",
        },
        {},
    ]


def test_what_the_catalog_says_of_media_counts_as_theirs_and_other_names_do_not() -> None:
    written = {"caption": "a cowboy", "transcript": "to infinity", "look": "vintage", "ocr": "x"}
    assert item_documents().by_modality([Item("i1", "Toy", attributes=written)]) == [
        {
            "text": "Toy\nlook: vintage\nocr: x",
            "picture": "caption: a cowboy",
            "sound": "transcript: to infinity",
        }
    ]
    excluded = item_documents(exclude=["caption", "transcript"])
    assert excluded.by_modality([Item("i1", "Toy", attributes=written)]) == [{}]


def test_an_item_of_a_picture_alone_has_no_text_of_its_own() -> None:
    item = Item("i1", pieces=(TextPiece("caption", "a cowboy", "a.jpg"),))
    assert item_documents().by_modality([item]) == [{"picture": document_of(item).text}]


def test_pieces_that_are_all_unsure_leave_the_text_as_the_whole() -> None:
    unsure = TextPiece("caption", "a guess", "a.jpg", unsure=True)
    assert item_documents().by_modality([Item("i1", "Toy", pieces=(unsure,))]) == [{}]


def test_the_text_of_a_modality_fits_where_the_whole_is_cut() -> None:
    pieces = (TextPiece("transcript", words(100, "s"), "a.mp3"),)
    item = Item("i1", "Toy", words(60), pieces=pieces)
    documents = item_documents()
    whole = documents([item])[0]
    (found,) = documents.by_modality([item])
    assert "speech" not in whole.text
    assert found["text"] == whole.text
    assert found["sound"] == f"speech: {words(62, 's')}"
    assert documents([item])[0] == whole, "cutting one leaves the other as it was"


# Identifiers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("imdb_id", 114709),
        ("ID", "x"),
        ("ids", ["x"]),
        ("imdbId", 114709),
        ("tmdbID", 862),
        ("image-url", "x"),
        ("image url", "x"),
        ("product.id", 7),
        ("UUID", "x"),
        ("imageUrls", ["x"]),
        ("homepage", "https://example.org/a?b=c"),
        ("link", "s3://bucket/key"),
        ("links", ["https://example.org/1", "https://example.org/2"]),
    ],
)
def test_identifiers_and_links_say_nothing(name: str, value: AttributeValue) -> None:
    assert is_identifier(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grid", "x"),
        ("humid", True),
        ("Kurdi", "x"),
        ("valid", True),
        ("identity", "x"),
        ("idea", "x"),
        ("david", "x"),
        ("year", 1995),
        ("homepage", "see https://example.org for more"),
        ("tags", ["https://example.org/1", "blue"]),
        ("tags", []),
    ],
)
def test_words_that_only_resemble_identifiers_are_kept(name: str, value: AttributeValue) -> None:
    assert not is_identifier(name, value)


def test_skipped_attributes_are_told_and_can_be_brought_back() -> None:
    item = Item("i1", "T", attributes={"sku_id": "X9", "color": "red", "note": "internal"})
    documents = item_documents(exclude=["note"])
    assert documents([item])[0].text == "T\ncolor: red"
    assert documents.skipped == {"sku_id", "note"}
    documents = item_documents(include=["sku_id"])
    assert documents([item])[0].text == "T\nsku id: X9\ncolor: red\nnote: internal"
    assert documents.skipped == set()


def test_values_in_words() -> None:
    assert [attribute_text(value) for value in (True, False, 3, 2.5, "x", ["a", "b"], [])] == [
        "yes",
        "no",
        "3",
        "2.5",
        "x",
        "a, b",
        "",
    ]


# Users


def test_a_user_reads_profile_first_then_items_newest_first() -> None:
    history = [Item("new", "Heat", categories=("Crime", "Drama")), Item("old", "Jumanji"), Item("bare")]
    document = user_document(User("u1", {"home_town": "Oslo"}), history)
    assert document.text.splitlines() == ["home town: Oslo", "Heat (Crime, Drama)", "Jumanji", "bare"]
    assert [piece.text for piece in document.pieces] == ["Heat (Crime, Drama)", "Jumanji", "bare"]
    assert {(piece.kind, piece.source) for piece in document.pieces} == {("item", "history")}


def test_a_long_history_keeps_its_newest_items_and_counts_all_that_was_lost() -> None:
    history = [Item(f"i{number}", f"film number {number} of many") for number in range(20)]
    documents = UserDocuments(load_prompt("user"), DocumentSettings(history=20), WORDS)
    document = documents([(User("u1"), history)])[0]
    assert document.text.splitlines() == [item_line(item) for item in history[:12]]
    assert document.cut == {"history": 8 * 5}


def test_a_history_is_cut_to_the_configured_length() -> None:
    history = [Item(f"i{number}", f"t{number}") for number in range(9)]
    documents = UserDocuments(load_prompt("user"), DocumentSettings(history=2), WORDS)
    document = documents([(User("u1"), history)])[0]
    assert (document.text, document.cut) == ("t0\nt1", {})


def test_a_profile_that_is_too_long_is_cut_and_named() -> None:
    document = user_document(User("u1", {"bio": words(90)}), [Item("i", "Heat")])
    assert WORDS.count_tokens([document.text]) == [WIDTH]
    assert document.cut == {"history": 1, "profile": 90 + 2 - WIDTH}


def test_a_user_of_whom_nothing_is_known_is_an_empty_document() -> None:
    assert user_document(User("u1"), []) == Document("")


# What holds for every item

texts = st.text(st.sampled_from("abcd  .\n"), max_size=90)
items = st.builds(
    Item,
    item_id=st.just("i"),
    title=texts,
    text=texts,
    categories=st.lists(texts, max_size=2).map(tuple),
    attributes=st.dictionaries(st.sampled_from(["one", "two", "a_b", "a b"]), texts.filter(bool), max_size=4),
)
TOKENIZERS = st.sampled_from([WORDS, Letters(), Merging()])


@given(items, TOKENIZERS)
@hypothesis_settings(max_examples=100, deadline=None)
def test_documents_always_fit(item: Item, tokenizer: Tokenizer) -> None:
    document = document_of(item, tokenizer)
    assert tokenizer.count_tokens([document.text])[0] <= tokenizer.max_tokens


@given(items, TOKENIZERS)
@hypothesis_settings(max_examples=100, deadline=None)
def test_what_is_reported_as_cut_was_lost_and_from_the_last(item: Item, tokenizer: Tokenizer) -> None:
    # The prompt is such that each field can be found again in the text.
    body = "{{ title }}\x00{% for field in fields %}{{ field.name }}={{ field.text }}\x00{% endfor %}"
    header = '{# name = "t"\nversion = 1\nvariables = ["title", "fields"] #}'
    documents = ItemDocuments(parse_prompt(header + body, Path("t.j2")), DocumentSettings(), tokenizer)
    document = documents([item])[0]
    fields = [piece for piece in document.pieces if piece.kind in ("text", "attribute")]
    sizes = tokenizer.count_tokens([piece.text for piece in fields])
    if "title" in document.cut:  # the head alone was too long: every field is gone
        assert document.cut == {"title": document.cut["title"]} | {
            piece.source: size for piece, size in zip(fields, sizes, strict=True)
        }
        return
    kept = [part.partition("=")[2] for part in document.text.split("\x00")[1:] if part]
    lost: Counter[str] = Counter()
    for position, (piece, size) in enumerate(zip(fields, sizes, strict=True)):
        text = kept[position] if position < len(kept) else ""
        assert piece.text.startswith(text)
        if position < len(kept) - 1:
            assert text == piece.text, "only the last field that is left may be shortened"
        after = tokenizer.count_tokens([text])[0] if text else 0
        if position >= len(kept) or after != size:
            lost[piece.source] = size - after
    assert document.cut == dict(lost)
