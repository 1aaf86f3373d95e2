"""Targets of `tools.fuzz` for what strangers wrote: models, LoRAs, videos with settings, ledgers, URLs, names."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["SEEDS", "TARGETS"]

ROOT = Path(__file__).parents[1]
SECRET = "hUsh4b1dW0rd"


def fuzz_model(data: bytes) -> None:
    """A sound model of which one value in one configuration is another: file, key, and the value as JSON."""
    from streamv2v_cli.errors import StreamV2VError
    from streamv2v_cli.models import describe_model, load_model
    from streamv2v_cli.settings.schema import Settings

    folder = _sound_model()
    files = sorted(path for path in folder.rglob("*.json") if path.stat().st_size < 100_000)
    which, key = [*data[:2], 0, 0][:2]
    file = files[which % len(files)]
    whole = file.read_bytes()
    content = json.loads(whole)
    keys = sorted(content)
    content[keys[key % len(keys)] if keys else "a"] = _value(data[2:])
    settings = Settings.model_validate(
        {
            "model": str(folder),
            "weights": {"lcm_lora": "none"},
            "compute": {"device": "cpu", "dtype": "float32"},
        }
    )
    file.write_text(json.dumps(content), encoding="utf-8")
    try:
        with contextlib.suppress(StreamV2VError):
            describe_model(settings)
        with contextlib.suppress(StreamV2VError):
            load_model(settings)
    finally:
        file.write_bytes(whole)


def fuzz_lora(data: bytes) -> None:
    """A LoRA: the header of its file up to the first line end, which may be JSON, and the bytes of its weights."""
    from streamv2v_cli.errors import StreamV2VError
    from streamv2v_cli.models.loras.fuse import fuse_loras
    from streamv2v_cli.models.loras.fused import LoraRequest

    header, _, weights = data.partition(b"\n")
    path = Path(tempfile.gettempdir(), "streamv2v-fuzz.safetensors")
    path.write_bytes(len(header).to_bytes(8, "little") + header + weights)
    unet, text_encoder = _layers()
    modules = {"unet": unet, "text_encoder": text_encoder}
    with contextlib.suppress(StreamV2VError):
        fuse_loras(modules, [LoraRequest(str(path), path, 1.0)])


def fuzz_video(data: bytes) -> None:
    """The comment of a video from which settings are taken."""
    import av

    from streamv2v_cli.errors import StreamV2VError
    from streamv2v_cli.media.provenance import read_comment
    from streamv2v_cli.settings.harmless import is_harmless
    from streamv2v_cli.settings.resolve import resolve

    path = Path(tempfile.gettempdir(), "streamv2v-fuzz.mkv")
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width = stream.height = 16
        output.metadata["comment"] = data.decode(errors="replace").replace("\0", " ")
        output.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        output.mux(stream.encode(None))
    with contextlib.suppress(StreamV2VError):
        settings = resolve(configs=[str(path)], read_comment=read_comment).settings
        assert not settings.weights.allow_pickle
        assert settings.input.references == "none"
        assert all(is_harmless(settings.output.codec, pair) for pair in settings.output.encoder_opt)


def fuzz_batch(data: bytes) -> None:
    """A ledger up to the first NUL, and a manifest."""
    from streamv2v_cli.batch.items import tasks_of
    from streamv2v_cli.batch.ledger import Ledger
    from streamv2v_cli.errors import StreamV2VError

    folder = Path(tempfile.gettempdir(), "streamv2v-fuzz-batch")
    folder.mkdir(exist_ok=True)
    ledger, _, manifest = data.partition(b"\0")
    (folder / ".streamv2v-batch.json").write_bytes(ledger)
    for suffix in ("json", "yaml", "csv"):
        path = folder / f"manifest.{suffix}"
        path.write_bytes(manifest)
        with contextlib.suppress(StreamV2VError):
            known = Ledger.open(folder)
            for task in tasks_of([], path, folder):
                known.knows(task)
                known.has_finished(task, {})


def fuzz_urls(data: bytes) -> None:
    """No part of a password is in any output: what stands around it is up to the search."""
    from streamv2v_cli.errors import StreamV2VError
    from streamv2v_cli.logs import shown
    from streamv2v_cli.media.address import Address, Url

    text = data.decode(errors="surrogateescape").replace("\n", "")
    before, after, user, path, *_ = [*text.split("\0"), "", "", "", ""]
    key = re.sub(r"[=&;?#]", "", path) or "key"
    for url in (
        f"rtsp://{user}:{before}{SECRET}{after}@host:554/{re.sub('[@]', '', path)}",
        f"http://host/x?x{key}={before}{SECRET}{re.sub('[&;#?=]', '', after)}",
        f"rtmp://host/live/{SECRET}{after}",
    ):
        told = [str(Url(url)), Url(url).stem, str(Url(url).host), repr(Url(url))]
        if "?" not in url or not re.search(r"\s", url):
            told.append(shown(url))  # in a sentence, a query ends at a space
        with contextlib.suppress(StreamV2VError):
            told.append(Address.of(url).name)
        for line in told:
            assert SECRET not in line, (url, line)


def fuzz_terminal(data: bytes) -> None:
    """Whatever is told: no control characters but our own line ends."""
    from streamv2v_cli.app import _report
    from streamv2v_cli.errors import StreamV2VError
    from streamv2v_cli.settings.resolve import resolve
    from streamv2v_cli.text.json_text import from_json, to_json
    from streamv2v_cli.text.terminal import printable

    text = data.decode(errors="surrogateescape")
    written = to_json({text: [text]})
    assert from_json(written) == {text: [text]}
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        _report(StreamV2VError(text, text), debug=True)
        try:
            resolve(sets=[text])
            resolve(sets=[f"seed={text}"])
        except StreamV2VError as error:
            _report(error, debug=False)
    for shown in (printable(text), written, told.getvalue().replace("\n", "")):
        assert not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in shown), shown


def _value(data: bytes) -> Any:
    text = data.decode(errors="replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@cache
def _sound_model() -> Path:
    sys.path.insert(0, str(ROOT / "tests"))
    from helpers.tiny import make_tiny_pipeline

    folder = Path(tempfile.gettempdir(), "streamv2v-fuzz-model")
    make_tiny_pipeline(folder)
    return folder


@cache
def _layers() -> tuple[Any, Any]:
    sys.path.insert(0, str(ROOT / "tests"))
    from helpers.tiny import tiny_model

    model = tiny_model()
    return model.unet, model.text_encoder


_LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def _lora_seeds() -> list[bytes]:
    header: dict[str, Any] = {
        f"{_LAYER}.lora_A.weight": {"dtype": "F32", "shape": [1, 32], "data_offsets": [0, 128]},
        f"{_LAYER}.lora_B.weight": {"dtype": "F32", "shape": [32, 1], "data_offsets": [128, 256]},
    }
    alpha = {f"{_LAYER}.alpha": {"dtype": "F32", "shape": [], "data_offsets": [256, 260]}}
    pattern = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 1, "unet.alpha_pattern": {"to_q": 2}})}
    return [
        json.dumps(header).encode() + b"\n" + bytes(256),
        json.dumps({**header, **alpha}).encode() + b"\n" + bytes(260),
        json.dumps({"__metadata__": pattern, **header}).encode() + b"\n" + bytes(256),
    ]


def _video_seeds() -> list[bytes]:
    from streamv2v_cli.settings.schema import Settings

    settings = Settings().model_dump(mode="json")
    settings["output"]["encoder_opt"] = ["tune=film", "flags=+pass1"]
    return [json.dumps({"program": "streamv2v", "settings": settings}).encode()]


TARGETS: dict[str, Callable[[bytes], None]] = {
    "model": fuzz_model,
    "lora": fuzz_lora,
    "video": fuzz_video,
    "batch": fuzz_batch,
    "urls": fuzz_urls,
    "terminal": fuzz_terminal,
}
SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "model": lambda: [bytes([file, key]) + b"[1000000]" for file in range(7) for key in range(0, 30, 3)],
    "lora": _lora_seeds,
    "video": _video_seeds,
    "batch": lambda: [
        b'{"outputs": {"a.mp4": {"complete": true, "bytes": 1, "made_of": {}}}}\0[{"input": "a.mp4"}]',
        b"{}\0input,output,prompt\na.mp4,b.mp4,x\n",
        b"[]\0- input: a.mp4\n  prompt: x\n",
    ],
    "urls": lambda: [b"a@\0b\0me\0x", b"\0 /?#\0me@mail.com\0token", b"it's\0'\0\0a b"],
    "terminal": lambda: [b"\x1b]0;x\x07", "\u202ea\x9b".encode(), b"\xffbank.kind=\x00", b"prompt=\n"],
}
