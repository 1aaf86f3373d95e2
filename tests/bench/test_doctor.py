"""`streamv2v doctor`, on this machine and on machines with one thing broken."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import pytest

from streamv2v_cli.bench import doctor
from streamv2v_cli.errors import DeviceError
from streamv2v_cli.models.locate import ModelPlan, PlannedPart

HEALTHY = ModelPlan("mini", "consistency", ())


@pytest.fixture
def healthy(monkeypatch):
    """A checkout may be without the weights of the embedded model."""
    monkeypatch.setattr("streamv2v_cli.models.locate.describe_model", lambda settings: HEALTHY)


@pytest.fixture
def findings(invoke):
    """Exit code and findings."""

    def findings():
        result = invoke("doctor", "--json")
        return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]

    return findings


def only_problem(findings):
    code, found = findings()
    assert code == 1
    (problem,) = [finding for finding in found if finding["state"] == "problem"]
    assert problem["remedy"]
    return problem


def test_everything_is_looked_at(findings, healthy):
    code, found = findings()
    assert code == 0, found
    assert {finding["state"] for finding in found} <= {"ok", "note"}
    assert [*dict.fromkeys(finding["topic"] for finding in found)] == [
        *(
            "python",
            "packages",
            "torch",
            "device",
            "attention",
            "serve",
            "ffmpeg",
            "encoder",
            "decoder",
            "model",
            "cache",
        )
    ]
    texts = [finding["text"] for finding in found]
    assert "libx264 opens" in texts
    assert any(text.startswith("cpu: ") for text in texts)
    assert any(text.startswith("FFmpeg ") and "libavcodec" in text for text in texts)


def test_as_text(invoke, healthy):
    result = invoke("doctor")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "ok       encoder    libx264 opens" in lines
    assert all(line[:8].strip() in ("ok", "note", "") for line in lines)


def test_a_missing_package(findings, healthy, monkeypatch):
    def version(name):
        if name == "diffusers":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(doctor, "version", version)
    assert only_problem(findings)["remedy"] == "pip install diffusers"


def test_a_gpu_that_pytorch_cannot_use(findings, healthy, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("torch.version.cuda", None)
    assert "a build of PyTorch for NVIDIA GPUs" in only_problem(findings)["remedy"]
    monkeypatch.setattr("torch.version.cuda", "13.0")
    assert "driver for CUDA 13.0" in only_problem(findings)["remedy"]


@pytest.mark.parametrize(
    ("cuda", "hip", "text", "remedy"),
    [
        (None, None, "PyTorch 2.13.0, built for the CPU", "/whl/cu130"),
        ("12.6", None, "PyTorch 2.13.0, built for CUDA 12.6", "/whl/cpu"),
        (None, "7.1", "PyTorch 2.13.0, built for ROCm 7.1", "/whl/cpu"),
    ],
)
def test_the_build_of_pytorch(monkeypatch, cuda, hip, text, remedy):
    monkeypatch.setattr("torch.__version__", "2.13.0+abc")
    monkeypatch.setattr("torch.version.cuda", cuda)
    monkeypatch.setattr("torch.version.hip", hip)
    monkeypatch.setattr("torch.version.xpu", None)
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    (found,) = (finding for finding in doctor.examine() if finding.topic == "torch")
    assert (found.state, found.text) == ("ok", text)
    assert found.remedy.endswith(
        f"pip install --force-reinstall torch --index-url https://download.pytorch.org{remedy}"
    )
    monkeypatch.setattr(doctor.sys, "platform", "darwin")
    (found,) = (finding for finding in doctor.examine() if finding.topic == "torch")
    assert (found.text, found.remedy) == (text, "")


def test_an_encoder_that_does_not_open(findings, healthy, monkeypatch):
    class Encoder:
        flags = 0

        @classmethod
        def create(cls, codec, mode):
            return cls()

        def open(self):
            raise ValueError("it is on strike")

    monkeypatch.setattr("streamv2v_cli.media.sink.encoder.CodecContext", Encoder)
    problem = only_problem(findings)
    assert problem["text"] == "libx264, the default, does not open: it is on strike"
    assert not [finding for finding in findings()[1] if finding["text"].endswith("opens")]


@pytest.mark.parametrize(
    ("devices", "found"),
    [
        ({}, [("note", "this FFmpeg has no hardware decoders: --hwaccel auto decodes in software")]),
        (
            {"cuda": None, "vaapi": "No VA display found"},
            [
                ("ok", "cuda opens: hardware for --hwaccel"),
                ("note", "vaapi does not open here: No VA display found"),
            ],
        ),
    ],
)
def test_devices_that_decode(findings, healthy, monkeypatch, devices, found):
    monkeypatch.setattr("streamv2v_cli.media.source.decoding.devices", lambda: tuple(devices))
    monkeypatch.setattr("streamv2v_cli.media.source.decoding.refusal", devices.get)
    code, everything = findings()
    assert code == 0
    decoders = [finding for finding in everything if finding["topic"] == "decoder"]
    assert [(finding["state"], finding["text"]) for finding in decoders] == found


def test_a_default_model_that_is_not_there(findings, monkeypatch):
    plan = ModelPlan("mini", None, (PlannedPart("model", "mini", None, "there is none"),))
    monkeypatch.setattr("streamv2v_cli.models.locate.describe_model", lambda settings: plan)
    assert "there is none" in only_problem(findings)["text"]


@pytest.mark.parametrize("error", [ImportError("no libtorch.so"), DeviceError("no libtorch.so", "Do it.")])
def test_a_check_that_breaks_is_a_problem_and_stops_no_other(findings, healthy, monkeypatch, error):
    def breaks():
        raise error

    monkeypatch.setattr("torch.get_num_threads", breaks)
    problem = only_problem(findings)
    assert problem["topic"] == "device"
    assert "no libtorch.so" in problem["text"]
    assert findings()[1][-1]["topic"] == "cache"


def test_little_room_is_a_note(findings, healthy, monkeypatch):
    monkeypatch.setattr(doctor, "LITTLE_ROOM", 1 << 62)
    assert findings()[1][-1]["state"] == "note"
