"""The models of rapidocr's wheel read text; nothing is downloaded, printed or left to chance."""

from __future__ import annotations

import ctypes
import gc
import logging
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from llmrec.errors import AssetError, MissingExtraError
from llmrec.media.types import Picture
from llmrec.modality import ocr
from llmrec.modality.ocr import RapidOcrReader, ocr_fingerprint
from llmrec.runtime.openvino import _SignalStack


def drawn(*texts: tuple[str, int, int, int], size: tuple[int, int] = (600, 400)) -> Picture:
    """A picture with texts: each with left, top and height."""
    image = Image.new("RGB", size, (30, 40, 90))
    draw = ImageDraw.Draw(image)
    for text, left, top, height in texts:
        draw.text((left, top), text, font=ImageFont.load_default(height), fill="white")
    return np.asarray(image)


def test_fingerprint_needs_no_models() -> None:
    script = (
        "import sys\n"
        "from llmrec.modality.ocr import ocr_fingerprint\n"
        "print(ocr_fingerprint(), [name for name in ('rapidocr', 'openvino', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [ocr_fingerprint(), "[]"]


def test_fingerprint_follows_what_decides_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ocr_fingerprint()
    monkeypatch.setattr(ocr, "_SMALL_SIDE", 500)
    second = ocr_fingerprint()
    monkeypatch.setattr(metadata, "version", lambda name: "99.0")
    assert len({first, second, ocr_fingerprint()}) == 3


def test_without_rapidocr_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'llmrec\[vision\]'"):
        RapidOcrReader()


def test_rapidocr_with_other_models_is_refused_not_sent_to_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "_DETECTOR", "PP-OCRv9_det.onnx")
    with pytest.raises(AssetError, match=r"PP-OCRv9_det\.onnx is not in the installed rapidocr"):
        RapidOcrReader()


@pytest.fixture(scope="module")
def reader() -> RapidOcrReader:
    return RapidOcrReader()


@pytest.mark.slow
def test_lines_are_read_in_order(reader: RapidOcrReader) -> None:
    lines = reader.read(
        drawn(("Jessica Smith", 40, 300, 24), ("THE LAST", 150, 30, 60), ("HARBOUR", 150, 110, 60))
    )
    assert [line.text for line in lines] == ["THE LAST", "HARBOUR", "Jessica Smith"]
    assert all(0.9 < line.confidence <= 1 for line in lines)
    left, top, right, bottom = lines[0].box
    assert (left, top, right, bottom) == pytest.approx((150 / 600, 40 / 400, 430 / 600, 90 / 400), abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(216, 144), (1, 1), (5, 5), (1, 1600), (1600, 1), (1200, 1600)])
def test_pictures_without_text_give_none(reader: RapidOcrReader, size: tuple[int, int]) -> None:
    assert reader.read(np.full((*size, 3), 128, np.uint8)) == []


@pytest.mark.slow
def test_recognition_does_not_run_where_nothing_is_detected() -> None:
    reader = RapidOcrReader()
    reader.read(np.zeros((100, 100, 3), np.uint8))
    assert reader._detector.text_det is not None
    assert reader._recognizer.text_rec is None


@pytest.mark.slow
def test_small_and_large_text(reader: RapidOcrReader) -> None:
    assert [line.text for line in reader.read(drawn(("HARBOUR", 20, 20, 20), size=(144, 216)))] == ["HARBOUR"]
    large = drawn(("HARBOUR", 100, 100, 200), ("a quiet little town", 100, 1000, 40), size=(1600, 1200))
    assert [line.text for line in reader.read(large)] == ["HARBOUR", "a quiet little town"]


@pytest.mark.slow
def test_answers_do_not_depend_on_threads_or_what_was_read_before(reader: RapidOcrReader) -> None:
    pictures = [
        drawn((word, 40, 40, 50), ("under it", 40, 200, 30)) for word in ("ALPHA", "BRAVO", "CHARLIE")
    ]
    alone = [reader.read(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(reader.read, pictures * 4)) == alone * 4


@pytest.mark.slow
def test_nothing_is_downloaded_printed_or_logged(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(*args: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    fresh = RapidOcrReader()
    assert fresh.read(drawn(("HARBOUR", 40, 40, 50)))[0].text == "HARBOUR"
    assert fresh.read(np.zeros((50, 50, 3), np.uint8)) == []
    assert capfd.readouterr() == ("", "")
    assert (root.level, list(root.handlers)) == before
    assert fresh.fingerprint == ocr_fingerprint()
    assert fresh.name == "rapidocr PP-OCRv6"


@pytest.mark.slow
def test_memory_stays_bounded_over_pictures_of_every_size(tmp_path: Path) -> None:
    script = (
        "import numpy as np, psutil\n"
        "from PIL import Image, ImageDraw, ImageFont\n"
        "from llmrec.modality.ocr import RapidOcrReader\n"
        "reader, process, random = RapidOcrReader(), psutil.Process(), np.random.default_rng(0)\n"
        "for turn in range(120):\n"
        "    width, height = 216, int(random.integers(140, 160))\n"
        "    image = Image.new('RGB', (width, height), 'white')\n"
        "    words = ''.join(chr(97 + letter) for letter in random.integers(0, 26, random.integers(1, 16)))\n"
        "    for top in (10, 60, 110):\n"
        "        font = ImageFont.load_default(int(random.integers(12, 30)))\n"
        "        ImageDraw.Draw(image).text((5, top), words, font=font, fill='black')\n"
        "    reader.read(np.asarray(image))\n"
        "    if turn == 40:\n"
        "        before = process.memory_info().rss\n"
        "print((process.memory_info().rss - before) >> 20)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert int(done.stdout) < 30, "with a width for each line it grows by some 70 MB"


def signal_stack() -> tuple[int | None, int, int]:
    """Where this thread's signal handlers run: address, flags and size."""
    found = _SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found.pointer, found.flags, found.size


@pytest.mark.skipif(sys.platform != "linux", reason="sigaltstack(2)")
def test_the_thread_keeps_the_stack_of_its_signal_handlers() -> None:
    """OpenVINO's own goes with the reader, and the next Ctrl-C would be a segmentation fault."""
    before = signal_stack()
    reader = RapidOcrReader()
    assert reader.read(drawn(("HELLO", 100, 100, 60)))
    assert signal_stack() == before
    del reader
    gc.collect()
    assert signal_stack() == before
