"""Decoding on a device: which one is taken, what is said of it, and that the pictures stay what they are.

There is no such device where tests run. `Device` stands in for PyAV's decoder with one: it decodes in software and
hands out what a device does, NV12 and P010. Where there is a GPU, the last tests decode on it.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pytest
from helpers.clips import make_clip, mosaic, number_of, numbered
from helpers.media import file_source
from typer.testing import CliRunner

from streamv2v_cli.app import app
from streamv2v_cli.errors import DeviceError, SourceError
from streamv2v_cli.frame import Discontinuity, Frame
from streamv2v_cli.media.address import Address
from streamv2v_cli.media.open import MediaInput, open_source
from streamv2v_cli.media.picture.colour import FULL, LIMITED
from streamv2v_cli.media.source import decoding as hwaccel
from streamv2v_cli.media.source.decoding import picture_decoder
from streamv2v_cli.media.source.inputs import InputOptions
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Input

LONG = range(0, 512 * 100, 512)
ON_DEVICE = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}


class Device:
    """A decoder of PyAV's that is on a device, until `frames` have come from there."""

    is_hwaccel = True
    COMPLAINT = "Cannot load libnvcuvid.so.1"

    def __init__(self, context: Any, frames: int) -> None:
        self._context, self._left = context, frames
        self.codec, self.pix_fmt = context.codec, "cuda"

    def decode(self, packet: Any) -> list[Any]:
        decoded = self._context.decode(packet)
        self._left -= len(decoded)
        if self._left < 0:
            av.logging.log(av.logging.ERROR, "device", self.COMPLAINT)
            self.pix_fmt = self._context.pix_fmt
            return list(decoded)
        return [self._copied(frame) for frame in decoded]

    @staticmethod
    def _copied(frame: Any) -> Any:
        """The same numbers in another order, as a device copies them to memory."""
        name = frame.format.name
        numbers = FULL if name == "yuvj420p" or frame.color_range == FULL else LIMITED
        copy = frame.reformat(format=ON_DEVICE[name], src_color_range=numbers, dst_color_range=numbers)
        copy.color_range = numbers if name == "yuvj420p" else frame.color_range
        copy.colorspace = frame.colorspace
        return copy


class Machine:
    """A machine with devices.

    Attributes:
        devices: that this build knows -> why it does not open, or the codecs that it decodes.
        frames: that come from a device before it refuses.
        opened: what inputs were opened with, in this order.
    """

    def __init__(self) -> None:
        self.devices: dict[str, str | tuple[str, ...]] = {"cuda": ("h264",)}
        self.frames = 1 << 30
        self.opened: list[str | None] = []
        self._decoders: dict[Any, Device] = {}

    def refusal(self, device: str) -> str | None:
        state = self.devices[device]
        return state if isinstance(state, str) else None

    def open(self, *arguments: Any, hwaccel: str | None, **options: Any) -> Any:
        self.opened.append(hwaccel)
        return _av_open(*arguments, **options)

    def decoder(self, video: Any) -> Any:
        context = picture_decoder(video)
        device = self.opened[-1]
        codecs = self.devices[device] if device else ()
        if context is not video.codec_context or context.codec.canonical_name not in codecs:
            return context
        return self._decoders.setdefault(context, Device(context, self.frames))


_av_open = av.open


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()

    def open_(*arguments: Any, **options: Any) -> Any:
        return (machine.open if "hwaccel" in options else _av_open)(*arguments, **options)

    monkeypatch.setattr(hwaccel, "hwdevices_available", lambda: [*machine.devices, "qsv"])
    monkeypatch.setattr(hwaccel, "refusal", machine.refusal)
    monkeypatch.setattr("streamv2v_cli.media.source.inputs.accelerated", lambda device: device)
    monkeypatch.setattr("streamv2v_cli.media.source.inputs.av.open", open_)
    monkeypatch.setattr("streamv2v_cli.media.source.demuxer.picture_decoder", machine.decoder)
    return machine


def read(path: Path, wanted: str = "none", trim: Trim | None = None, **settings: Any) -> Any:
    """The source, closed, and its frames."""
    reading = Input(hwaccel=wanted, **settings)
    options = InputOptions(reading=reading)
    with file_source(path, trim=trim, options=options, settings=reading) as source:
        return source, [item for item in source if isinstance(item, Frame)]


def coloured(index: int) -> np.ndarray:
    """Tiles of all colours and smooth ramps between them, so that chroma matters."""
    tiles = mosaic(index).astype(float)
    tiles[..., 1] = np.linspace(20, 235, tiles.shape[1])
    tiles[..., 2] = np.linspace(235, 20, tiles.shape[0])[:, None]
    return tiles.astype(np.uint8)


def deep(index: int) -> av.VideoFrame:
    """Ten bits, of which the two lowest matter: ramps that eight bits do not hold."""
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    for plane in frame.planes:
        row = np.arange(plane.width, dtype="<u2") * 3 + 400 + index
        lines = np.zeros((plane.height, plane.line_size // 2), "<u2")
        lines[:, : plane.width] = row
        plane.update(lines.tobytes())
    return frame


CLIPS: dict[str, dict[str, Any]] = {
    "eight bits": {},
    "BT.709, full range": {"tags": (1, 2, 1, 1)},
    "turned": {"rotation": (90, False, False)},
    "ten bits": {"pix_fmt": "yuv420p10le", "picture": deep},
    "HDR": {"pix_fmt": "yuv420p10le", "picture": deep, "tags": (9, 1, 9, 16)},
    "deinterlaced": {},
    "deinterlaced, full range": {"tags": (1, 2, 1, 1)},
    "deinterlaced, BT.601": {"tags": (5, 1, 6, 6)},
    "deinterlaced, ten bits": {"pix_fmt": "yuv420p10le", "picture": deep},
    "odd times": {"pts": (0, 700, 900, 3000, 3100)},
}


@pytest.mark.parametrize("kind", CLIPS)
def test_the_same_pictures_come_from_a_device(kind: str, machine: Machine, tmp_path: Path) -> None:
    changes = {"picture": coloured, "pts": range(0, 512 * 6, 512)} | CLIPS[kind]
    path = make_clip(tmp_path / "on_device.mkv", **changes)
    filtered = kind.startswith("deinterlaced")
    settings = {"deinterlace": "on"} if filtered else {}
    before, expected = read(path, **settings)
    after, frames = read(path, "cuda", **settings)
    assert machine.opened == [None, "cuda"]
    assert (before.info.decoded_on, after.info.decoded_on) == (None, "cuda")
    # The filter has the planes apart again.
    pix_fmt = before.info.pix_fmt
    assert after.info.pix_fmt == (pix_fmt.replace("j", "") if filtered else ON_DEVICE[pix_fmt])
    for fact in ("orientation", "colour", "stored_colour", "tone", "is_deinterlaced", "size", "remarks"):
        assert getattr(after.info, fact) == getattr(before.info, fact), fact
    assert [(frame.pts, frame.duration) for frame in frames] == [(f.pts, f.duration) for f in expected]
    worst = [
        np.abs(one.pixels.astype(int) - other.pixels).max()
        for one, other in zip(frames, expected, strict=True)
    ]
    assert max(worst) <= 1, worst


def test_the_size_may_change_on_the_way(machine: Machine, tmp_path: Path) -> None:
    parts = [
        make_clip(tmp_path / f"size_{number}.ts", size=size, picture=picture, pts=range(0, 512 * 6, 512))
        for number, size, picture in (
            (0, (64, 48), coloured),
            (1, (128, 96), lambda index: coloured(index).repeat(2, 0).repeat(2, 1)),
        )
    ]
    path = tmp_path / "sizes.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    _, expected = read(path)
    source, frames = read(path, "cuda")
    assert source.info.decoded_on == "cuda"
    assert len(frames) == len(expected) == 12
    for one, other in zip(frames, expected, strict=True):
        assert one.pts == other.pts
        assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1


def test_the_beginning_can_be_left_out(machine: Machine, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "late.mkv", pts=LONG, options={"preset": "ultrafast", "g": "10"})
    source, frames = read(path, "cuda", Trim(start=Fraction(3), end=Fraction(7, 2)))
    assert [number_of(frame.pixels) for frame in frames] == list(range(75, 88))
    assert source.info.decoded_on == "cuda"
    assert machine.opened == ["cuda"]


def test_damage_is_counted_as_ever(machine: Machine, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "damaged.mp4", options={"preset": "ultrafast", "g": "1", "crf": "10"})
    with av.open(str(path)) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][7]
    data = bytearray(path.read_bytes())
    data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    source, frames = read(path, "cuda")
    assert (source.info.decoded_on, source.damaged_packets) == ("cuda", 1)
    assert [number_of(frame.pixels) for frame in frames] == [n for n in range(24) if n != 7]


def test_where_nothing_can_be_decoded_the_device_is_named(machine: Machine, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "nothing.mp4", pts=[0])
    with av.open(str(path)) as container:
        position, size = next((packet.pos, packet.size) for packet in container.demux(video=0))
    data = bytearray(path.read_bytes())
    data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    for wanted, remedy in (("none", "complete"), ("auto", "decoded on cuda: --hwaccel none")):
        with pytest.raises(SourceError, match="Not one frame") as caught:
            read(path, wanted)
        assert remedy in caught.value.remedy


def test_automatic_takes_the_first_device_that_opens_and_can(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine.devices = {"vaapi": ("h264", "ffv1"), "cuda": "no driver", "videotoolbox": ("h264",)}
    path = make_clip(tmp_path / "auto.mkv", picture=numbered)
    lossless = make_clip(tmp_path / "auto_lossless.mkv", codec="ffv1", options={})
    with caplog.at_level(logging.INFO):
        assert read(path, "auto")[0].info.decoded_on == "videotoolbox"
        assert read(lossless, "auto")[0].info.decoded_on == "vaapi"
    assert machine.opened == ["videotoolbox", "videotoolbox", "vaapi"]
    assert [line for line in caplog.messages if "decoded" in line] == [
        "The video is decoded on videotoolbox.",
        "The video is decoded on vaapi.",
    ]


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        ({}, "this FFmpeg knows no device for it"),
        ({"cuda": "no driver"}, "cuda does not open: no driver"),
        ({"cuda": ("hevc",)}, "cuda has no decoder for h264"),
        (
            {"cuda": "no driver", "vaapi": ("vp9",)},
            "cuda does not open: no driver; vaapi has no decoder for h264",
        ),
    ],
)
def test_automatic_is_software_where_no_device_can(
    devices: Any, reason: str, machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine.devices = devices
    path = make_clip(tmp_path / "auto_software.mkv", picture=coloured)
    _, expected = read(path)
    with caplog.at_level(logging.INFO):
        source, frames = read(path, "auto")
    assert source.info.decoded_on is None
    assert machine.opened[-1] is None
    assert all(np.array_equal(one.pixels, two.pixels) for one, two in zip(frames, expected, strict=True))
    assert f"The video is decoded in software: {reason}." in caplog.messages


def test_automatic_is_software_where_the_device_does_not_take_the_stream(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as H.264 with 4:2:2, which only the decoder itself finds out."""
    machine.frames, machine.devices["cuda"], machine.devices["vulkan"] = 0, "no driver", ("h264",)
    path = make_clip(tmp_path / "auto_refused.mkv")
    with caplog.at_level(logging.INFO):
        source, frames = read(path, "auto")
    assert [number_of(frame.pixels) for frame in frames] == list(range(24))
    assert (source.info.decoded_on, source.damaged_packets) == (None, 0)
    reason = f"cuda does not open: no driver; vulkan does not take it: {Device.COMPLAINT}"
    assert f"The video is decoded in software: {reason}." in caplog.messages


@pytest.mark.parametrize(
    ("devices", "message", "remedy"),
    [
        ({"vaapi": ()}, "This FFmpeg does not decode on cuda", "It knows vaapi."),
        ({}, "This FFmpeg does not decode on cuda", "--hwaccel none"),
        (
            {"cuda": "no driver"},
            "The device cuda of --hwaccel does not open on this machine: no driver.",
            "--hwaccel auto",
        ),
    ],
)
def test_a_device_that_is_not_there_is_an_error(
    devices: Any, message: str, remedy: str, machine: Machine, tmp_path: Path
) -> None:
    machine.devices = devices
    with pytest.raises(DeviceError) as caught:
        read(make_clip(tmp_path / "absent.mkv", pts=[0]), "cuda")
    assert caught.value.message.startswith(message)
    assert remedy in caught.value.remedy
    assert machine.opened == []


def test_a_codec_that_the_device_does_not_decode_is_an_error(machine: Machine, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "undecoded.mkv", pts=[0], codec="ffv1", options={})
    with pytest.raises(SourceError, match="is ffv1, which --hwaccel cuda does not decode") as e:
        read(path, "cuda")
    assert e.value.remedy == "--hwaccel auto decodes it in software."


def test_transparent_pictures_keep_their_decoder(machine: Machine, tmp_path: Path) -> None:
    """Devices drop alpha, as does FFmpeg's own decoder of VP9."""
    machine.devices = {"cuda": ("vp9",)}
    path = make_clip(
        tmp_path / "alpha.webm",
        pts=[0],
        codec="libvpx-vp9",
        pix_fmt="yuva420p",
        options={"deadline": "realtime", "cpu-used": "8"},
        picture=lambda index: av.VideoFrame(64, 48, "yuva420p"),
    )
    assert read(path, "auto")[0].info.pix_fmt == "yuva420p"
    with pytest.raises(SourceError, match="is vp9, which --hwaccel cuda"):
        read(path, "cuda")


@pytest.mark.parametrize("frames", [0, 5])
def test_a_named_device_is_never_left_in_silence(frames: int, machine: Machine, tmp_path: Path) -> None:
    machine.frames = frames
    path = make_clip(tmp_path / "left.mkv", options={"preset": "ultrafast", "tune": "zerolatency"})
    seen = []
    options = InputOptions(reading=Input(hwaccel="cuda"))
    # What FFmpeg says later may have to do with anything.
    reason = f": {Device.COMPLAINT}" if frames == 0 else ""
    message = f"is h264 yuv420p, which --hwaccel cuda does not decode{reason}\\."
    with pytest.raises(SourceError, match=message), file_source(path, options=options) as source:
        seen += [number_of(item.pixels) for item in source if isinstance(item, Frame)]
    assert len(seen) <= frames


def test_a_live_source_is_decoded_on_a_device_also_when_it_is_back(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Address, "can_return", True)
    path = make_clip(tmp_path / "live.mkv")
    reading = Input(live="on", hwaccel="cuda")
    options = InputOptions(reading=reading)
    with open_source(MediaInput.of(path, options), copied=()) as source:
        assert source.info.decoded_on == "cuda"
        items = iter(source)
        while not isinstance(next(items), Discontinuity):
            pass
        assert number_of(next(items).pixels) == 0  # type: ignore[union-attr]
    assert machine.opened[:2] == ["cuda", "cuda"]


def test_one_that_is_not_a_file_is_opened_once(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """Who reads from a pipe or a camera cannot begin anew."""
    machine.devices = {"cuda": ("h264",), "vaapi": ("rawvideo",)}
    with caplog.at_level(logging.INFO):
        source, frames = read(Path("lavfi:testsrc2=size=32x32:rate=5:duration=1"), "auto")
    assert len(frames) == 5
    assert source.info.decoded_on is None
    assert machine.opened == ["cuda"]
    assert any(line.startswith("The video is decoded in software: cuda has no") for line in caplog.messages)


def test_the_device_is_asked_of_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is in FFmpeg's words, and a device that no usual codec has is refused as well."""
    asked = []

    class Refusing:
        def __init__(self, device: str) -> None:
            asked.append(device)

        def create(self, codec: Any) -> None:
            asked.append(codec.name)
            raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(hwaccel, "HWAccel", Refusing)
    assert hwaccel.refusal("videotoolbox") is not None
    known = [device for device in hwaccel.devices() if hwaccel.refusal(device)]
    assert tuple(known) == hwaccel.devices()
    assert "qsv" not in known
    for device, codec in zip(asked[::2], asked[1::2], strict=True):
        assert device in hwaccel.DEVICES
        assert codec == "h264"


def test_devices_are_those_of_the_setting() -> None:
    choices = get_args(Input.model_fields["hwaccel"].annotation)
    assert choices == ("none", "auto", *hwaccel.DEVICES)
    known = {member.name for member in av.codec.hwaccel.HWDeviceType}
    assert set(hwaccel.DEVICES) <= known


@pytest.fixture
def restyle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the real command in this process, with the translator that changes nothing."""
    monkeypatch.chdir(tmp_path)

    def restyle(source: Path, *arguments: str) -> Any:
        common = ["--translator", "passthrough", "--no-progress", "--codec", "ffv1", "--crf", "none"]
        return CliRunner().invoke(app, ["run", str(source), *common, *arguments])

    return restyle


def test_on_the_command_line(restyle: Callable[..., Any], machine: Machine, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "cli.mkv", picture=coloured)
    plan = restyle(path, "--hwaccel", "cuda", "-o", "a.mkv", "--dry-run")
    assert "h264 nv12 decoded on cuda, 64x48" in plan.stdout
    done = restyle(path, "--hwaccel", "auto", "-v", "-o", "a.mkv")
    assert done.exit_code == 0
    assert done.stderr.splitlines().count("The video is decoded on cuda.") == 1
    machine.devices = {"cuda": "no driver"}
    refused = restyle(path, "--hwaccel", "cuda", "--no-progress", "-o", "b.mkv")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: The device cuda of --hwaccel does not open on this machine:")
    assert not (tmp_path / "b.mkv").exists()
    assert restyle(path, "--hwaccel", "qsv", "-o", "b.mkv").exit_code == 2


def test_automatic_changes_nothing_on_any_machine(
    restyle: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the real FFmpeg; where a device opens, it decodes H.264 to the same numbers, by the standard."""
    path = make_clip(tmp_path / "same.mkv", picture=coloured, size=(256, 144))
    for choice in ("none", "auto"):
        done = restyle(path, "--hwaccel", choice, "--metadata", "none", "-o", f"{choice}.mkv")
        assert done.exit_code == 0, done.stderr
        assert "CUDA" not in done.stderr
    pixels = [
        np.stack(
            [frame.to_ndarray(format="rgb24") for frame in av.open(str(tmp_path / name)).decode(video=0)]
        )
        for name in ("none.mkv", "auto.mkv")
    ]
    assert np.abs(pixels[0].astype(int) - pixels[1]).max() <= 1


@pytest.mark.needs_cuda
@pytest.mark.parametrize(("codec", "pix_fmt"), [("libx264", "yuv420p"), ("libx265", "yuv420p10le")])
def test_on_a_real_gpu(codec: str, pix_fmt: str, tmp_path: Path) -> None:
    """NVDEC takes no pictures as small as those of the other tests."""
    if reason := hwaccel.refusal("cuda"):
        pytest.skip(reason)
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libnvcuvid.so.1")
        except OSError:
            pytest.skip("the driver comes without its decoder, as in containers that were not given it")
    picture = {"picture": lambda index: np.kron(coloured(index), np.ones((6, 6, 1), np.uint8))}
    path = make_clip(
        tmp_path / "gpu.mkv", codec=codec, pix_fmt=pix_fmt, size=(384, 288), pts=LONG[:50], **picture
    )
    _, expected = read(path)
    source, frames = read(path, "cuda")
    assert (source.info.decoded_on, source.info.pix_fmt) == ("cuda", ON_DEVICE[pix_fmt])
    assert [frame.pts for frame in frames] == [frame.pts for frame in expected]
    for one, other in zip(frames, expected, strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1
