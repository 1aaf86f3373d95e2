"""Fixtures that put tiny pipelines on disk and into the Hub's cache."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Tiny pipelines on disk, each made once; not to be changed by tests."""
    # Imported late: it needs torch, which most tests do not wait for.
    from helpers.tiny import make_tiny_pipeline

    made: dict[str, Path] = {}

    def make(**options: Any) -> Path:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = make_tiny_pipeline(tmp_path_factory.mktemp("pipeline"), **options)
        return made[key]

    return make


@pytest.fixture
def refused_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test here may reach the network or the user's own cache."""
    from huggingface_hub import constants

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def cache_on_hub(tmp_path: Path) -> Callable[[str, Path], Path]:
    """Put a folder into the Hub's cache, in the way that a download leaves it there."""

    def put(hub_id: str, folder: Path) -> Path:
        home = tmp_path / "hub" / f"models--{hub_id.replace('/', '--')}"
        snapshot = home / "snapshots" / ("0" * 40)
        shutil.copytree(folder, snapshot)
        (home / "refs").mkdir()
        (home / "refs" / "main").write_text("0" * 40)
        return snapshot

    return put
