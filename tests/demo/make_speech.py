"""Makes the spoken introductions of the demo's shelf again: ``python tests/demo/make_speech.py``.

Needs the commands ``espeak-ng`` and ``ffmpeg``. The words are this project's own, and so is their licence.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

SPEECH = {
    "astronaut": "She flew four times in the space shuttle, and she was the first woman to command one. "
    "Here she sits in her orange suit, before a mission.",
    "caravan": "Long ago, merchants crossed the desert with silk and salt. They followed the "
    "stars, and paid with silver coins.",
    "coffee": "This coffee comes from a small bar near the harbour. The beans are roasted every Monday, "
    "and the cup tastes of chocolate and cherries.",
    "hives": "Our honey comes from four hives on the roof of the town library. In June the bees visit "
    "the lime trees, and this gives it a taste of mint.",
    "lighthouse": "The lighthouse at the end of the pier was built for the fishing boats. Every evening, "
    "the keeper climbed two hundred steps to light the lamp.",
    "rocket": "Ten seconds before the launch, water floods the launch pad to soften the noise. The engines "
    "start, and the rocket climbs into the sky.",
    "violin": "This violin began as an old mountain tree. It was left to dry for twelve "
    "years, and it was carved in a single winter.",
}
"""File name without its suffix → what is said."""

FOLDER = Path(__file__).parents[2] / "llmrec" / "demo" / "speech"


def synthesise(words: str, target: Path) -> None:
    """Speak English words, 120 a minute, into a mono Opus file of about 20 kbit/s."""
    voice = ["espeak-ng", "-v", "en-us+m1", "-s", "120", "--stdout", words]
    spoken = subprocess.run(voice, check=True, capture_output=True).stdout
    opus = ["-c:a", "libopus", "-b:a", "20k", "-application", "voip", "-ac", "1"]
    exact = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    encode = ["ffmpeg", "-v", "error", "-y", "-i", "pipe:0", *opus, *exact, str(target)]
    subprocess.run(encode, check=True, input=spoken)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, words in SPEECH.items():
        synthesise(words, FOLDER / f"{name}.opus")
