from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_byte_bpe, write_configuration, write_json

from llmrec.config import EncoderSettings
from llmrec.encode import load_encoder, load_tokenizer
from llmrec.encode.folder import ModelFolder, read_model_folder
from llmrec.encode.tokens import FolderTokenizer
from llmrec.errors import AssetError, ConfigError, UnsafeFileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_configuration(tmp_path / "model")
    return tmp_path / "model"


def change(path: Path, **values: Any) -> None:
    write_json(path, json.loads(path.read_text()) | values)


def read(folder: Path) -> ModelFolder:
    return read_model_folder(folder, "tiny")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(AssetError, match=f"model/{name}: not found"):
        read(folder)


@pytest.mark.parametrize("name", ["config.json", "modules.json", "sentence_bert_config.json"])
def test_a_malformed_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text('{"half": ')
    with pytest.raises(AssetError, match=f"model/{name}: cannot be read"):
        read(folder)


def test_a_malformed_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(AssetError, match=r"model/tokenizer.json: cannot be read"):
        load_tokenizer(f"file:{folder}", EncoderSettings())


def test_modules_of_other_kinds_are_refused(folder: Path) -> None:
    write_json(
        folder / "modules.json", [{"path": "", "type": "sentence_transformers.models.StaticEmbedding"}]
    )
    with pytest.raises(AssetError, match="StaticEmbedding is not supported"):
        read(folder)


def test_pickled_weights_are_refused_before_loading(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n.")
    with pytest.raises(UnsafeFileError, match=r"pytorch_model\.bin"):
        load_encoder(f"file:{folder}", EncoderSettings())


def test_something_else_is_not_an_encoder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a model")
    with pytest.raises(AssetError, match=r"notes\.txt: not an encoder"):
        load_encoder(f"file:{tmp_path / 'notes.txt'}", EncoderSettings())


def test_pooling_where_the_folder_does_not_say(folder: Path) -> None:
    assert read(folder).pooling == "mean"
    change(folder / "config.json", architectures=["LlamaForCausalLM"])
    assert read(folder).pooling == "lasttoken"


def test_length_is_what_the_model_was_trained_with(folder: Path) -> None:
    assert (read(folder).trained_tokens, read(folder).position_tokens) == (64, 64)
    change(folder / "tokenizer_config.json", model_max_length=48)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 20})
    assert (read(folder).trained_tokens, read(folder).position_tokens) == (20, 48)
    assert FolderTokenizer(read(folder), None).max_tokens == 18
    assert FolderTokenizer(read(folder), 30).max_tokens == 28


def test_more_tokens_than_positions_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="max_tokens is 65, but tiny takes at most 64"):
        FolderTokenizer(read(folder), 65)


def test_a_prompt_that_leaves_no_room_is_refused(folder: Path) -> None:
    write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "a the of " * 5}})
    with pytest.raises(ConfigError, match="no room is left"):
        FolderTokenizer(read(folder), 10)


def test_prompts_go_before_their_kind(folder: Path) -> None:
    prompts = {"query": "love ", "passage": "war ", "clustering": "dog "}
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts})
    tokenizer = FolderTokenizer(read(folder), None)
    plain = {text: tokenizer.sequences([text], "none")[0].tolist() for text in ("love rain", "war rain")}
    assert tokenizer.sequences(["rain"], "query")[0].tolist() == plain["love rain"]
    assert tokenizer.sequences(["rain"], "user")[0].tolist() == plain["love rain"]
    assert tokenizer.sequences(["rain"], "item")[0].tolist() == plain["war rain"]
    assert tokenizer.max_tokens == 61


def test_prompts_outside_the_pooling_are_refused(folder: Path) -> None:
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    write_json(
        folder / "modules.json",
        [{"path": path, "type": f"sentence_transformers.models.{name}"} for path, name in modules],
    )
    write_json(folder / "1_Pooling" / "config.json", {"include_prompt": False})
    assert read(folder).prompts == {}
    write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "love "}})
    with pytest.raises(AssetError, match="pooling without the prompt"):
        read(folder)


def test_sequences_end_as_the_tokenizer_ends_them(folder: Path) -> None:
    tokenizer = FolderTokenizer(read(folder), 8)
    short, cut = tokenizer.sequences(["rain", "rain " * 100], "item")
    assert (len(short), short[0], short[-1]) == (3, 2, 3)
    assert len(cut) == 8
    assert (cut[0], cut[-1]) == (2, 3)


def test_a_text_without_tokens_is_the_blank_token(folder: Path) -> None:
    write_byte_bpe(folder)
    change(folder / "config.json", bos_token_id=5, eos_token_id=[6, 7])
    assert FolderTokenizer(read(folder), None).sequences([""], "item")[0].tolist() == [5]
    change(folder / "config.json", bos_token_id=None)
    assert FolderTokenizer(read(folder), None).sequences([""], "item")[0].tolist() == [6]


def test_lower_casing_is_the_models_setting(folder: Path) -> None:
    write_byte_bpe(folder)
    assert FolderTokenizer(read(folder), None).count_tokens(["FILM"]) == [4]
    write_json(folder / "sentence_bert_config.json", {"do_lower_case": True})
    lower = FolderTokenizer(read(folder), None)
    assert lower.count_tokens(["FILM"]) == lower.count_tokens(["film"])
