"""Text in pictures, read by the PP-OCR models that come with rapidocr."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import unicodedata
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import AssetError, MissingExtraError
from llmrec.media.types import Picture
from llmrec.modality.base import TextLine
from llmrec.modality.reading_order import Span, lines_in_order
from llmrec.runtime.openvino import import_openvino, kept_signal_stack

_MODEL = "PP-OCRv6"
_DETECTOR, _RECOGNIZER = f"{_MODEL}_det_small.onnx", f"{_MODEL}_rec_small.onnx"

_SMALL_SIDE, _MAX_ENLARGEMENT = 416, 3.0
"""Smaller pictures are enlarged to this side: posters of 216 pixels then give a tenth more of their titles;
beyond it nothing more is found."""

_LARGE_SIDE = 960
"""Text is looked for in a picture reduced to this side, and read in the picture itself."""

_LINE_HEIGHT, _WIDTH_STEP, _MAX_WIDTH = 48, 64, 2560
"""Size in which the recognizer sees a line. Widths are few, since OpenVINO keeps memory for each one."""

_PADDING = (127, 127, 127)
"""What is 0 to the recognizer."""

_SCHEME = 1
"""Raised whenever how pictures are prepared, or lines joined and ordered, changes."""


def ocr_fingerprint() -> str:
    """The ``fingerprint`` of :class:`RapidOcrReader`, without loading the models.

    The weights come in rapidocr's wheel, so its version stands for them.

    Raises:
        MissingExtraError: rapidocr is not installed.
    """
    parts = (
        "llmrec ocr",
        _SCHEME,
        _rapidocr_version(),
        _DETECTOR,
        _RECOGNIZER,
        _SMALL_SIDE,
        _MAX_ENLARGEMENT,
        _LARGE_SIDE,
        _LINE_HEIGHT,
        _WIDTH_STEP,
        _MAX_WIDTH,
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class RapidOcrReader:
    """A :class:`llmrec.modality.base.TextReader`; may be used by several threads, which take turns.

    Detection and recognition run in OpenVINO on one thread: other models and decoders run beside it, and
    two threads of networks this small mostly wait for each other.

    Raises:
        MissingExtraError: rapidocr is not installed.
        AssetError: the installed rapidocr comes without the models.
    """

    def __init__(self) -> None:
        self.name = f"rapidocr {_MODEL}"
        self.fingerprint = ocr_fingerprint()
        import_openvino()
        from rapidocr import EngineType, RapidOCR

        common: dict[str, Any] = {
            "Global.log_level": "critical",
            "Global.text_score": 0.0,
            "Global.use_cls": False,
            "Global.use_preprocess_img": False,
            "EngineConfig.openvino.inference_num_threads": 1,
        }
        detector = {
            "Global.use_rec": False,
            "Det.engine_type": EngineType.OPENVINO,
            "Det.model_path": _model_path(_DETECTOR),
            "Det.limit_type": "max",
            "Det.limit_side_len": _LARGE_SIDE,
        }
        recognizer = {
            "Global.use_det": False,
            "Rec.engine_type": EngineType.OPENVINO,
            "Rec.model_path": _model_path(_RECOGNIZER),
            "Rec.rec_img_shape": [3, _LINE_HEIGHT, _WIDTH_STEP],
        }
        self._detector = RapidOCR(params=common | detector)
        self._recognizer = RapidOCR(params=common | recognizer)
        self._lock = threading.Lock()

    def read(self, picture: Picture) -> list[TextLine]:
        """The lines in reading order; none where the detector finds no text.

        Lines of every confidence are given, those without a letter or digit left out.
        """
        image = _enlarged(picture[..., ::-1])  # rapidocr's models were trained on BGR
        height, width = image.shape[:2]
        with self._lock, kept_signal_stack():  # rapidocr loads OpenVINO when it first reads
            corners = self._detector(image).boxes
            found = [] if corners is None else [self._recognized(image, box) for box in corners]
        return [
            TextLine(
                line.text,
                min(1.0, line.confidence),
                (line.left / width, line.top / height, line.right / width, line.bottom / height),
            )
            for line in lines_in_order(span for span in found if any(map(str.isalnum, span.text)))
        ]

    def _recognized(self, image: Picture, corners: NDArray[np.float32]) -> Span:
        from rapidocr.utils.process_img import get_rotate_crop_image

        result = self._recognizer(_line_image(get_rotate_crop_image(image, corners.astype(np.float32))))
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        text = " ".join(unicodedata.normalize("NFKC", result.txts[0]).split())
        return Span(text, float(result.scores[0]), float(left), float(top), float(right), float(bottom))


def _enlarged(image: Picture) -> Picture:
    import cv2

    factor = min(_SMALL_SIDE / max(image.shape[:2]), _MAX_ENLARGEMENT)
    if factor <= 1:
        return np.ascontiguousarray(image)
    enlarged = cv2.resize(
        np.ascontiguousarray(image), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(enlarged, dtype=np.uint8)


def _line_image(crop: Picture) -> Picture:
    """A line scaled to the recognizer's height, and filled up to one of a few widths."""
    import cv2

    height, width = crop.shape[:2]
    scaled = min(math.ceil(_LINE_HEIGHT * width / height), _MAX_WIDTH)
    room = math.ceil(scaled / _WIDTH_STEP) * _WIDTH_STEP - scaled
    line = cv2.resize(crop, (scaled, _LINE_HEIGHT))
    filled = cv2.copyMakeBorder(line, 0, 0, 0, room, cv2.BORDER_CONSTANT, value=_PADDING)
    return np.asarray(filled, dtype=np.uint8)


def _model_path(name: str) -> str:
    """The file of a model in rapidocr's wheel; named, so that rapidocr does not download one."""
    import rapidocr

    path = Path(rapidocr.__file__).parent / "models" / name
    if not path.is_file():
        raise AssetError(
            f"{name} is not in the installed rapidocr {_rapidocr_version()}",
            "Run: pip install -U 'llmrec[vision]'",
        )
    return str(path)


def _rapidocr_version() -> str:
    try:
        return metadata.version("rapidocr")
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError("rapidocr", "vision") from error
