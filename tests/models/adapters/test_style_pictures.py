"""Style pictures and IP-Adapters as files: what is read, and what is refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import tiny_unet
from helpers.tiny_adapter import make_tiny_adapter, make_tiny_encoder
from helpers.tiny_xl import XL_UNET, make_tiny_xl_pipeline
from PIL import Image
from safetensors.torch import load_file, save_file

from streamv2v_cli.errors import ModelError, ModelNotFoundError
from streamv2v_cli.models import describe_model, load_model
from streamv2v_cli.models.adapters.ip_adapter_files import choose_adapter_files, find_adapter_files
from streamv2v_cli.models.digest import model_digests
from streamv2v_cli.settings.schema import Settings

Folders = Callable[..., Path]
PIXELS = np.random.default_rng(4).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def with_style(settings: Any) -> Callable[..., Settings]:
    def make(model: Any, *images: Any, **style: Any) -> Settings:
        base = settings(model).model_dump()
        return Settings.model_validate({**base, "style": {"images": [str(x) for x in images], **style}})

    return make


@pytest.fixture
def png(tmp_path: Path) -> Path:
    Image.fromarray(PIXELS).save(tmp_path / "style.png")
    return tmp_path / "style.png"


def test_pictures_are_read_with_their_weights(
    tiny_folder: Folders, with_style: Any, png: Path, tmp_path: Path
) -> None:
    turned = Image.fromarray(PIXELS)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.webp", exif=exif, lossless=True)
    model = load_model(with_style(tiny_folder(), f"{png}:0.3", tmp_path / "turned.webp"))
    first, second = model.styles
    assert np.array_equal(first.pixels, PIXELS)
    assert second.pixels.shape == (30, 20, 3)
    assert (first.options.weight, second.options.weight) == (0.3, 1.0)
    assert model.adapter is None
    assert sum("reference-only" in note for note in model.notes) == 2


def test_files_that_are_no_pictures(tiny_folder: Folders, with_style: Any, tmp_path: Path) -> None:
    text, cut = tmp_path / "a.png", tmp_path / "b.jpg"
    text.write_text("no picture")
    Image.fromarray(PIXELS).save(cut)
    cut.write_bytes(cut.read_bytes()[:40])
    for path in (text, cut):
        with pytest.raises(ModelError, match=r"style picture .*cannot be read") as caught:
            load_model(with_style(tiny_folder(), path))
        assert "--style-image" in caught.value.remedy
    with pytest.raises(ModelNotFoundError, match=r"style picture .* does not exist"):
        load_model(with_style(tiny_folder(), tmp_path / "none.png"))
    part = describe_model(with_style(tiny_folder(), tmp_path / "none.png")).parts[-1]
    assert (part.role, part.missing) == ("style picture", True)


def test_another_picture_is_another_model(tiny_folder: Folders, with_style: Any, png: Path) -> None:
    """`--resume` and workers compare what a model is loaded from."""
    chosen = with_style(tiny_folder(), png)
    before = model_digests(chosen)
    Image.fromarray(255 - PIXELS).save(png)
    assert {key for key, value in model_digests(chosen).items() if before[key] != value} == {
        f"style picture {png}"
    }


def test_an_adapter_is_loaded_in_the_models_format(
    tiny_folder: Folders, with_style: Any, png: Path, tmp_path: Path
) -> None:
    file = make_tiny_adapter(tmp_path / "ip" / "adapter.safetensors", tiny_unet())
    chosen = with_style(tiny_folder(), png, f"{png}:0.5", adapter=str(file))
    parts = {part.role: part.path for part in describe_model(chosen).parts}
    assert (parts["IP-Adapter"], parts["image encoder"]) == (file, file.parent / "image_encoder")
    model = load_model(chosen)
    assert model.adapter is not None
    layers = {name for name, _ in model.unet.named_modules() if name.endswith("attn2")}
    assert model.adapter.keys() == layers
    for features in model.adapter.values():
        assert features.keys.shape[:2] == features.negative_values.shape[:2] == (2, 4)
        torch.testing.assert_close(
            features.keys[0], features.keys[1]
        )  # rows of one batch may round differently
        assert not features.keys.requires_grad
    # The UNet is as it was.
    assert model.unet.encoder_hid_proj is None
    assert not any("IPAdapter" in type(x).__name__ for x in model.unet.attn_processors.values())
    # Without a picture it is not even looked for.
    assert load_model(with_style(tiny_folder(), adapter="nobody/nothing")).adapter is None


def test_what_does_not_fit_is_refused(
    tiny_folder: Folders, with_style: Any, png: Path, tmp_path: Path
) -> None:
    def load(file: Path, model: Path | None = None, **style: Any) -> Any:
        return load_model(with_style(model or tiny_folder(), png, adapter=str(file), **style))

    xl = make_tiny_adapter(tmp_path / "xl" / "adapter.safetensors", tiny_unet(**XL_UNET))
    with pytest.raises(ModelError, match=r"another family.* prompts of width 32, the model .* 16") as caught:
        load(xl)
    assert "SD 1.x" in caught.value.remedy
    assert load(xl, make_tiny_xl_pipeline(tmp_path / "pipeline")).adapter is not None
    fitting = make_tiny_adapter(tmp_path / "sd" / "adapter.safetensors", tiny_unet())
    other = make_tiny_encoder(tmp_path / "other" / "vision", projection=10)
    with pytest.raises(ModelError, match=r"image encoder .* does not give the 12 channels"):
        load(fitting, encoder=str(other))
    own = shutil.move(fitting.parent / "image_encoder", tmp_path / "clip")
    with pytest.raises(ModelError, match="no image encoder beside"):
        load(fitting)
    assert load(fitting, encoder=str(own)).adapter is not None
    with pytest.raises(ModelError, match="not an IP-Adapter"):
        load(tiny_folder() / "unet" / "diffusion_pytorch_model.safetensors", encoder=str(own))
    (tmp_path / "adapter.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"no \.safetensors file"):
        load(tmp_path / "adapter.bin")


@pytest.mark.parametrize("damage", ["nan", "missing", "cut"])
def test_damaged_adapters(
    tiny_folder: Folders, with_style: Any, png: Path, tmp_path: Path, damage: str
) -> None:
    file = make_tiny_adapter(tmp_path / "ip" / "adapter.safetensors", tiny_unet())
    tensors = load_file(file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "nan":
        save_file({**tensors, "image_proj.norm.bias": tensors["image_proj.norm.bias"] * float("nan")}, file)
    else:
        save_file({name: x for name, x in tensors.items() if "norm" not in name}, file)
    with pytest.raises(ModelError, match="is damaged"):
        load_model(with_style(tiny_folder(), png, adapter=str(file)))


def test_adapters_of_faces_are_named(tmp_path: Path) -> None:
    file = tmp_path / "faceid.safetensors"
    save_file({f"image_proj.{name}": torch.zeros(4, 4) for name in ("proj.0.weight", "norm.weight")}, file)
    make_tiny_encoder(tmp_path / "image_encoder")
    with pytest.raises(ModelError, match="faces"):
        find_adapter_files(file, None, "SD 1.x")


def test_the_file_of_the_family_is_chosen(
    tiny_folder: Folders, with_style: Any, cache_on_hub: Any, png: Path, tmp_path: Path
) -> None:
    """In a repository that is laid out as h94/IP-Adapter: two image encoders, of which one belongs to the file."""
    folder, unet = tmp_path / "repository", tiny_unet()
    make_tiny_adapter(folder / "models" / "ip-adapter_sd15.safetensors", unet)
    make_tiny_adapter(folder / "models" / "ip-adapter-plus_sd15.safetensors", unet, kind="plus")
    xl = tiny_unet(**XL_UNET)
    make_tiny_adapter(folder / "sdxl_models" / "ip-adapter_sdxl_vit-h.safetensors", xl)
    shutil.rmtree(folder / "sdxl_models" / "image_encoder")
    make_tiny_encoder(folder / "sdxl_models" / "image_encoder", projection=10)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for family, file in {
        "SD 1.x": "models/ip-adapter_sd15.safetensors",
        "SDXL": "sdxl_models/ip-adapter_sdxl_vit-h.safetensors",
    }.items():
        encoder = "models/image_encoder"
        wanted = [file, f"{encoder}/config.json", f"{encoder}/model.safetensors"]
        assert choose_adapter_files(names, family, "h94/IP-Adapter") == wanted
        found = find_adapter_files(folder, None, family)
        assert (found.weights, found.encoder) == (folder / file, folder / encoder)
    with pytest.raises(ModelError, match="holds 3 IP-Adapters"):
        find_adapter_files(folder, None, "SD 2.x")
    chosen = with_style(tiny_folder(), png, adapter="h94/IP-Adapter")
    missing = describe_model(chosen).parts[-1]
    assert (missing.role, missing.path, missing.missing) == ("IP-Adapter", None, False)
    with pytest.raises(
        ModelNotFoundError, match="hf download h94/IP-Adapter --include models/ip-adapter_sd15"
    ):
        load_model(chosen)
    cache_on_hub("h94/IP-Adapter", folder)
    assert load_model(chosen).adapter is not None
