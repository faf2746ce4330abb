"""Files that come with llmrec, and weights in eight bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from safetensors.numpy import load, save

from llmrec.assets import blocks, catalogue, pull, resolve, verify
from llmrec.errors import AssetError

NAME = "blip-small"


def weights(rows: int, columns: int, scale: float, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    matrix = (rng.standard_normal((rows, columns)) * scale).astype(np.float32)
    return {"matrix": matrix, "vector": matrix[0].copy(), "small": matrix[:2, :3].copy()}


def there_and_back(folder: Path, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    file = folder / f"model{blocks.SUFFIX}"
    file.write_bytes(blocks.pack(values))
    return load(blocks.unpack(file))


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(64, 70), columns=st.integers(64, 99), power=st.integers(-6, 3), seed=st.integers(0, 9)
)
def test_each_value_is_off_by_half_a_step_of_its_block_at_most(
    tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int, power: int, seed: int
) -> None:
    values = weights(rows, columns, 10.0**power, seed)
    back = there_and_back(tmp_path_factory.mktemp("blocks"), values)
    assert {name: array.shape for name, array in back.items()} == {
        name: array.shape for name, array in values.items()
    }
    np.testing.assert_array_equal(back["vector"], values["vector"])
    np.testing.assert_array_equal(back["small"], values["small"])
    flat = np.pad(values["matrix"].ravel(), (0, -rows * columns % 32)).reshape(-1, 32)
    other = np.pad(back["matrix"].ravel(), (0, -rows * columns % 32)).reshape(-1, 32)
    # Half a step, and what a scale in float16 is off by: 2**-11 of it, or 2**-25 where it is that small.
    step = np.abs(flat).max(1) / 127
    assert (np.abs(flat - other).max(1) <= step / 2 * 1.001 + 127 * (step * 2**-11 + 2**-25)).all()


def test_zeros_stay_zeros_and_a_file_takes_little_more_than_a_byte_a_value(tmp_path: Path) -> None:
    values = {"matrix": np.zeros((512, 512), np.float32)}
    assert not there_and_back(tmp_path, values)["matrix"].any()
    assert len(blocks.pack(weights(512, 512, 1.0, 0))) < 1.08 * 512 * 512


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_weights_that_cannot_be_packed_are_named(value: float) -> None:
    values = weights(64, 64, 1.0, 0)
    values["matrix"][3, 4] = value
    with pytest.raises(AssetError, match="matrix"):
        blocks.pack(values)


@pytest.mark.parametrize("damage", ["cut", "garbage", "plain", "without a scale"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    file = tmp_path / f"model{blocks.SUFFIX}"
    whole = blocks.pack(weights(64, 64, 1.0, 0))
    without = {name: array for name, array in load(whole).items() if not name.endswith(".scale")}
    file.write_bytes(
        {
            "cut": whole[:-100],
            "garbage": b"\0" * 100,
            "plain": save(weights(64, 64, 1.0, 0)),
            "without a scale": save(without, metadata={"shapes": '{"matrix": [64, 64]}'}),
        }[damage]
    )
    with pytest.raises(AssetError, match=str(file)):
        blocks.unpack(file)


def test_the_captioner_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_OFFLINE", "1")
    path = pull(NAME)
    assert verify(NAME) == []
    (asset,) = (asset for asset in catalogue() if asset.name == NAME)
    assert sum(file.stat().st_size for file in path.iterdir() if file.name[0] != ".") == asset.size


def test_the_captioner_takes_36_megabytes_at_most_in_the_wheel() -> None:
    import llmrec

    folder = Path(llmrec.__file__).parent / "weights" / NAME
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 36_000_000


@pytest.mark.parametrize(
    ("location", "message"),
    [("../config.py", "refused"), ("blip-small/none.json", "came without it")],
)
def test_other_files_of_the_package_are_out_of_reach(location: str, message: str) -> None:
    with pytest.raises(AssetError, match=message):
        resolve(f"package:{location}")
