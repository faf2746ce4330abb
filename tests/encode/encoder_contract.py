"""What every encoder has to do.

A test module that subclasses this gives the fixtures ``encoder`` and ``other_batches``, the same model with
another batch size.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from llmrec.encode import Encoder

TEXTS = [
    "A film about cooking in Paris.",
    "rain",
    "Warm, waterproof jackets and music for a dog in space! " * 3,
    "robot",
    "The unbelievable cat",
    "a b c d e f g h i j k l m n o p",
]
AWKWARD = [
    "",
    " \n\t ",
    "\x00\x07\x1b[31m",
    "\u200b\ufeff",
    "👩‍👩‍👧 🎬🎬🎬",
    "日本語のテキスト",
    "שלום עולם",
    "\ud800 half a pair",
    "x" * 30_000,
    "rain " * 10_000,
    "<|im_start|> [CLS] </s>",
]


class EncoderContract:
    """Tests that each encoder inherits."""

    tolerance = 2e-5

    def test_rows_are_unit_vectors_of_the_stated_dimension(self, encoder: Encoder) -> None:
        vectors = encoder.encode(TEXTS)
        assert vectors.shape == (len(TEXTS), encoder.dimension)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_texts_differ(self, encoder: Encoder) -> None:
        vectors = encoder.encode(TEXTS)
        np.fill_diagonal(similarities := vectors @ vectors.T, 0)
        assert similarities.max() < 0.9999

    def test_no_texts(self, encoder: Encoder) -> None:
        assert encoder.encode([]).shape == (0, encoder.dimension)
        assert encoder.count_tokens([]) == []

    def test_same_call_same_bits(self, encoder: Encoder) -> None:
        np.testing.assert_array_equal(encoder.encode(TEXTS), encoder.encode(TEXTS))

    def test_order_is_kept(self, encoder: Encoder) -> None:
        shuffled = np.random.default_rng(0).permutation(len(TEXTS))
        np.testing.assert_allclose(
            encoder.encode([TEXTS[i] for i in shuffled]), encoder.encode(TEXTS)[shuffled], atol=self.tolerance
        )

    def test_neighbours_do_not_matter(self, encoder: Encoder) -> None:
        alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
        np.testing.assert_allclose(encoder.encode(TEXTS), alone, atol=self.tolerance)

    def test_batch_size_does_not_matter(self, encoder: Encoder, other_batches: Encoder) -> None:
        texts = TEXTS + AWKWARD
        np.testing.assert_allclose(encoder.encode(texts), other_batches.encode(texts), atol=self.tolerance)

    def test_repeated_texts_share_a_vector(self, encoder: Encoder) -> None:
        vectors = encoder.encode(["rain", "robot", "rain", "rain"])
        np.testing.assert_array_equal(vectors[[2, 3]], vectors[[0, 0]])
        assert not np.allclose(vectors[0], vectors[1])

    @pytest.mark.parametrize("text", AWKWARD, ids=range(len(AWKWARD)))
    def test_any_text_has_a_direction(self, encoder: Encoder, text: str) -> None:
        for kind in ("item", "user", "query"):
            vector = encoder.encode([text, "rain"], kind=kind)[0]
            assert np.isfinite(vector).all()
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)

    def test_a_long_text_is_its_beginning(self, encoder: Encoder) -> None:
        text = "rain and music " * 400
        assert encoder.count_tokens([text])[0] > encoder.max_tokens
        longer = encoder.encode([text, text + "robot"])
        np.testing.assert_allclose(longer[0], longer[1], atol=self.tolerance)

    def test_max_tokens_fit(self, encoder: Encoder) -> None:
        text = encoder.cut("rain and music " * 400, encoder.max_tokens)
        changed = encoder.encode([text, text.rsplit(" ", 1)[0] + " robot"])
        assert not np.allclose(changed[0], changed[1], atol=10 * self.tolerance)

    @settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=60)
    @given(
        text=st.text(st.one_of(st.characters(), st.sampled_from("ab c, 19 😀é")), max_size=60),
        tokens=st.integers(0, 20),
    )
    def test_cut_is_a_prefix_of_at_most_that_many_tokens(
        self, encoder: Encoder, text: str, tokens: int
    ) -> None:
        cut = encoder.cut(text, tokens)
        assert text.startswith(cut)
        if encoder.count_tokens([text])[0] <= tokens:
            assert cut == text
        else:
            assert encoder.count_tokens([cut])[0] <= tokens

    def test_cut_takes_as_much_as_fits(self, encoder: Encoder) -> None:
        text = "a film about cooking in Paris"
        for tokens in range(encoder.count_tokens([text])[0] + 1):
            assert encoder.count_tokens([encoder.cut(text, tokens)]) == [tokens]

    def test_fingerprint_is_hex(self, encoder: Encoder) -> None:
        assert int(encoder.fingerprint, 16) > 0

    def test_threads_do_not_mix_their_vectors(self, encoder: Encoder) -> None:
        expected = [encoder.encode([text]) for text in TEXTS]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda text: encoder.encode([text]), TEXTS * 5))
        for number, vector in enumerate(found):
            np.testing.assert_allclose(vector, expected[number % len(TEXTS)], atol=self.tolerance)
