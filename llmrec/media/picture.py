"""Opening pictures of every kind within limits, whoever made them."""

from __future__ import annotations

import io
import time
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO

from llmrec.config import MediaSettings
from llmrec.errors import MediaError, MissingExtraError
from llmrec.media.animation import animation_frames
from llmrec.media.paths import check_bytes
from llmrec.media.pixels import is_transposed, orientation_of, upright_rgb
from llmrec.media.signatures import HEAD, kind_of
from llmrec.media.types import Frame, Media

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "GIF": "GifImagePlugin",
    "AVIF": "AvifImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
}
"""What is read: the raster formats that catalogs hold, with Pillow's module for each. Left out are formats
that run other programs (PostScript, WMF), that Pillow decodes in Python (plain PPM), and rare ones."""

_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
"""Formats whose frames follow in time; the pages of a TIFF and the views of a JPEG do not."""


def read_picture(stream: BinaryIO, limits: MediaSettings) -> Media:
    """Open a picture or animation.

    The format is told by the content. The size is checked before anything is decoded. Of an animation a
    handful of frames is taken, with the seconds during which they are shown.

    Args:
        stream: seekable, at its beginning; left open.
        limits: bytes, pixels, frames, longest side and time.

    Raises:
        MediaError: it is not a picture, is damaged, or is beyond a limit; the message is the reason alone.
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL.Image import DecompressionBombError
    except ImportError as error:
        raise MissingExtraError("pillow", "vision") from error
    deadline = time.monotonic() + limits.timeout
    _check_bytes(stream, limits)
    try:
        with _opened(stream) as image:
            return _read(image, limits, deadline)
    except MediaError:
        raise
    except DecompressionBombError as error:  # WebP and TIFF are held to Pillow's own limit as well
        raise MediaError(f"more pixels than Pillow decodes ({_first_line(error)})") from error
    except MemoryError as error:
        raise MediaError("more memory is needed than there is") from error
    except Exception as error:  # each of Pillow's decoders reports damage in ways of its own
        raise MediaError(f"truncated or damaged ({_first_line(error)})") from error


def _check_bytes(stream: BinaryIO, limits: MediaSettings) -> None:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if size == 0:
        raise MediaError("empty (0 bytes)")
    check_bytes(size, limits)


def _opened(stream: BinaryIO) -> ImageFile:
    """The image with its header read.

    ``Image.open`` is not used: it applies the process-wide ``MAX_IMAGE_PIXELS`` before the size is known
    here, and swallows what is wrong with a file whose format it recognised.
    """
    from PIL import Image

    head = stream.read(HEAD)
    for name, module in _PLUGINS.items():
        import_module(f"PIL.{module}")
        factory, accepts = Image.OPEN[name]
        if accepts is not None and accepts(head[:16]) is True:
            stream.seek(0)
            return factory(stream, "")
    raise MediaError(f"not a picture that can be read (found: {kind_of(head)})")


def _read(image: ImageFile, limits: MediaSettings, deadline: float) -> Media:
    def check() -> None:
        if image.width * image.height > limits.max_pixels:
            raise MediaError(
                f"{image.width:,} x {image.height:,} pixels, more than the limit of {limits.max_pixels:,} "
                "([media] max_pixels)"
            )
        if time.monotonic() > deadline:
            raise MediaError(f"not opened within {limits.timeout:g} seconds ([media] timeout)")

    check()
    width, height = image.size
    if image.format in ("JPEG", "MPO"):
        image.draft(
            None, (limits.max_side, limits.max_side)
        )  # decodes at 1/2, 1/4 or 1/8 where that suffices
    image.load()
    orientation = orientation_of(image)
    if is_transposed(orientation):
        width, height = height, width
    if image.format in _ANIMATED and getattr(image, "is_animated", False):
        frames, seconds = animation_frames(image, orientation, limits, check)
        return Media(frames, width=width, height=height, seconds=seconds)
    return Media((Frame(upright_rgb(image, orientation, limits.max_side)),), width=width, height=height)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:120] if lines else type(error).__name__
