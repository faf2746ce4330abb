"""Pictures of every kind open upright and in RGB; what is damaged or too large is refused with its reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from llmrec.config import MediaSettings
from llmrec.errors import MediaError
from llmrec.media.picture import read_picture
from llmrec.media.types import Media, Picture

LIMITS = MediaSettings()
ORIENTATION = 0x0112


def encoded(image: Image.Image, format: str, **options: object) -> io.BytesIO:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    stream.seek(0)
    return stream


def corners(width: int = 48, height: int = 32) -> Image.Image:
    """A picture whose four quarters differ: red, green / blue, white."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    w, h = width // 2, height // 2
    draw.rectangle((0, 0, w - 1, h - 1), "red")
    draw.rectangle((w, 0, width, h - 1), "lime")
    draw.rectangle((0, h, w - 1, height), "blue")
    return image


def pixels(stream: io.BytesIO, limits: MediaSettings = LIMITS) -> Picture:
    media = read_picture(stream, limits)
    assert len(media.frames) == 1
    assert media.sound is media.seconds is media.frames[0].start is media.frames[0].end is None
    assert media.frames[0].pixels.dtype == np.uint8
    return media.frames[0].pixels


def reason(data: bytes, limits: MediaSettings = LIMITS) -> str:
    with pytest.raises(MediaError) as caught:
        read_picture(io.BytesIO(data), limits)
    return caught.value.message


def png_header(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """The beginning of a PNG that states a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "GIF"])
def test_lossless_formats_keep_every_pixel(format: str) -> None:
    assert (pixels(encoded(corners(), format)) == np.asarray(corners())).all()


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_keep_the_picture(format: str) -> None:
    difference = pixels(encoded(corners(), format, quality=95)).astype(int) - np.asarray(corners())
    assert np.abs(difference).mean() < 6


def test_the_stream_is_left_open() -> None:
    stream = encoded(corners(), "PNG")
    read_picture(stream, LIMITS)
    assert not stream.closed


def test_format_is_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(corners(), "BMP").getvalue())
    with path.open("rb") as file:
        assert (read_picture(file, LIMITS).frames[0].pixels == np.asarray(corners())).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_put_upright(orientation: int, format: str) -> None:
    upright = np.asarray(corners())
    turned = {  # how a camera held each way stores the upright picture
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"quality": 95} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    stored = Image.fromarray(np.ascontiguousarray(turned))
    media = read_picture(encoded(stored, format, exif=exif, **options), LIMITS)
    assert (media.width, media.height) == (48, 32)
    assert np.abs(media.frames[0].pixels.astype(int) - upright).mean() < (6 if format == "JPEG" else 0.01)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_matter() -> None:
    stream = encoded(corners(), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert pixels(stream).shape == (32, 48, 3)


def test_cmyk_jpeg_with_inverted_inks_keeps_its_colours() -> None:
    stream = encoded(corners().convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in stream.getvalue(), "the marker that says that inks are inverted"
    quarters = pixels(stream)[[8, 8, 24, 24], [12, 36, 12, 36]]
    assert np.abs(quarters.astype(int) - [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]).max() < 12


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(format: str) -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16)[None].repeat(8, axis=0)
    got = pixels(encoded(Image.fromarray(ramp), format))
    assert np.abs(got[0, :, 0].astype(int) - np.linspace(0, 255, 64)).max() <= 1
    assert (got[..., 0] == got[..., 2]).all()


def test_sixteen_bit_colour_is_scaled() -> None:
    rows = b"".join(b"\x00" + struct.pack(">HHH", 65535, 32768, 256) * 4 for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    assert pixels(io.BytesIO(data))[0, 0].tolist() == [255, 128, 1]


@pytest.mark.parametrize("top", [1.0, 255.0, 4000.0])
def test_floats_are_scaled_by_their_range(top: float) -> None:
    ramp = np.linspace(0, top, 64, dtype=np.float32)[None].repeat(8, axis=0)
    ramp[0, 0] = np.nan
    got = pixels(encoded(Image.fromarray(ramp), "TIFF"))
    assert np.abs(got[1, :, 1].astype(int) - np.linspace(0, 255, 64)).max() <= 1


def test_thirty_two_bit_integers_are_scaled() -> None:
    ramp = np.linspace(0, 1_000_000, 64, dtype=np.int32)[None].repeat(8, axis=0)
    got = pixels(encoded(Image.fromarray(ramp), "TIFF"))
    assert np.abs(got[1, :, 1].astype(int) - np.linspace(0, 255, 64)).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_one_bit_grey_and_palette_become_rgb(mode: str) -> None:
    image = Image.new("L", (40, 20), 255)
    image.paste(0, (0, 0, 20, 20))
    got = pixels(encoded(image.convert(mode), "PNG"))
    assert got[0, 5].tolist() == [0, 0, 0]
    assert got[0, 35].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    image = Image.new("RGBA", (30, 10), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (10, 0, 20, 10))
    image.paste((0, 0, 0, 128), (20, 0, 30, 10))
    got = pixels(encoded(image.convert(mode), "PNG"))
    assert got[5, [5, 15, 25], 0].tolist() == [0, 255, 127]


def test_transparent_colours_of_palette_and_grey_are_laid_on_white() -> None:
    image = Image.new("P", (20, 10), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 10, 10))
    assert pixels(encoded(image, "PNG", transparency=0))[5, [5, 15]].tolist() == [[255] * 3, [0, 0, 255]]
    assert pixels(encoded(image, "GIF", transparency=0))[5, [5, 15]].tolist() == [[255] * 3, [0, 0, 255]]
    grey = Image.new("L", (20, 10), 90)
    grey.paste(40, (0, 0, 10, 10))
    assert pixels(encoded(grey, "PNG", transparency=40))[5, [5, 15], 0].tolist() == [255, 90]


def test_icc_profile_is_converted_to_srgb() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = Image.new("RGB", (8, 8), (120, 130, 140))
    for profile in (
        srgb,
        lab,
        b"damaged",
    ):  # the one that changes nothing, of other channels, and none at all
        assert pixels(encoded(grey, "PNG", icc_profile=profile))[0, 0].tolist() == [120, 130, 140]
    swapped = bytearray(srgb)  # red and blue primaries exchanged in the profile's table
    red, blue = srgb.index(b"rXYZ"), srgb.index(b"bXYZ")
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    red_picture = Image.new("RGB", (8, 8), (255, 0, 0))
    assert pixels(encoded(red_picture, "PNG", icc_profile=bytes(swapped)))[0, 0].tolist()[2] > 250


@pytest.mark.parametrize(
    ("size", "want"), [((900, 300), (100, 300)), ((300, 900), (300, 100)), ((900, 2), (1, 300))]
)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_large_pictures_are_reduced(size: tuple[int, int], want: tuple[int, int], format: str) -> None:
    media = read_picture(encoded(corners(*size), format), MediaSettings(max_side=300))
    assert media.frames[0].pixels.shape[:2] == want
    assert (media.width, media.height) == size


def test_sixteen_bit_and_bilevel_pictures_are_reduced() -> None:
    grey = Image.fromarray(np.full((500, 500), 40_000, dtype=np.uint16))
    assert pixels(encoded(grey, "PNG"), MediaSettings(max_side=100)).shape == (100, 100, 3)
    checks = Image.fromarray(np.indices((512, 512)).sum(axis=0) % 2 * 255 > 0)
    shrunk = pixels(encoded(checks, "PNG"), MediaSettings(max_side=64))
    assert 120 <= shrunk.mean() <= 135, "averaged, not picked"


def animation(colours: str, format: str, seconds: float = 0.5, **options: object) -> io.BytesIO:
    names = {"r": "red", "g": "lime", "b": "blue", "w": "white", "k": "black", "y": "yellow"}
    frames = [Image.new("RGB", (40, 30), names[colour]) for colour in colours]
    for index, frame in enumerate(frames):  # one pixel differs, so that no encoder merges equal frames
        frame.putpixel((index % 40, 0), (index, 100, 100))
    return encoded(
        frames[0], format, save_all=True, append_images=frames[1:], duration=round(seconds * 1000), **options
    )


def shown(media: Media) -> list[tuple[float | None, float | None, list[int]]]:
    return [
        (frame.start, frame.end, (frame.pixels[20, 20] > 127).astype(int).tolist()) for frame in media.frames
    ]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animation_gives_its_different_frames_with_times(format: str) -> None:
    media = read_picture(animation("rrgggb", format), LIMITS)
    assert shown(media) == [(0.0, 1.0, [1, 0, 0]), (1.0, 2.5, [0, 1, 0]), (2.5, 3.0, [0, 0, 1])]
    assert media.seconds == 3.0


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animation_that_does_not_change_is_a_still_picture(format: str) -> None:
    assert pixels(animation("rrrr", format)).shape == (30, 40, 3)


def test_frames_of_an_animation_are_few_and_spread() -> None:
    media = read_picture(animation("rgbwky" * 10, "GIF", seconds=0.1), MediaSettings(frames=4))
    starts = [frame.start for frame in media.frames]
    assert len(starts) == 4
    assert media.seconds == pytest.approx(6.0)
    assert all(low <= start < low + 1.5 for low, start in zip((0, 1.5, 3, 4.5), starts, strict=True))


def test_animation_frames_too_short_to_be_seen_take_a_tenth_of_a_second() -> None:
    assert read_picture(animation("rg", "WEBP", seconds=0.0), LIMITS).seconds == pytest.approx(0.2)


def test_only_the_beginning_of_an_endless_animation_is_decoded() -> None:
    media = read_picture(animation("rgb" * 30, "GIF", seconds=0.1), MediaSettings(max_pixels=2000))
    assert media.seconds == pytest.approx(0.7), "4 x 2,000 pixels are passed by the seventh frame of 1,200"


def test_animation_ends_at_the_time_limit() -> None:
    stream = animation("rgb" * 30, "GIF")
    assert (
        reason(stream.getvalue(), MediaSettings(timeout=1e-9))
        == "not opened within 1e-09 seconds ([media] timeout)"
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_frame_larger_than_its_animation_is_held_to_the_limit() -> None:
    small = bytearray(animation("rg", "GIF").getvalue())
    second = small.rindex(b"\x2c\x00\x00\x00\x00")
    small[second + 5 : second + 9] = struct.pack("<HH", 12_000, 12_000)
    assert (
        reason(bytes(small))
        == "12,000 x 12,000 pixels, more than the limit of 100,000,000 ([media] max_pixels)"
    )


def test_orientation_of_an_animation() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    media = read_picture(animation("rg", "WEBP", exif=exif.tobytes()), LIMITS)
    assert (media.width, media.height) == (30, 40)
    assert media.frames[0].pixels.shape == (40, 30, 3)


def test_first_page_of_a_tiff_is_taken() -> None:
    pages = [corners(), corners(20, 20)]
    media = read_picture(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]), LIMITS)
    assert [frame.pixels.shape for frame in media.frames] == [(32, 48, 3)]
    assert media.seconds is None


def test_empty_file() -> None:
    assert reason(b"") == "empty (0 bytes)"


def test_too_many_bytes() -> None:
    assert reason(bytes(1001), MediaSettings(max_bytes=1000)) == (
        "1,001 bytes, more than the limit of 1,000 ([media] max_bytes)"
    )


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"Just words, from a file called photo.jpg.\n", "text"),
        ("Слова\n".encode() * 50, "text"),
        (b"\n<!DOCTYPE html><title>404</title>", "a web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"SIMPLE  =                    T / BITPIX  = 8", "FITS"),
        (b"PK\x03\x04" + bytes(60), "a zip archive"),
        (b"\x1f\x8b\x08" + bytes(60), "gzip"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "WAV"),
        (b"\x00\x00\x00\x18ftypmp42", "MP4"),
        (b"\x00\x00\x00\x18ftypheic", "HEIC"),
        (b"P6 2 2 255 " + bytes(12), "unknown data"),
        (bytes(range(128, 256)), "unknown data"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, found: str) -> None:
    assert reason(data) == f"not a picture that can be read (found: {found})"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_pictures_are_refused(format: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), format).getvalue()
    assert reason(data[: int(len(data) * kept)]).startswith("truncated or damaged (")


@pytest.mark.parametrize("format", ["PNG", "WEBP", "AVIF"])
def test_truncated_animations_are_refused(format: str) -> None:
    data = animation("rgbwky", format).getvalue()
    assert reason(data[: int(len(data) * 0.7)]).startswith("truncated or damaged (")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
def test_random_damage_never_escapes_as_another_error(format: str) -> None:
    random = np.random.default_rng(0)
    whole = encoded(corners(), format).getvalue()
    for _ in range(60):
        data = bytearray(whole)
        for at in random.integers(0, len(data), 4):
            data[at] = random.integers(256)
        with suppress(MediaError):
            read_picture(io.BytesIO(bytes(data)), MediaSettings(max_pixels=1_000_000))


def peak_of_reading(data: bytes, folder: Path) -> tuple[int, str]:
    """Kilobytes by which a process grows when it reads the file, and what it says of it."""
    path = folder / "file"
    path.write_bytes(data)
    script = (
        "import resource, sys\n"
        "from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin, WebPImagePlugin, AvifImagePlugin\n"
        "from llmrec.config import MediaSettings\n"
        "from llmrec.errors import MediaError\n"
        "from llmrec.media.picture import read_picture\n"
        "def peak():\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before, said = peak(), 'read'\n"
        "with open(sys.argv[1], 'rb') as file:\n"
        "    try:\n"
        "        read_picture(file, MediaSettings())\n"
        "    except MediaError as error:\n"
        "        said = str(error)\n"
        "print(peak() - before, said)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout, done.stderr
    kilobytes, _, said = done.stdout.strip().partition(" ")
    return int(kilobytes), said


@pytest.mark.parametrize(
    "bomb",
    [
        png_header(50_000, 50_000),
        png_header(8, 8, (b"iCCP", b"p\x00\x00" + zlib.compress(bytes(1 << 26), 9))),
        png_header(8, 8, *[(b"zTXt", b"k\x00\x00" + zlib.compress(bytes(1 << 20), 9))] * 200),
        b"SIMPLE  =                    T" + bytes(1 << 20),
        b"PK\x03\x04" + bytes(1 << 20),
    ],
    ids=["pixels", "profile", "texts", "fits", "zip"],
)
def test_bombs_are_refused_in_little_memory(bomb: bytes, tmp_path: Path) -> None:
    kilobytes, said = peak_of_reading(bomb, tmp_path)
    assert said != "read"
    assert kilobytes < 100_000, said


def test_large_jpeg_is_decoded_no_larger_than_needed(tmp_path: Path) -> None:
    kilobytes, said = peak_of_reading(encoded(Image.new("L", (9000, 9000)), "JPEG").getvalue(), tmp_path)
    assert said == "read"
    assert kilobytes < 40_000, "whole it has 81 MB"


def test_limit_of_pixels_is_ours_not_pillows() -> None:
    limit = "more than the limit of 100,000,000 ([media] max_pixels)"
    assert reason(png_header(50_000, 50_000)) == f"50,000 x 50,000 pixels, {limit}"
    assert reason(png_header(10_001, 10_000)) == f"10,001 x 10,000 pixels, {limit}"
    within = reason(png_header(10_000, 10_000), MediaSettings(timeout=1e-9))
    assert "timeout" in within, "what is within the limit passes it"
    raised = reason(png_header(50_000, 50_000), MediaSettings(max_pixels=2_500_000_000, timeout=1e-9))
    assert "timeout" in raised, "beyond Pillow's limit where the settings allow it"


def test_no_process_wide_setting_is_changed() -> None:
    from PIL import ImageFile

    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    read_picture(encoded(corners(), "PNG"), LIMITS)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before == (89_478_485, False)
