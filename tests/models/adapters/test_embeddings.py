"""Textual inversions of every form against diffusers' own pipelines, and what cannot be one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.embedding_files import of_web_ui, save_embedding, vectors
from helpers.tiny import make_tiny_pipeline, tiny_pipeline
from helpers.tiny_xl import make_tiny_xl_pipeline, tiny_xl_pipeline

from streamv2v_cli.diffusion.prompts import PromptEncoder
from streamv2v_cli.errors import ConfigError, ModelError, ModelNotFoundError
from streamv2v_cli.models.adapters.embeddings import unused_embedding_notes, with_all_vectors
from streamv2v_cli.models.load import load_model
from streamv2v_cli.models.locate import describe_model
from streamv2v_cli.settings.schema import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pipeline(tmp_path_factory.mktemp("tiny") / "sd")


@pytest.fixture(scope="module")
def xl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_xl_pipeline(tmp_path_factory.mktemp("tiny") / "xl")


def settings(folder: Path, *embeddings: Any, pickle: bool = True) -> Settings:
    weights = {"vae": "own", "lcm_lora": "none", "allow_pickle": pickle, "embeddings": embeddings}
    compute = {"device": "cpu", "dtype": "float32"}
    return Settings.model_validate({"model": str(folder), "weights": weights, "compute": compute})


def embedded(model: Any, prompt: str) -> Any:
    return PromptEncoder(model, "never").encode(prompt, "").embedding


PROMPT = "a photo of <style>, pixel art"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("name", "content", "token"),
    [
        ("any.safetensors", lambda x: {"<style>": x}, None),
        ("learned_embeds.bin", lambda x: {"<style>": x if len(x) > 1 else x[0]}, None),
        ("<style>.pt", of_web_ui, None),
        ("<style>.safetensors", lambda x: {"emb_params": x}, None),
        ("other.pt", of_web_ui, "<style>"),
    ],
)
def test_equal_to_diffusers(
    folder: Path, tmp_path: Path, name: str, content: Any, token: str | None, count: int
) -> None:
    file = save_embedding(tmp_path / name, content(vectors(count)))
    model = load_model(settings(folder, f"{file}:{token}" if token else str(file)))
    assert f"embedding {file}: '<style>', {count} vector{'s' * (count > 1)}" in model.notes
    pipeline = tiny_pipeline()
    pipeline.load_textual_inversion(vectors(count), token="<style>")
    wanted, _ = pipeline.encode_prompt(PROMPT, "cpu", 1, False)
    torch.testing.assert_close(embedded(model, PROMPT).hidden, wanted[0])
    plain = load_model(settings(folder))
    assert not torch.equal(embedded(plain, PROMPT).hidden, wanted[0])
    assert torch.equal(embedded(plain, "a cat").hidden, embedded(model, "a cat").hidden)


def test_sdxl_is_equal_to_diffusers(xl_folder: Path, tmp_path: Path) -> None:
    both = {"clip_l": vectors(2, 1), "clip_g": vectors(2, 2)}
    model = load_model(settings(xl_folder, str(save_embedding(tmp_path / "style.safetensors", both))))
    pipeline = tiny_xl_pipeline()
    for part, suffix in (("clip_l", ""), ("clip_g", "_2")):
        parts = {name: getattr(pipeline, name + suffix) for name in ("tokenizer", "text_encoder")}
        pipeline.load_textual_inversion(both[part], token="style", **parts)
    wanted, _, pooled, _ = pipeline.encode_prompt("pixel art, style", device="cpu", num_images_per_prompt=1)
    got = embedded(model, "pixel art, style")
    torch.testing.assert_close(got.hidden, wanted[0])
    torch.testing.assert_close(got.pooled, pooled[0])


def test_the_end_of_the_text_is_found_by_old_configurations(xl_folder: Path, tmp_path: Path) -> None:
    """They let transformers take the largest token for it, which a new word would be."""
    old = shutil.copytree(xl_folder, tmp_path / "old")
    for part in ("text_encoder", "text_encoder_2"):
        config = json.loads((old / part / "config.json").read_text())
        (old / part / "config.json").write_text(json.dumps({**config, "eos_token_id": 2}))
    both = {"clip_l": vectors(1, 1), "clip_g": vectors(1, 2)}
    file = save_embedding(tmp_path / "mood.safetensors", both)
    found = [embedded(load_model(settings(x, str(file))), "mood, a cat").pooled for x in (old, xl_folder)]
    assert torch.equal(*found)


def test_capitals_do_not_matter(folder: Path, tmp_path: Path) -> None:
    file = save_embedding(tmp_path / "EasyNegative.pt", of_web_ui(vectors(3)))
    model = load_model(settings(folder, str(file)))
    assert with_all_vectors("EASYNegative, a Cat", model.tokenizer).endswith("easynegative_2, a Cat")
    written = [embedded(model, f"a cat, {word}").hidden for word in ("EasyNegative", "easynegative")]
    assert torch.equal(*written)
    one = load_model(settings(folder, str(save_embedding(file, of_web_ui(vectors(3)[:1])))))
    assert not torch.equal(written[0], embedded(one, "a cat, EasyNegative").hidden)


def test_words_that_begin_alike(folder: Path, tmp_path: Path) -> None:
    files = [
        save_embedding(tmp_path / f"{name}.pt", of_web_ui(vectors(2, seed)))
        for seed, name in enumerate(("mood", "mood-ring"))
    ]
    model = load_model(settings(folder, *map(str, files)))
    assert with_all_vectors("mood-ring, mood", model.tokenizer) == "mood-ring mood-ring_1, mood mood_1"
    tokens = model.tokenizer.tokenize(with_all_vectors("mood-ring, mood", model.tokenizer))
    assert tokens == ["mood-ring", "mood-ring_1", ",</w>", "mood", "mood_1"]


def test_with_weights(folder: Path, tmp_path: Path) -> None:
    file = save_embedding(tmp_path / "mood.pt", of_web_ui(vectors(2)))
    model = load_model(settings(folder, str(file)))
    plain, empty, heavy = (
        embedded(model, prompt).hidden for prompt in ("a mood cat", "", "a (mood:1.5) cat")
    )
    wanted = plain.clone()
    wanted[2:4] = empty[2:4] + 1.5 * (plain - empty)[2:4]  # after the beginning and `a`
    torch.testing.assert_close(heavy, wanted)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("wide.pt", of_web_ui(vectors(1, width=24)), "another family.*have 24 numbers, .* words 16"),
        ("xl.safetensors", {"clip_l": vectors(), "clip_g": vectors()}, "another family.*16 and 16 .* 16"),
        ("lora.safetensors", {"a.lora_up": vectors()}, "holds a LoRA, not an embedding"),
        ("lora.pt", {"a.lora_up": vectors()}, "holds a LoRA, not an embedding"),
        (
            "two.safetensors",
            {"a": vectors(), "b": vectors(1, 1)},
            "not a textual inversion: it holds 2 .* as a",
        ),
        ("empty.safetensors", {}, "not a textual inversion: it holds 0"),
        ("cube.safetensors", {"emb_params": torch.zeros(1, 2, 16)}, "not a textual inversion"),
        (
            "whole.safetensors",
            {"emb_params": torch.zeros(1, 16, dtype=torch.int64)},
            "not a textual inversion",
        ),
        ("nan.safetensors", {"emb_params": vectors() * torch.nan}, "embedding .* is damaged.*NaN"),
        ("code.pt", {"string_to_param": os.getcwd}, "holds more than tensors"),
        ("other.txt", {"emb_params": vectors()}, "not a weights file"),
    ],
)
def test_what_does_not_fit_is_named(
    folder: Path, tmp_path: Path, name: str, content: Any, message: str
) -> None:
    file = save_embedding(tmp_path / name, content)
    with pytest.raises(ModelError, match=message):
        load_model(settings(folder, str(file)))


def test_of_sd_for_sdxl(xl_folder: Path, tmp_path: Path) -> None:
    file = save_embedding(tmp_path / "mood.pt", of_web_ui(vectors()))
    with pytest.raises(ModelError, match=r"another family.* have 16 numbers, .* words 16 and 16"):
        load_model(settings(xl_folder, str(file)))
    both = {"clip_l": vectors(1), "clip_g": vectors(2)}
    with pytest.raises(ModelError, match="more vectors for one text encoder"):
        load_model(settings(xl_folder, str(save_embedding(tmp_path / "a.safetensors", both))))


def test_pickled_files_need_trust(folder: Path, tmp_path: Path) -> None:
    for name in ("mood.pt", "learned.bin"):
        file = save_embedding(tmp_path / name, of_web_ui(vectors()))
        with pytest.raises(ModelError, match="pickled"):
            load_model(settings(folder, str(file), pickle=False))
        (part,) = [x for x in describe_model(settings(folder, str(file), pickle=False)).parts if x.missing]
        assert (part.role, "pickled" in part.remark) == ("embedding", True)
        assert describe_model(settings(folder, str(file))).complete


def test_words_that_are_there_already(folder: Path, tmp_path: Path) -> None:
    file = save_embedding(tmp_path / "x.safetensors", {"emb_params": vectors()})
    with pytest.raises(ConfigError, match="has the word 'x' already"):
        load_model(settings(folder, str(file)))
    with pytest.raises(ConfigError, match="has the word 'mood' already"):
        load_model(settings(folder, f"{file}:mood", f"{file}:Mood"))
    several = save_embedding(tmp_path / "y.safetensors", {"emb_params": vectors(2)})
    with pytest.raises(ConfigError, match="has the word 'mood_1' already"):
        load_model(settings(folder, f"{file}:mood_1", f"{several}:mood"))


def test_a_file_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    chosen = settings(folder, str(tmp_path / "gone.pt"))
    with pytest.raises(ModelNotFoundError, match=r"gone\.pt' does not exist"):
        load_model(chosen)
    assert not describe_model(chosen).complete


@pytest.mark.parametrize(
    ("written", "source", "token"),
    [
        ("mood.pt", "mood.pt", None),
        ("mood.pt:style", "mood.pt", "style"),
        ("mood.pt:", "mood.pt", None),
        (r"C:\words\mood.pt", r"C:\words\mood.pt", None),
        (r"C:\words\mood.pt:style", r"C:\words\mood.pt", "style"),
        ("a:b/mood.pt", "a:b/mood.pt", None),
        ({"source": "mood.pt", "token": "<a:b>"}, "mood.pt", "<a:b>"),
    ],
)
def test_how_it_is_written(folder: Path, written: Any, source: str, token: str | None) -> None:
    (embedding,) = settings(folder, written).weights.embeddings
    assert (embedding.source, embedding.token) == (source, token)


def test_words_that_no_prompt_has(folder: Path, tmp_path: Path) -> None:
    files = [
        save_embedding(tmp_path / "Mood.pt", of_web_ui(vectors())),
        save_embedding(tmp_path / "b.safetensors", {"<ring>": vectors()}),
        save_embedding(tmp_path / "c.bin", {"<lamp>": vectors()}),
        tmp_path / "gone.pt",
    ]
    chosen = settings(folder, *map(str, files))
    assert unused_embedding_notes(chosen, ["a (mood:1.2)", "[<ring>]"]) == [
        f"The embedding {files[2]} has no effect: no prompt has the word '<lamp>'."
    ]
    notes = unused_embedding_notes(settings(folder, f"{files[0]}:ring"), ["mood"])
    assert [note.split("has the word ")[1] for note in notes] == ["'ring'."]
