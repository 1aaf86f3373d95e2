from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from helpers.tiny import tiny_model
from huggingface_hub import constants

from streamv2v_cli.errors import ModelError, ModelNotFoundError
from streamv2v_cli.models import load_model
from streamv2v_cli.models.files.selection import choose_files
from streamv2v_cli.models.hub.fetch import fetch
from streamv2v_cli.models.hub.needs import part_need

Folders = Callable[..., Path]
SettingsOf = Callable[..., Any]


@pytest.mark.parametrize(
    "path",
    ["./model", "../model", "/nowhere/model", "~/nowhere", "a/b/c", "model.safetensors", "some/model.ckpt"],
)
def test_what_looks_like_a_path_is_never_asked_of_the_hub(
    settings: SettingsOf, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: pytest.fail("the Hub was asked"))
    with pytest.raises(ModelNotFoundError, match="does not exist") as caught:
        load_model(settings(path))
    assert path in caught.value.message
    assert "--model" in caught.value.remedy


def test_a_misspelt_name_gets_a_hint(settings: SettingsOf) -> None:
    with pytest.raises(ModelNotFoundError, match="known name") as caught:
        load_model(settings("sd51"))
    assert caught.value.remedy == "Did you mean 'sd15'?"


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.timing
def test_hub_that_cannot_be_reached(
    settings: SettingsOf, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    started = time.perf_counter()
    with pytest.raises(ModelNotFoundError) as caught:
        load_model(settings("nobody/nothing"))
    assert time.perf_counter() - started < 5
    assert "'nobody/nothing' is not on this machine" in caught.value.message
    assert ("HF_HUB_OFFLINE forbids" if offline else "cannot be reached") in caught.value.message
    assert "hf download nobody/nothing" in caught.value.remedy
    assert "vae/diffusion_pytorch_model.safetensors" in caught.value.remedy
    with pytest.raises(ModelNotFoundError) as other:
        load_model(settings("nobody/nothing", vae="auto"))
    assert "vae/diffusion_pytorch_model.safetensors" not in other.value.remedy
    assert "--model PATH" in caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("offline", [False, True])
def test_the_cache_is_used_without_the_network(
    tiny_folder: Folders, settings: SettingsOf, cache_on_hub: Any, monkeypatch: Any, offline: bool
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    cache_on_hub("someone/tiny", tiny_folder())
    model = load_model(settings("someone/tiny"))
    assert model.unet.conv_in.weight.equal(tiny_model().unet.conv_in.weight)


def test_named_models_come_from_their_hub_id(
    tiny_folder: Folders, settings: SettingsOf, cache_on_hub: Any
) -> None:
    cache_on_hub("stabilityai/sd-turbo", tiny_folder(scheduler="pndm"))
    model = load_model(settings("sd-turbo", lcm_lora="auto"))
    assert (model.name, model.kind) == ("sd-turbo", "turbo")


def test_half_downloaded_model_is_fetched(
    own_folder: Folders, settings: SettingsOf, cache_on_hub: Any
) -> None:
    folder = own_folder()
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    cache_on_hub("someone/tiny", folder)
    with pytest.raises(ModelNotFoundError, match="cannot be reached"):
        load_model(settings("someone/tiny"))


def fake_hub(monkeypatch: pytest.MonkeyPatch, names: list[str], folder: Path) -> list[list[str]]:
    """Stand in for the Hub: it has `names`, and a download gives `folder`. Returns what is asked for."""
    asked: list[list[str]] = []
    siblings = [SimpleNamespace(rfilename=name, size=1) for name in names]

    def download(_: str, *, allow_patterns: list[str] | None = None, **__: object) -> str:
        if allow_patterns is None:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not cached")
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr(
        huggingface_hub,
        "HfApi",
        lambda: SimpleNamespace(model_info=lambda *_, **__: SimpleNamespace(siblings=siblings, sha=None)),
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


SD15_FILES = [
    ".gitattributes", "README.md", "model_index.json", "v1-5-pruned.ckpt", "v1-5-pruned.safetensors",
    "feature_extractor/preprocessor_config.json", "safety_checker/model.safetensors",
    "scheduler/scheduler_config.json", "text_encoder/config.json", "text_encoder/model.fp16.safetensors",
    "text_encoder/model.safetensors", "text_encoder/pytorch_model.bin", "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json", "tokenizer/vocab.json",
    "unet/config.json", "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors", "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json", "vae/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.safetensors",
]  # fmt: skip


def test_only_what_is_needed_is_downloaded(
    tiny_folder: Folders, settings: SettingsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fake_hub(monkeypatch, SD15_FILES, tiny_folder())
    load_model(settings("stable-diffusion-v1-5/stable-diffusion-v1-5"))
    configs = {
        "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json",
        "tokenizer/merges.txt", "tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json", "unet/config.json", "vae/config.json",
    }  # fmt: skip
    assert set(asked[0]) == configs
    assert set(asked[1]) - configs == {
        "unet/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    }


def test_own_vae_is_not_downloaded_where_a_tiny_one_is_used() -> None:
    assert not [
        name for name in choose_files(SD15_FILES, ("unet", "text_encoder"), "x") if "vae/diffusion" in name
    ]


def test_shards_come_with_their_index() -> None:
    shards = [f"unet/diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    names = ["model_index.json", "unet/diffusion_pytorch_model.safetensors.index.json", *shards]
    assert set(choose_files(names, ("unet",), "x")) == set(names)


def test_repository_with_only_pickles_or_in_another_format(
    tiny_folder: Folders, settings: SettingsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_hub(
        monkeypatch,
        [name for name in SD15_FILES if not name.startswith("unet/") or name.endswith((".bin", ".json"))],
        tiny_folder(),
    )
    with pytest.raises(ModelError, match="only pickled weights"):
        load_model(settings("someone/old"))
    fake_hub(monkeypatch, ["model.safetensors", "README.md"], tiny_folder())
    with pytest.raises(ModelError, match="not in diffusers format") as caught:
        load_model(settings("someone/raw"))
    assert "--model PATH" in caught.value.remedy


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "RepoNotFound", "no public model of that name"),
        (403, "GatedRepo", "access to it is restricted"),
        (500, "", "reached"),
    ],
)
@pytest.mark.timing
def test_refusals_of_a_real_server(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, said: str
) -> None:
    """The answers of the Hub, over HTTP on this machine, in a process whose sockets are not refused."""
    server = (
        "import sys, threading, http.server as s\n"
        "class H(s.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        f"        self.send_response({status})\n"
        f"        self.send_header('X-Error-Code', {code!r})\n"
        "        self.end_headers()\n"
        "    do_HEAD = do_GET\n"
        "    def log_message(self, *a): pass\n"
        "h = s.HTTPServer(('127.0.0.1', 0), H)\n"
        "threading.Thread(target=h.serve_forever, daemon=True).start()\n"
        "import os; os.environ['HF_ENDPOINT'] = f'http://127.0.0.1:{h.server_port}'\n"
        "from streamv2v_cli.models.hub.fetch import fetch\n"
        "from streamv2v_cli.models.hub.needs import part_need\n"
        "from streamv2v_cli.errors import ModelNotFoundError\n"
        "try: fetch(part_need('some/model', 'VAE'))\n"
        "except ModelNotFoundError as error: print(error)\n"
    )
    environment = {
        k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and k != "HF_HUB_OFFLINE"
    }
    done = subprocess.run(
        [sys.executable, "-c", server],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert said in done.stdout
    assert "hf download some/model" in done.stdout
    assert "--vae PATH" in done.stdout
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "no space left on device"),
        (PermissionError(13, "Permission denied", "/cache/x"), "permission denied"),
        (
            RuntimeError("Data processing error: IO Error: No space left on device (os error 28)"),
            "no space left",
        ),
        (ConnectionRefusedError(111, "Connection refused"), None),
        (PermissionError(13, "Permission denied"), None),
    ],
    ids=str,
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_cannot_be_kept_is_no_question_of_the_network(
    error: Exception, reason: str | None, wrapped: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_hub(monkeypatch, ["config.json", "diffusion_pytorch_model.safetensors"], tmp_path)
    need = part_need("some/model", "VAE")

    def download(*_: object, **__: object) -> str:
        if wrapped:
            raise ValueError("the download failed") from error
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ModelError) as caught:
        fetch(need)
    if reason is None:
        assert "cannot be reached" in caught.value.message
    else:
        assert f"The VAE 'some/model' cannot be kept in '{constants.HF_HUB_CACHE}': {reason}" in str(
            caught.value
        )
        assert "HF_HOME" in caught.value.remedy
        assert not isinstance(caught.value, ModelNotFoundError)


def test_a_choice_that_fails_says_so_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_hub(monkeypatch, ["a"], tmp_path)

    def refuse(_: object) -> list[str]:
        raise ModelError("not this one")

    with pytest.raises(ModelError, match=re.escape("not this one")):
        fetch(replace(part_need("some/model", "VAE"), choose=refuse))


def test_pickled_files_are_chosen_where_they_are_allowed_and_there_are_no_others() -> None:
    old = [name for name in SD15_FILES if not name.endswith(".safetensors")]
    with pytest.raises(ModelError, match="--allow-pickle"):
        choose_files(old, ("unet",), "x")
    chosen = choose_files(old, ("unet", "text_encoder", "vae"), "x", allow_pickle=True)
    assert {name for name in chosen if name.endswith(".bin")} == {
        "unet/diffusion_pytorch_model.bin",
        "text_encoder/pytorch_model.bin",
        "vae/diffusion_pytorch_model.bin",
    }
    both = choose_files(SD15_FILES, ("unet",), "x", allow_pickle=True)
    assert "unet/diffusion_pytorch_model.bin" not in both
