"""A teacher: an image model whose view of each picture the vision tower learns to tell."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec import assets
from llmrec.config import MediaSettings
from llmrec.errors import ConfigError
from llmrec.media.types import Picture
from llmrec.progress import Progress
from llmrec.training.captioner.features import Features, FeatureStore
from llmrec.training.captioner.looking import Looker

_SCHEME = "teacher 1"
_MEASURED = 1000
"""Pictures whose features say how far each channel spreads."""
_FORM = "A teacher takes (n, 3, height, width), RGB from 0 to 1, and gives (n, channels, rows, columns)."


class Teacher(Looker):
    """A graph of OpenVINO or ONNX. It is run by OpenVINO, so that no code of the model runs.

    Args:
        spec: an asset's name or URI: an ONNX file, or a folder with one ``.xml`` and its ``.bin``.
        limits: on pictures.
        batch: pictures that are looked at together.
        progress: shows downloads.

    Raises:
        AssetError: it cannot be found or pulled.
        ConfigError: it is no such graph.
    """

    def __init__(self, spec: str, limits: MediaSettings, batch: int, progress: Progress) -> None:
        import openvino as ov

        super().__init__(f"the teacher {spec}", limits, batch)
        self.fingerprint = assets.fingerprint(spec)
        file = _graph(assets.resolve(spec, progress), spec)
        try:
            model = ov.Core().read_model(file)
        except RuntimeError as error:
            raise ConfigError(f"{file}: cannot be read: {error}", _FORM) from error
        takes, gives = model.input(0).partial_shape, model.output(0).partial_shape
        if (
            len(model.inputs) != 1
            or [len(takes), len(gives)] != [4, 4]
            or not all(takes[axis].is_static for axis in (1, 2, 3))
            or not all(gives[axis].is_static for axis in (1, 2, 3))
            or takes[1].get_length() != 3
        ):
            raise ConfigError(f"{file}: takes {takes} and gives {gives}", _FORM)
        self.size = (takes[2].get_length(), takes[3].get_length())
        self.channels, self.rows, self.columns = (gives[axis].get_length() for axis in (1, 2, 3))
        self._run = ov.Core().compile_model(model, "CPU")

    def store(self, root: Path) -> FeatureStore:
        """See :class:`Looker`."""
        known = json.dumps([_SCHEME, self.fingerprint, self.limits.max_side])
        key = hashlib.sha256(known.encode()).hexdigest()[:32]
        return FeatureStore(root / key, self.rows * self.columns, self.channels)

    def pixels(self, picture: Picture) -> NDArray[np.float32]:
        """See :class:`Looker`."""
        from PIL import Image

        height, width = self.size
        resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
        return (np.asarray(resized, np.float32) / np.float32(255)).transpose(2, 0, 1)

    def features(self, pixels: NDArray[np.float32]) -> Features:
        """See :class:`Looker`."""
        maps = np.asarray(self._run(pixels)[0])
        return maps.reshape(len(maps), self.channels, -1).transpose(0, 2, 1).astype(np.float16)


def _graph(path: Path, spec: str) -> Path:
    found = [path] if path.is_file() else sorted([*path.glob("*.xml"), *path.glob("*.onnx")])
    if len(found) != 1:
        raise ConfigError(f"{spec}: holds {len(found)} graphs where a teacher is one", _FORM)
    return found[0]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the tokens of pictures are to tell: of a patch the teacher's view of its place, of all their mean.

    Args:
        maps: of the teacher, (rows, cells, channels).
        rows: of each example.
        cells: of each patch, the place of a cell: (patches,).
        mean: of each channel over cells and pictures.
        spread: likewise its standard deviation.
    """

    maps: Features
    rows: NDArray[np.intp]
    cells: NDArray[np.intp]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    def __call__(self, example: int, tokens: NDArray[np.intp]) -> NDArray[np.float32]:
        """What some tokens of an example's picture are to tell, the first of which is that of the whole.

        Args:
            example: its place.
            tokens: places among all tokens of the picture, 0 first.

        Returns:
            Standardised by channel: (tokens, channels).
        """
        cells = self.maps[self.rows[example]].astype(np.float32)
        told = np.concatenate([cells.mean(0)[None], cells[self.cells[tokens[1:] - 1]]])
        return (told - self.mean) / self.spread


def lesson(teacher: Teacher, maps: Features, rows: NDArray[np.intp], patches: int) -> Lesson:
    """The lesson of a teacher for pictures of ``patches`` patches a side.

    Args:
        teacher: whose maps they are.
        maps: memory-mapped.
        rows: of each example that is learnt from.
        patches: a side, of the vision tower.
    """
    places = np.arange(patches)
    cells = (places * teacher.rows // patches)[
        :, None
    ] * teacher.columns + places * teacher.columns // patches
    known = maps[np.sort(rows[:_MEASURED])].astype(np.float32).reshape(-1, teacher.channels)
    spread = np.maximum(known.std(0), 1e-3)
    return Lesson(maps, rows, cells.ravel(), known.mean(0), spread)
