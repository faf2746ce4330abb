"""Bad logs and catalogs: a clear error with file and line, or a flagged row; never a stack trace."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import datasets
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from llmrec.errors import ReaderError
from llmrec.readers import read_interactions, read_items, read_users
from llmrec.schema import Flag, Interaction, Item

HEADER = "user_id,item_id,timestamp,weight\n"
GOOD = Interaction("u", "i", 100.0, 1.0)


def read_log(path: Path, flags: list[Flag], content: str | bytes) -> list[Interaction]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_interactions(path, on_flag=flags.append))


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("u,i,soon,1", "timestamp", "'soon' is neither a number nor an ISO 8601 time"),
        ("u,i,,1", "timestamp", "is missing"),
        ("u,i,nan,1", "timestamp", "not between the years 1970 and 2200"),
        ("u,i,-5,1", "timestamp", "not between the years 1970 and 2200"),
        ("u,i,inf,1", "timestamp", "not between the years 1970 and 2200"),
        ("u,i,20000000000,1", "timestamp", "not between the years 1970 and 2200"),
        ("u,i,9999-01-01,1", "timestamp", "not between the years 1970 and 2200"),
        ("u,i,1_000,1", "timestamp", "neither a number"),
        ("u,i,100,nan", "weight", "not a finite number"),
        ("u,i,100,-inf", "weight", "not a finite number"),
        ("u,i,100,", "weight", "is missing"),
        ("u,i,100,much", "weight", "'much' is not a weight"),
        ("u,i,100", "row", "3 fields where the header has 4"),
        ("u,i,100,1,2", "row", "5 fields where the header has 4"),
        ('u,i,100,"1"2', "row", "closing quote"),
        (" ,i,100,1", "user_id", "empty"),
        ("u,,100,1", "item_id", "empty"),
        (f"{'u' * 513},i,100,1", "user_id", "513 characters"),
        ("u\x00v,i,100,1", "user_id", "control characters"),
        ("u\x1bv,i,100,1", "user_id", "control characters"),
    ],
)
def test_bad_row_is_flagged_and_the_rest_read(
    row: str, field: str, reason: str, tmp_path: Path, flags: list[Flag]
) -> None:
    path = tmp_path / "log.csv"
    assert read_log(path, flags, f"{HEADER}u,i,100,1\n{row}\nu,i,100,1\n") == [GOOD, GOOD]
    (flag,) = flags
    assert flag.field == field
    assert flag.source == f"{path}:3"
    assert reason in flag.reason
    assert flag.item_id == ("line 3" if field in ("row", "item_id") else "i")


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ('{"user_id": "u", ', "row", "not valid JSON"),
        ("[1, 2]", "row", "list where an object is expected"),
        ("[" * 100_000, "row", "not readable JSON"),
        ('{"user_id": ' + "9" * 5000 + "}", "row", "not readable JSON"),
        ('{"user_id": "u", "item_id": "i"}', "timestamp", "no such column"),
        ('{"user_id": true, "item_id": "i", "timestamp": 1}', "user_id", "not bool"),
        ('{"user_id": ["u"], "item_id": "i", "timestamp": 1}', "user_id", "not list"),
        ('{"user_id": NaN, "item_id": "i", "timestamp": 1}', "user_id", "empty"),
        ('{"user_id": "\\ud800", "item_id": "i", "timestamp": 1}', "user_id", "control characters"),
        ('{"user_id": "u", "item_id": "i", "timestamp": true}', "timestamp", "not a timestamp"),
        ('{"user_id": "u", "item_id": "i", "timestamp": {}}', "timestamp", "not a timestamp"),
        ('{"user_id": "u", "item_id": "i", "timestamp": 1' + "0" * 400 + "}", "timestamp", "not a timestamp"),
    ],
)
def test_bad_json_line_is_flagged(
    line: str, field: str, reason: str, tmp_path: Path, flags: list[Flag]
) -> None:
    good = '{"user_id": "u", "item_id": "i", "timestamp": 100}'
    path = tmp_path / "log.jsonl"
    assert read_log(path, flags, f"{good}\n\n{line}\n{good}\n") == [GOOD, GOOD]
    assert [(flag.field, flag.source) for flag in flags] == [(field, f"{path}:3")]
    assert reason in flags[0].reason


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", b"", ":1: the file is empty"),
        ("log.csv", b"\xef\xbb\xbf\r\n \n", ":1: the file is empty"),
        ("log.jsonl", b"\n\n", ":1: the file is empty"),
        ("log.inter", b"", ":1: the file is empty"),
        ("u.data", b"", ":1: there are no rows"),
        ("log.json", b"[]", ":1: there are no rows"),
        ("log.csv", HEADER.encode(), ":1: there are no rows"),
        (
            "log.csv",
            b"user_id,item_id\nu,i\n",
            ":1: the log has no column timestamp (found: user_id, item_id)",
        ),
        (
            "log.csv",
            b"who,what,timestamp\nu,i,1\n",
            "no column user_id and item_id (found: who, what, timestamp)",
        ),
        ("log.jsonl", b'{"user_id": 1, "item_id": 2}\n', "no column timestamp (found: user_id, item_id)"),
        ("log.csv", b"user_id item_id timestamp\nu i 1\n", "(found: user_id item_id timestamp)"),
        ("log.csv", b"196,242,3,881250949\n1,2,3,4\n", "the log has no column"),
        (
            "log.csv",
            b"user_id,item_id,timestamp,item_id\nu,i,1,i\n",
            ":1: column 4 repeats the name 'item_id'",
        ),
        ("log.csv", b'user_id,"item"_id,timestamp\nu,i,1\n', ":1: the header cannot be read"),
        ("log.csv", b"user_id,item_id,timestamp\nu,caf\xe9,1\n", ":2:6: byte 0xe9 is not UTF-8"),
        ("log.jsonl", b'{"user_id": 1}\n{"user_id": "\xff"}\n', ":2:14: byte 0xff is not UTF-8"),
        ("log.csv", "user_id,item_id,timestamp\nu,i,1\n".encode("utf-16"), ":1:1: byte 0xff is not UTF-8"),
        ("log.csv", b'user_id,item_id,timestamp\nu,i,1\n"u,i,1\nu,i,1\n', ":3: a quote opened in the row"),
        ("log.csv", HEADER.encode() + b"u,i,x,1\nu,i,y,1\n", ":2: timestamp: the timestamp 'x' is neither"),
        ("log.json", b'[{"user_id": 1},\n {"user_id"', ":2: the array is not valid JSON"),
        ("log.inter", b"user_id:token,item_id:token\n", "column 1 of the header is not name:type"),
        ("log.parquet", b"PAR1 and then nothing", "not a readable Parquet file"),
        ("log.parquet", b"", "not a readable Parquet file"),
        ("log.csv.gz", gzip.compress(HEADER.encode() * 999)[:-20], "cannot be read"),
        ("log.csv.gz", b"not gzip", ":1: cannot be read"),
        ("log", b"\x00\x01\x02", "the log has no column"),
    ],
)
def test_structural_error_names_file_and_line(
    name: str, content: bytes, message: str, tmp_path: Path, flags: list[Flag]
) -> None:
    with pytest.raises(ReaderError) as error:
        read_log(tmp_path / name, flags, content)
    assert error.value.message.startswith(f"{tmp_path / name}:")
    assert message in error.value.message


@pytest.mark.parametrize("read", [read_items, read_interactions, read_users])
@pytest.mark.parametrize(
    "name", ["none.csv", "none.jsonl", "none.parquet", "none", "none.csv.gz", "u.data", "a#b"]
)
def test_missing_file(read: Callable[..., object], name: str, tmp_path: Path, flags: list[Flag]) -> None:
    with pytest.raises(ReaderError, match="no such file"):
        list(read(tmp_path / name, on_flag=flags.append))  # type: ignore[call-overload]


def test_folder_that_is_no_dataset(tmp_path: Path, flags: list[Flag]) -> None:
    with pytest.raises(ReaderError, match="not a folder written by save_to_disk"):
        list(read_items(tmp_path, on_flag=flags.append))


def test_hints_tell_the_way_out(tmp_path: Path, flags: list[Flag]) -> None:
    for header, hint in {
        "who,item_id,timestamp": "--map THEIRS=user_id",
        "user_id item_id timestamp": "separator",
        "196,242,881250949": "add a header line",
    }.items():
        with pytest.raises(ReaderError) as error:
            read_log(tmp_path / "log.csv", flags, header + "\n1,2,3\n")
        assert hint in str(error.value.hint)


def test_line_is_where_a_quoted_row_starts(tmp_path: Path, flags: list[Flag]) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(b'id,text\r\n1,"one\r\ntwo"\r\n\r\n,"three\r\nfour"\r\n2,"a ""b"""\r\n')
    items = list(read_items(path, on_flag=flags.append))
    assert items == [Item("1", text="one two"), Item("2", text='a "b"')]
    assert [flag.source for flag in flags] == [f"{path}:5"]


def test_repeated_item_is_flagged_with_the_first_line(tmp_path: Path, flags: list[Flag]) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,title\n1,A\n2,B\n1.0,C\n")
    assert list(read_items(path, on_flag=flags.append)) == [Item("1", title="A"), Item("2", title="B")]
    reason = "the id is already that of line 2; the first is kept"
    assert flags == [Flag("1", "id", f"{path}:4", reason)]


def test_million_characters_in_a_field(tmp_path: Path, flags: list[Flag]) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f'id,text\n1,{"x" * 1_000_000}\n2,"{"y" * 1_000_001}"\n3,z\n')
    items = list(read_items(path, on_flag=flags.append))
    assert [len(item.text) for item in items] == [1_000_000, 1_000_000, 1]
    assert [(flag.item_id, flag.field) for flag in flags] == [("2", "text")]


def test_flags_keep_the_place_of_the_file_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text(HEADER + "u,i,1,1\nu,i,x,1\n")
    flags: list[Flag] = []
    assert len(list(read_interactions("log.csv", on_flag=flags.append))) == 1
    assert flags[0].to_json()["source"] == "log.csv:3"


PREFIXES = {
    "f.jsonl": b'{"id": 1, "user_id": 2, "timestamp": 3}\n',
    "f.json": b'[{"id": 1, "user_id": 2, "timestamp": 3},',
    "f.csv": b"id,user_id,item_id,timestamp\n",
    "f.item": b"item_id:token\tuser_id:token\ttimestamp:float\n",
    "f.parquet": b"PAR1",
    "u.item": b"",
    "u.data": b"",
    "f.csv.gz": b"\x1f\x8b\x08\x00",
    "f": b"",
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(PREFIXES)), content=st.binary(max_size=200), headed=st.booleans())
def test_no_bytes_crash_a_reader(tmp_path: Path, name: str, content: bytes, headed: bool) -> None:
    path = tmp_path / name
    path.write_bytes(PREFIXES[name] * headed + content)
    flags: list[Flag] = []
    for read in (read_items, read_interactions, read_users):
        with suppress(ReaderError):
            list(read(path, on_flag=flags.append))  # type: ignore[operator]
    assert all(flag.source.startswith(f"{path}:") for flag in flags)


def test_a_compressed_file_that_is_cut_and_no_text_either_is_an_error(
    tmp_path: Path, flags: list[Flag]
) -> None:
    path = tmp_path / "f.csv.gz"
    path.write_bytes(b"\x1f\x8b\x08\x00" + bytes(6) + b"Z\x00")  # what is read ahead is not UTF-8
    with pytest.raises(ReaderError, match=r"f\.csv\.gz:1: cannot be read: Compressed file ended"):
        list(read_items(path, on_flag=flags.append))


def test_damaged_offset_in_a_dataset_is_an_error_not_a_crash(tmp_path: Path, flags: list[Flag]) -> None:
    folder = tmp_path / "saved"
    datasets.Dataset.from_dict({"item_id": ["aa", "bb", "cc"]}).save_to_disk(folder)
    (arrow,) = folder.glob("*.arrow")
    content = arrow.read_bytes()
    sound, damaged = struct.pack("<4i", 0, 2, 4, 6), struct.pack("<4i", 0, 2, 2**30, 6)
    assert content.count(sound) == 1
    arrow.write_bytes(content.replace(sound, damaged))
    with pytest.raises(ReaderError, match="unreadable after row 0"):
        list(read_items(folder, on_flag=flags.append))


@pytest.mark.parametrize("name", ["state.json", "dataset_info.json"])
@pytest.mark.parametrize("content", ["", "null", "[]", "{}", "{"])
def test_damaged_dataset_description(name: str, content: str, tmp_path: Path, flags: list[Flag]) -> None:
    datasets.Dataset.from_dict({"item_id": ["a"]}).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / name).write_text(content)
    # Some of the description is optional: then the rows are read as before.
    with suppress(ReaderError):
        assert list(read_items(tmp_path / "saved", on_flag=flags.append)) == [Item("a")]
