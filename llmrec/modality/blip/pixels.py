"""Pictures as the vision tower takes them: the steps of ``BlipImageProcessor`` by Pillow and NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import MissingExtraError
from llmrec.media.types import Picture
from llmrec.modality.blip.folder import PixelFormat


def to_pixels(picture: Picture, form: PixelFormat) -> NDArray[np.float32]:
    """One picture, resized and normalised: ``(3, height, width)``.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("PIL", "vision") from error
    resample = Image.Resampling(form.resample)
    resized = np.asarray(Image.fromarray(picture).resize(form.shape[::-1], resample))
    scaled = (resized.astype(np.float64) * form.rescale_factor).astype(np.float32)
    normalised = (scaled - np.array(form.image_mean, np.float32)) / np.array(form.image_std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def blank_pixels(form: PixelFormat) -> NDArray[np.float32]:
    """A picture that shows nothing, of the mean colour: ``(3, height, width)``."""
    return np.zeros((3, *form.shape), np.float32)
