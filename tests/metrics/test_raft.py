"""RAFT as torchvision's documentation wants it to be called, with a stand-in whose flow can be written down."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from helpers.tiny_raft import (
    FlowByHand,
    TinyRaft,
    forget_torchvision,
    hide_torchvision,
    install_tiny_raft,
    save_tiny_raft,
)
from huggingface_hub import constants
from safetensors.torch import save_file

from streamv2v_cli.errors import DeviceError, ModelError, ModelNotFoundError, StreamV2VError
from streamv2v_cli.metrics.raft import RaftFlow

GAIN = (3.0, -2.0)


def pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(height)
    return tuple(rng.integers(0, 256, (2, height, width, 3), np.uint8))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> type[TinyRaft]:
    return install_tiny_raft(monkeypatch)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    return str(save_tiny_raft(tmp_path / "weights.pth", *GAIN))


@pytest.mark.parametrize(
    ("size", "padded"),
    [((136, 160), (136, 160)), ((133, 161), (136, 168)), ((60, 250), (128, 256)), ((1, 1), (128, 128))],
)
def test_the_flow_is_the_last_prediction_on_normalised_padded_pictures(
    model: type[TinyRaft], weights: str, size: tuple[int, int], padded: tuple[int, int]
) -> None:
    a, b = pair(*size)
    flow = RaftFlow(weights)(a, b)
    assert (flow.shape, flow.dtype) == ((*size, 2), np.float32)
    assert flow.flags.c_contiguous
    np.testing.assert_allclose(flow, FlowByHand(*GAIN)(a, b), atol=1e-5)
    (call,) = model.calls
    assert (call["training"], call["inference"]) == (False, True)
    added = [big - small for big, small in zip(padded, size, strict=True)]
    margins = [(number // 2, number - number // 2) for number in added]
    for given, picture in zip(call["pictures"], (a, b), strict=True):
        whole = np.pad(picture, [*margins, (0, 0)], mode="edge").transpose(2, 0, 1)
        np.testing.assert_allclose(given[0].numpy(), (whole / 255 - 0.5) / 0.5, atol=1e-6)


def test_lack_of_memory_for_a_pair_is_told(
    model: type[TinyRaft], weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = RaftFlow(weights)

    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(flow, "_model", fails)
    with pytest.raises(DeviceError, match="too little memory to run RAFT"):
        flow(*pair(64, 64))


def test_both_kinds_of_files_hold_the_same(model: type[TinyRaft], weights: str, tmp_path: Path) -> None:
    save_file({"gain": torch.tensor(GAIN)}, tmp_path / "weights.safetensors")
    flow = RaftFlow(str(tmp_path / "weights.safetensors"))
    assert np.array_equal(flow(*pair(8, 9)), RaftFlow(weights)(*pair(8, 9)))
    assert flow.weights == str(tmp_path / "weights.safetensors")


def test_model_and_pictures_are_where_they_should_be(model: type[TinyRaft], weights: str) -> None:
    with pytest.raises(NotImplementedError, match="meta"):  # where nothing has values that could come back
        RaftFlow(weights, "meta")(*pair(8, 8))
    assert [picture.device.type for picture in model.calls[0]["pictures"]] == ["meta", "meta"]


@pytest.mark.needs_cuda
def test_the_flow_is_the_same_on_a_gpu(model: type[TinyRaft], weights: str) -> None:
    assert np.allclose(
        RaftFlow(weights, torch.device("cuda"))(*pair(9, 8)), RaftFlow(weights)(*pair(9, 8)), atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("shape.pth", {"gain": torch.zeros(3)}, "RAFT-large: 1 of its tensors .* such as gain"),
        ("less.pth", {}, "RAFT-large: 1 of its tensors .* such as gain"),
        ("more.pth", {"gain": torch.zeros(2), "bias": torch.zeros(2)}, "RAFT-large: 1 of .* such as bias"),
        ("code.pth", {"gain": os.path.join}, "holds more than tensors"),
        ("none.pth", [1, 2], "holds no table of tensors"),
        ("weights.onnx", {}, "are not a weights file"),
    ],
)
def test_files_that_do_not_hold_the_weights(
    model: type[TinyRaft], tmp_path: Path, name: str, content: object, message: str
) -> None:
    torch.save(content, tmp_path / name)
    with pytest.raises(ModelError, match=message):
        RaftFlow(str(tmp_path / name))


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_damaged_file(model: type[TinyRaft], weights: str, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(Path(weights).read_bytes()[:700])
    with pytest.raises(ModelError, match="is damaged"):
        RaftFlow(str(tmp_path / name))


def test_no_file(model: type[TinyRaft], tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'no\.pth' do not exist\. .*--flow-weights"):
        RaftFlow("no.pth")
    with pytest.raises(ModelError, match="are a folder"):
        RaftFlow(str(tmp_path))


def test_without_torchvision(monkeypatch: pytest.MonkeyPatch, weights: str) -> None:
    hide_torchvision(monkeypatch)
    for given in (weights, None):
        with pytest.raises(StreamV2VError, match=r"not installed\. .*'streamv2v\[raft\]', or use --flow dis"):
            RaftFlow(given)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "raise RuntimeError('operator torchvision::nms does not exist\\nand more')",
            "operator torchvision::nms does not exist",
        ),
        ("raise OSError('libcudart.so.13: cannot open')", r"libcudart\.so\.13: cannot open"),
        ("import a_module_that_is_not_there", "No module named 'a_module_that_is_not_there'"),
        ("raise AttributeError('partially initialized module')", "partially initialized module"),
        ("import warnings; warnings.warn('no images')", r"No module named 'torchvision\.models'"),
    ],
)
def test_a_torchvision_that_does_not_fit(
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
    tmp_path: Path,
    weights: str,
    code: str,
    reason: str,
) -> None:
    forget_torchvision(monkeypatch)
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        StreamV2VError, match=rf"beside PyTorch {torch.__version__.replace('+', '.')}: {reason}\. Install"
    ):
        RaftFlow(weights)
    assert not recwarn.list


class Server:
    """Serves a folder on this machine and remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, []

        class Handler(SimpleHTTPRequestHandler):
            def log_message(handler, *arguments: object) -> None:  # noqa: N805
                self.asked.append(handler.path)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def publish(self, *gain: float, damaged: bool = False) -> str:
        """Put weights there under a name with their hash; the address."""
        path = save_tiny_raft(self.folder / "weights.pth", *gain)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path = path.rename(self.folder / f"raft_tiny_C-{digest[:8]}.pth")
        if damaged:
            path.write_bytes(path.read_bytes()[:-1])
        return f"{self.url}/{path.name}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    (tmp_path / "server").mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server(tmp_path / "server")
    yield server
    server.close()


@pytest.mark.timing
def test_published_weights_are_fetched_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], server: Server, tmp_path: Path
) -> None:
    url = server.publish(*GAIN)
    install_tiny_raft(monkeypatch, url)
    told: list[str] = []
    first = RaftFlow(tell=told.append)
    name = url.rpartition("/")[2]
    assert told == [f"fetching {name}, the weights of RAFT, from {urlsplit(url).hostname}"]
    assert [file.name for file in (tmp_path / "torch" / "hub" / "checkpoints").iterdir()] == [name]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    second = RaftFlow(tell=told.append)
    assert (len(told), len(server.asked)) == (1, 1)
    assert first.weights == second.weights == name
    for flow in (first, second):
        np.testing.assert_allclose(flow(*pair(8, 8)), FlowByHand(*GAIN)(*pair(8, 8)), atol=1e-5)
    assert capfd.readouterr().out == ""


@pytest.mark.timing
def test_published_weights_that_came_damaged_are_not_kept(
    monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path
) -> None:
    install_tiny_raft(monkeypatch, server.publish(*GAIN, damaged=True))
    with pytest.raises(ModelError, match="are damaged: invalid hash value"):
        RaftFlow()
    assert not list((tmp_path / "torch" / "hub" / "checkpoints").iterdir())


def test_published_weights_that_find_no_room(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    install_tiny_raft(monkeypatch, server.publish(*GAIN))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(ModelError, match=r"weights of RAFT cannot be kept in .*: no space left.*TORCH_HOME"):
        RaftFlow()


@pytest.mark.timing
def test_published_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    remedy = r"Download http://\S+\.pth where there is a network and give it with --flow-weights"
    install_tiny_raft(monkeypatch, f"{server.url}/raft-00000000.pth")
    with pytest.raises(ModelNotFoundError, match=f"cannot be fetched: HTTP Error 404: .*{remedy}"):
        RaftFlow()
    install_tiny_raft(monkeypatch, "http://192.0.2.1/raft-00000000.pth")
    with pytest.raises(ModelNotFoundError, match=f"cannot be fetched: .*may not reach the network.*{remedy}"):
        RaftFlow()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFoundError, match=f"HF_HUB_OFFLINE forbids fetching them.*{remedy}"):
        RaftFlow()
    assert len(server.asked) == 2  # the server logs an error and the request
