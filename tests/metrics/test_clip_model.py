"""Where a CLIP model comes from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.tiny_clip import make_tiny_clip

from streamv2v_cli.errors import ModelError, ModelNotFoundError
from streamv2v_cli.metrics.clip import obtain_clip

pytestmark = pytest.mark.usefixtures("refused_network")


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = make_tiny_clip(tmp_path / "clip")
    assert obtain_clip(str(folder)) == folder


def test_one_in_the_cache_needs_no_network(tmp_path: Path, cache_on_hub: Callable[[str, Path], Path]) -> None:
    snapshot = cache_on_hub("someone/clip", make_tiny_clip(tmp_path / "clip"))
    assert obtain_clip("someone/clip").resolve() == snapshot.resolve()


def test_one_that_is_not_here_cannot_be_fetched_offline(cache_on_hub: Callable[[str, Path], Path]) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'someone/other' is not on this machine .* --clip DIR"):
        obtain_clip("someone/other")


def test_what_is_no_clip_model_is_an_error(tmp_path: Path) -> None:
    folder = make_tiny_clip(tmp_path / "clip")
    with pytest.raises(ModelError, match="is a file"):
        obtain_clip(str(folder / "config.json"))
    with pytest.raises(ModelNotFoundError, match="does not exist"):
        obtain_clip(str(tmp_path / "nowhere"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "siglip"}))
    with pytest.raises(ModelError, match=r"not a CLIP model: its config\.json says 'siglip'"):
        obtain_clip(str(folder))
    (folder / "config.json").write_text("[")
    with pytest.raises(ModelError, match="cannot be read"):
        obtain_clip(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"has no config\.json"):
        obtain_clip(str(folder))
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").touch()
    with pytest.raises(ModelError, match="no safetensors weights"):
        obtain_clip(str(folder))
