"""From whatever a Pillow image holds to upright RGB pixels."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from llmrec.media.types import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

_ORIENTATION = 0x0112
_TRANSPOSED = (5, 6, 7, 8)


def orientation_of(image: Image) -> int:
    """The EXIF orientation, 1 to 8, of a loaded image; 1 where it states none or its EXIF is damaged."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF fails in many ways and does not keep a picture from being shown
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def is_transposed(orientation: int) -> bool:
    """Whether an image of this EXIF orientation changes width for height when put upright."""
    return orientation in _TRANSPOSED


def upright_rgb(image: Image, orientation: int, max_side: int) -> Picture:
    """The pixels of a loaded image as RGB, upright, at most ``max_side`` long.

    Transparency is laid on white; 16 and 32 bit grey is scaled to 8; colours are converted from the image's
    ICC profile to sRGB, as far as it has one that fits.
    """
    reduced = _reduced(_resizable(image), max_side)
    rgb = _to_srgb(_opaque(_eight_bit(reduced)), image.info.get("icc_profile"))
    return np.array(_upright(rgb, orientation), dtype=np.uint8)


def _resizable(image: Image) -> Image:
    """The image in a mode whose values can be averaged: not indices of a palette, nor single bits."""
    if image.mode in ("1", "P", "PA") or (image.mode in ("L", "RGB") and image.has_transparency_data):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image


def _reduced(image: Image, max_side: int) -> Image:
    from PIL.Image import Resampling

    longest = max(image.size)
    if longest <= max_side:
        return image
    width, height = (max(1, round(side * max_side / longest)) for side in image.size)
    gap = None if image.mode.startswith("I;16") else 3.0  # Pillow cannot reduce 16 bit grey in two steps
    return image.resize((width, height), Resampling.LANCZOS, reducing_gap=gap)


def _eight_bit(image: Image) -> Image:
    if not (image.mode.startswith("I") or image.mode == "F"):
        return image
    from PIL.Image import fromarray

    values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = min(0.0, float(values.min())), float(values.max())
    if image.mode == "F":  # there is no rule for floats: shares, bytes or measurements
        top = next((top for top in (1.0, 255.0) if high <= top), high)
    else:
        top = 65535.0 if high <= 65535.0 else high
    scaled = (values - low) * (255.0 / max(top - low, 1e-6))
    return fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _opaque(image: Image) -> Image:
    from PIL.Image import new

    if image.mode in ("LA", "RGBa"):
        image = image.convert("RGBA")
    if image.mode != "RGBA":
        return image
    white = new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image.getchannel("A"))
    return white


def _to_srgb(image: Image, profile: bytes | None) -> Image:
    from PIL import ImageCms

    if profile or image.mode == "LAB":
        srgb = ImageCms.createProfile("sRGB")
        try:
            source = ImageCms.ImageCmsProfile(
                io.BytesIO(profile) if profile else ImageCms.createProfile("LAB")
            )
            converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a damaged profile, or one for other channels: shown without it, as browsers do
        else:
            assert converted is not None  # it is None only for `inPlace`
            return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _upright(image: Image, orientation: int) -> Image:
    from PIL.Image import Transpose

    turns = (
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )
    return image if orientation == 1 else image.transpose(turns[orientation - 2])
