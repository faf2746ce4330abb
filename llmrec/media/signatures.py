"""What a file is by its first bytes, for errors; never by its name."""

from __future__ import annotations

_PREFIXES = (
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"SIMPLE  =", "FITS"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
    (b"fLaC", "FLAC"),
)
_MARKUP = (("<!doctype html", "a web page"), ("<html", "a web page"), ("<svg", "SVG"), ("<?xml", "XML"))
_HEIF = {b"heic", b"heix", b"hevc", b"mif1", b"msf1"}

HEAD = 512
"""Bytes from the beginning of a file that :func:`kind_of` needs."""


def kind_of(head: bytes) -> str:
    """What a file seems to hold, in words (``text``, ``a web page``, ``PDF``, ``unknown data``)."""
    for prefix, kind in _PREFIXES:
        if head.startswith(prefix):
            return kind
    if head[4:8] == b"ftyp":
        return "HEIC" if head[8:12] in _HEIF else "MP4"
    if head[:4] == b"RIFF":
        return {b"WAVE": "WAV", b"AVI ": "AVI"}.get(head[8:12], "unknown data")
    text = head.decode("utf-8", "replace").removeprefix("\ufeff")
    if "\x00" in text or "\ufffd" in text[:-1]:  # the last character may have been cut
        return "unknown data"
    start = text.lstrip().lower()
    return next((kind for prefix, kind in _MARKUP if start.startswith(prefix)), "text")
