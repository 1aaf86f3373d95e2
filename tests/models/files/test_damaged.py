"""Models of strangers: whatever is wrong with them is one sentence, in little time and memory."""

from __future__ import annotations

import json
import os
import pickle
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny import make_tiny_pipeline
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models import describe_model, load_model
from streamv2v_cli.models.loras.file import read_lora
from streamv2v_cli.models.styles import read_styles
from streamv2v_cli.settings.schema import Settings

UNET, VAE, TEXT = "unet/config.json", "vae/config.json", "text_encoder/config.json"
SCHEDULER, TOKENIZER = "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with nothing wrong, which no test changes."""
    folder = tmp_path_factory.mktemp("sound") / "model"
    make_tiny_pipeline(folder)
    return folder


@pytest.fixture
def model(sound: Path, tmp_path: Path) -> Path:
    """One that a test may damage: its files are links, which `changed` replaces."""
    for file in sound.rglob("*"):
        if file.is_file():
            place = tmp_path / "model" / file.relative_to(sound)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(file)
    return tmp_path / "model"


def changed(file: Path, **changes: Any) -> None:
    content = {**json.loads(file.read_text()), **changes}
    file.unlink()
    file.write_text(json.dumps(content))


def load(folder: Path, **weights: Any) -> None:
    load_model(
        Settings(
            model=str(folder),
            weights={"lcm_lora": "none", **weights},
            compute={"device": "cpu", "dtype": "float32"},
        )
    )


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        (TEXT, {"num_hidden_layers": 10**6}, "does not match its weights: its config says num_hidden_layers"),
        (UNET, {"layers_per_block": 10**7}, "does not match its weights: its config says layers_per_block"),
        (UNET, {"block_out_channels": [2**30] * 4}, "does not match its weights"),
        (UNET, {"block_out_channels": [4096] * 4}, "does not match its weights: its config asks for"),
        (UNET, {"down_block_types": ["DownBlock2D"] * 10**5}, "does not match its weights"),
        (UNET, {"transformer_layers_per_block": [[10**6]]}, "does not match its weights"),
        (VAE, {"num_decoder_blocks": [10**7] * 4}, "does not match its weights"),
        (SCHEDULER, {"num_train_timesteps": 10**9}, "has 1000000000 timesteps"),
        (SCHEDULER, {"num_train_timesteps": "many"}, "has 'many' timesteps"),
        (SCHEDULER, {"beta_schedule": ["x"]}, "is damaged"),
        (SCHEDULER, {"_class_name": 3}, "is damaged"),
        (UNET, {"cross_attention_dim": "wide"}, "is damaged"),
        (UNET, {"block_out_channels": "wide"}, "is damaged"),
        (UNET, {"freq_shift": "much"}, "is damaged"),
        (UNET, {"in_channels": None}, "is damaged"),
        (VAE, {"block_out_channels": None}, None),
        (VAE, {"scaling_factor": [1]}, "is damaged"),
        (TEXT, {"hidden_act": "nonsense"}, "is damaged|cannot be loaded"),
        (TEXT, {"vocab_size": "many"}, "is damaged|cannot be loaded"),
        (TEXT, {"hidden_size": []}, None),
        (TOKENIZER, {"model_max_length": "long"}, "is damaged|cannot be loaded"),
    ],
)
def test_configurations_that_ask_for_too_much_or_nonsense(
    file: str, changes: dict[str, Any], words: str | None, model: Path
) -> None:
    changed(model / file, **changes)
    with pytest.raises(ModelError, match=words):
        load(model)


_PLAIN = st.none() | st.booleans() | st.integers(-3, 10**9) | st.floats() | st.text(max_size=5)
_VALUES = _PLAIN | st.lists(_PLAIN, max_size=4) | st.dictionaries(st.text(max_size=3), _PLAIN, max_size=2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_configuration_says(data: st.DataObject, sound: Path, model: Path) -> None:
    """Loading ends well, or with a sentence."""
    name = data.draw(st.sampled_from([UNET, VAE, TEXT, SCHEDULER, "model_index.json"]))
    content = json.loads((sound / name).read_text())
    key = data.draw(st.sampled_from(sorted(content)))
    content[key] = data.draw(_VALUES)
    (model / name).unlink()
    (model / name).write_text(json.dumps(content))
    try:
        with suppress(ModelError):
            load(model)
    finally:
        (model / name).unlink()
        (model / name).symlink_to(sound / name)


@pytest.mark.parametrize("deep", [UNET, SCHEDULER, "model_index.json"])
def test_what_is_nested_too_deeply(deep: str, model: Path) -> None:
    (model / deep).unlink()
    (model / deep).write_text("[" * 10**5)
    with pytest.raises(ModelError, match="nested too deeply"):
        load(model)
    plan = describe_model(Settings(model=str(model)))
    assert "nested too deeply" in plan.parts[0].remark


def test_a_pipe_in_the_place_of_a_configuration_is_not_waited_for(model: Path) -> None:
    (model / UNET).unlink()
    os.mkfifo(model / UNET)
    with pytest.raises(ModelError, match="not a regular file"):
        load(model)


@pytest.mark.parametrize(
    "part", ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"]
)
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers(part: str, value: float, model: Path) -> None:
    """They would give a black video and exit code 0."""
    file = model / f"{part}.safetensors"
    tensors = load_file(file)
    name = max(tensors)
    tensors[name].view(-1)[0] = value
    file.unlink()
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(
        ModelError, match=rf"is damaged: its weight .*{name.rpartition('.')[2]} is not a number"
    ) as error:
        load(model)
    assert part.partition("/")[0] in error.value.message


def test_large_weights_whose_sum_is_infinite_are_numbers(tmp_path: Path) -> None:
    lora = save_lora(tmp_path, up=torch.full((16, 4), 3e38))
    assert len(read_lora(lora).updates) == 1


def test_a_model_that_gives_no_numbers(model: Path) -> None:
    """Each weight is one, and their products are too large for the format."""
    file = model / "unet/diffusion_pytorch_model.safetensors"
    tensors = {name: tensor * 1e30 for name, tensor in load_file(file).items()}
    file.unlink()
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ModelError, match=r"The UNet of the model .* gives no numbers \(NaN\) in float32"):
        load(model)


LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def save_lora(folder: Path, metadata: dict[str, Any] | None = None, **changes: torch.Tensor) -> Path:
    tensors = {"down": torch.zeros(4, 32), "up": torch.zeros(32, 4), **changes}
    names = {"down": f"{LAYER}.lora_A.weight", "up": f"{LAYER}.lora_B.weight", "alpha": f"{LAYER}.alpha"}
    header = None if metadata is None else {"lora_adapter_metadata": json.dumps(metadata)}
    save_file({names[key]: tensor for key, tensor in tensors.items()}, folder / "lora.safetensors", header)
    return folder / "lora.safetensors"


@pytest.mark.parametrize(
    ("metadata", "changes"),
    [
        ({}, {"down": torch.zeros(0, 32), "up": torch.zeros(32, 0)}),
        ({}, {"alpha": torch.zeros(3)}),
        ({}, {"alpha": torch.tensor(float("nan"))}),
        ({}, {"down": torch.full((4, 32), float("nan"))}),
        ({}, {"down": torch.zeros(32)}),
        ({"unet.lora_alpha": [1]}, {}),
        ({"unet.lora_alpha": "x"}, {}),
        ({"unet.alpha_pattern": ["a"]}, {}),
        ({"unet.alpha_pattern": {LAYER[5:]: []}}, {}),
        ({"unet.alpha_pattern": {"(a|a?)+$": 1}}, {}),
        ({"unet.alpha_pattern": {"(": 1}}, {}),
    ],
)
def test_loras_that_make_no_sense(
    metadata: Any, changes: dict[str, torch.Tensor], tmp_path: Path, model: Path
) -> None:
    lora = save_lora(tmp_path, metadata, **changes)
    with pytest.raises(ModelError, match=r"lora\.safetensors"):
        load(model, loras=[{"source": str(lora)}])


def test_an_alpha_pattern_keeps_no_processor_busy(tmp_path: Path) -> None:
    """As a regular expression this one takes longer than the universe is old."""
    lora = save_lora(tmp_path, {"unet.alpha_pattern": {r"(\w+\.?)+!": 1}})
    with pytest.raises(ValueError, match="regular expression"):
        read_lora(lora)


def test_an_alpha_pattern_names_a_layer(tmp_path: Path) -> None:
    name = LAYER.removeprefix("unet.")
    for pattern, scale in (
        ({"to_q": 8}, 2),
        ({f"^{name}$": 8}, 2),
        ({name.replace(".", r"\."): 8}, 2),
        ({"^to_q": 8}, 1),
    ):
        lora = save_lora(tmp_path, {"unet.lora_alpha": 4, "unet.alpha_pattern": pattern})
        assert read_lora(lora).updates[0].scale == scale, pattern


def raw(folder: Path, header: bytes) -> Path:
    (folder / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return folder / "x.safetensors"


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 10**5,
        b"{}",
        b"[]",
        b'{"a": []}',
        b'{"a": {"shape": []}}',
        b'{"a": {"shape": ["x"]}}',
        b'{"a": {"shape": 3}}',
        b'{"model.diffusion_model.input_blocks.0.0.weight": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}',
        b'{"__metadata__": 3}',
        b'{"a": {"shape": [1], "dtype": "F32", "data_offsets": [0, 99999999999]}}',
    ],
)
def test_damaged_headers(header: bytes, tmp_path: Path, model: Path) -> None:
    file = raw(tmp_path, header)
    for attempt in (
        lambda: load(file),
        lambda: load(model, loras=[{"source": str(file)}]),
        lambda: load(model, vae=str(file)),
    ):
        with pytest.raises(ModelError, match=r"x\.safetensors"):
            attempt()
    describe_model(Settings(model=str(file)))


def test_damaged_pickles(tmp_path: Path) -> None:
    """Even where they are allowed: each is one sentence, and one that holds itself ends."""
    file = tmp_path / "lora.ckpt"
    torch.save({"a": torch.zeros(3)}, file)
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        file.write_bytes(damaged)
        with pytest.raises(ModelError):
            read_lora(file, allow_pickle=True)
    loop: dict[str, Any] = {}
    loop["state_dict"] = loop
    for content in (loop, {3: torch.zeros(1)}, [1], b"x"):
        torch.save(content, file)
        with pytest.raises(ModelError):
            read_lora(file, allow_pickle=True)
    file.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelError):
        read_lora(file, allow_pickle=True)


@pytest.mark.parametrize(
    "text", ["styles: 3", "[]", "styles: [[]]", "styles: {a: 1}", "[" * 10**5, "\x00", "a: \x1b"]
)
def test_damaged_lists_of_styles_and_recommendations(text: str, model: Path) -> None:
    (model / "styles.yaml").write_text(text)
    with pytest.raises(ModelError):
        read_styles(str(model))


def test_lack_of_memory_is_no_damage(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamv2v_cli.errors import DeviceError

    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("streamv2v_cli.models.load.fuse_loras", fails)
    with pytest.raises(DeviceError, match="too little memory"):
        load(model)
