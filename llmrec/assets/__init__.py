"""Where weights and data sets come from: a catalogue with digests and licences, and a verified cache."""

from __future__ import annotations

from llmrec.assets.api import catalogue, fingerprint, licence, locate, pull, resolve, verify
from llmrec.assets.manifest import Asset
from llmrec.assets.paths import home

__all__ = ["Asset", "catalogue", "fingerprint", "home", "licence", "locate", "pull", "resolve", "verify"]
