"""Which images an input means, and how they are read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import CodecContext
from helpers.clips import make_clip, mosaic, number_of, numbered
from helpers.media import file_source

from streamv2v_cli.errors import SourceError, StreamV2VError, UsageError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.images.patterns import Numbered, find_images, natural_key
from streamv2v_cli.media.source.inputs import InputOptions
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Input

ENCODERS = {
    "png": ("png", "rgb24"),
    "jpg": ("mjpeg", "yuvj444p"),
    "bmp": ("bmp", "bgr24"),
    "tif": ("tiff", "rgb24"),
    "ppm": ("ppm", "rgb24"),
    "dpx": ("dpx", "rgb24"),
    "webp": ("libwebp", "yuv420p"),
}


def encoded(pixels: np.ndarray, kind: str = "png") -> bytes:
    """An image file, written with PyAV alone."""
    codec, pix_fmt = ENCODERS[kind]
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
    if pix_fmt.startswith("yuv"):
        limits = "JPEG" if pix_fmt.startswith("yuvj") else "MPEG"
        frame = frame.reformat(format=pix_fmt, dst_colorspace="itu601", dst_color_range=limits)
    else:
        frame = frame.reformat(format=pix_fmt)
    return compress(frame, codec)


def compress(frame: av.VideoFrame, codec: str) -> bytes:
    context = CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
    context.time_base = Fraction(1, 25)
    if codec == "mjpeg":
        context.color_range = 2
        context.options = {"qmin": "1", "qmax": "1"}
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def write_images(folder: Path, names: list[str], kind: str = "png") -> Path:
    """Images with the numbers 0, 1, 2, ... in the order of the names."""
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        (folder / name).write_bytes(encoded(numbered(index), kind))
    return folder


def frames_of(name: object, trim: Trim | None = None, **options: object) -> list[Frame]:
    with file_source(str(name), trim=trim, options=InputOptions(**options)) as source:  # type: ignore[arg-type]
        return [item for item in source if isinstance(item, Frame)]


def numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.pixels) for frame in frames]


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_kind_of_image(kind: str, tmp_path: Path) -> None:
    write_images(tmp_path / "frames", [f"{number:03d}.{kind}" for number in range(7, 12)], kind)
    for name in (f"frames/%03d.{kind}", "frames", f"frames/*.{kind}"):
        frames = frames_of(tmp_path / name)
        assert numbers(frames) == [0, 1, 2, 3, 4]
        assert [frame.time for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
        for index, frame in enumerate(frames):
            assert np.abs(frame.pixels.astype(int) - numbered(index)).max() <= 2


def test_natural_order(tmp_path: Path) -> None:
    names = ["a1.png", "a2.png", "a10.png", "B3.png"]
    assert sorted(["B3.png", "a10.png", "a1.png", "a2.png"], key=natural_key) == names
    write_images(tmp_path / "frames", names)
    assert numbers(frames_of(tmp_path / "frames")) == [0, 1, 2, 3]


def test_patterns() -> None:
    padded = Numbered.parse("a%%b%04d.png")
    assert padded is not None
    assert (padded.name(7), padded.name(12345)) == ("a%b0007.png", "a%b12345.png")
    assert [padded.number(name) for name in ("a%b0007.png", "a%b7.png", "a%b00007.png", "a%b12345.png")] == [
        7,
        None,
        None,
        12345,
    ]
    plain = Numbered.parse("%d.png")
    assert plain is not None
    assert [plain.number(name) for name in ("7.png", "07.png", ".png", "7.jpg", "-1.png")] == [7, *[None] * 4]
    assert Numbered.parse("100%.png") is None
    with pytest.raises(UsageError, match="more than one"):
        Numbered.parse("%d_%d.png")


def test_the_first_number_is_found(tmp_path: Path) -> None:
    write_images(tmp_path / "frames", ["998.png", "999.png", "1000.png", "x1001.png"])
    images = find_images(str(tmp_path / "frames" / "%d.png"))
    assert images is not None
    assert [Path(path).name for path in images.paths] == ["998.png", "999.png", "1000.png"]
    assert images.first_number == 998


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gap/%02d.png", "goes from 1 to 6 but lacks 2 of them, first 03.png"),
        ("gap/%03d.png", "There is no image .*such as .*gap/001.png"),
        ("empty", "holds no images"),
        ("gap/*.jpg", "does not exist and matches no images"),
        ("clips/*", "matches 1 files but no images"),
        ("tie", r"as many \.(jpg as \.png|png as \.jpg), 1 of each"),
        ("gap/%d_%d.png", "more than one place"),
    ],
)
def test_what_is_not_there(name: str, words: str, tmp_path: Path) -> None:
    write_images(tmp_path / "gap", ["01.png", "02.png", "04.png", "06.png"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden.png").write_bytes(encoded(numbered(0)))
    (tmp_path / "empty" / "notes.txt").touch()
    (tmp_path / "clips").mkdir()
    make_clip(tmp_path / "clips" / "a.mp4", pts=(0, 512))
    write_images(tmp_path / "tie", ["1.png"])
    write_images(tmp_path / "tie", ["2.jpg"], "jpg")
    with pytest.raises(StreamV2VError, match=words):
        frames_of(tmp_path / name)


def test_the_kind_of_most_images_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_images(tmp_path / "frames", ["1.jpg", "2.JPEG", "3.jpg"], "jpg")
    write_images(folder, ["0.png"])
    (folder / ".4.jpg").touch()
    (folder / "readme.txt").touch()
    assert numbers(frames_of(folder)) == [0, 1, 2]
    assert "the 3 .jpg are taken, 1 .png left out" in caplog.text


def test_images_are_not_deinterlaced_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_images(tmp_path / "frames", ["1.png", "2.png"])
    for mode, said in (("on", 1), ("auto", 0), ("off", 0)):
        caplog.clear()
        with file_source(folder, settings=Input(deinterlace=mode)) as source:  # type: ignore[arg-type]
            assert numbers([item for item in source if isinstance(item, Frame)]) == [0, 1]
        assert caplog.text.count("--deinterlace on has no effect") == said


def test_a_file_wins_over_a_pattern(tmp_path: Path) -> None:
    for name in ("%03d.mp4", "a[1].mp4", "100%d.mp4"):
        clip = make_clip(tmp_path / name, pts=(0, 512, 1024))
        assert numbers(frames_of(clip)) == [0, 1, 2]
    write_images(tmp_path, ["%d.png", "1.png"])
    assert numbers(frames_of(tmp_path / "%d.png")) == [0]


def test_a_single_image_is_one_frame(tmp_path: Path) -> None:
    write_images(tmp_path, ["photo.jpg"], "jpg")
    with file_source(tmp_path / "photo.jpg") as source:
        assert (source.info.frame_count, source.info.size) == (1, (64, 48))
        assert len(list(source)) == 1


def test_rate_and_trim(tmp_path: Path) -> None:
    write_images(tmp_path / "frames", [f"{number}.png" for number in range(1, 301)])
    name, rate = tmp_path / "frames" / "%d.png", Fraction(30000, 1001)
    with file_source(name, options=InputOptions(rate=rate)) as source:
        assert (source.info.rate, source.info.frame_count, source.first_number) == (rate, 300, 1)
    for trim, expected in (
        (Trim(start=Fraction(8), end=Fraction(9)), range(200, 225)),
        (Trim(start=Fraction(801, 100), frames=3), range(201, 204)),
        (Trim(start=Fraction("0.0405"), end=Fraction("0.08")), range(1, 2)),
        (Trim(frames=2), range(2)),
        (Trim(start=Fraction("11.9"), end=Fraction(20)), range(298, 300)),
    ):
        with file_source(name, trim=trim) as source:
            assert source.info.frame_count == len(expected)
            assert source.first_number == expected[0] + 1
            assert numbers([item for item in source if isinstance(item, Frame)]) == list(expected)
    with pytest.raises(SourceError, match="no frame at or after"):
        frames_of(name, Trim(start=Fraction(12)))


def test_the_rate_is_for_images_and_raw_video(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", pts=(0, 512))
    with pytest.raises(UsageError, match="--input-rate does not apply"):
        frames_of(clip, rate=Fraction(25))


def exif(orientation: int, order: str = ">") -> bytes:
    """A TIFF structure with the one tag."""
    start = b"MM\0*" if order == ">" else b"II*\0"
    entry = struct.pack(f"{order}HHIHH", 0x112, 3, 1, orientation, 0)
    return start + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def in_jpeg(data: bytes, tags: bytes) -> bytes:
    body = b"Exif\0\0" + tags
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def png_chunk(tags: bytes) -> bytes:
    body = b"eXIf" + tags
    return struct.pack(">I", len(tags)) + body + struct.pack(">I", zlib.crc32(body))


def in_png(data: bytes, tags: bytes) -> bytes:
    return data[:33] + png_chunk(tags) + data[33:]


def at_end_of_png(data: bytes, tags: bytes) -> bytes:
    return data[:-12] + png_chunk(tags) + data[-12:]


def in_webp(data: bytes, tags: bytes) -> bytes:
    """In the extended form, which is the only one with Exif data; it begins with the size of the picture."""
    width, height = (int.from_bytes(data[start : start + 2], "little") & 0x3FFF for start in (26, 28))
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + size
    chunk = b"EXIF" + struct.pack("<I", len(tags)) + tags + bytes(len(tags) % 2)
    body = b"WEBP" + extended + data[12:] + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(pixels: np.ndarray, orientation: int) -> bytes:
    """A TIFF file with its samples after the tags; 16 bits each, which Pillow has no room for."""
    height, width = pixels.shape[:2]
    samples = (pixels.astype("<u2") * 257).tobytes()
    values = {256: width, 257: height, 258: 16, 259: 1, 262: 2, 273: 0, 274: orientation, 277: 3}
    values |= {278: height, 279: len(samples)}
    begin = 8 + 2 + 12 * len(values) + 4
    values[273] = begin + 6
    entries = b"".join(
        struct.pack("<HHII", tag, 3, 3, begin) if tag == 258 else struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in sorted(values.items())
    )
    return b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + bytes(4) + b"\x10\0" * 3 + samples


UPRIGHT_BY: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p.transpose(1, 0, 2), 2),
    8: lambda p: np.rot90(p),
}
"""What has to be done with the stored rows and columns, from the table of the Exif standard."""


@pytest.mark.parametrize("orientation", UPRIGHT_BY)
def test_photographs_stand_upright(orientation: int, tmp_path: Path) -> None:
    stored = mosaic(orientation)
    upright = UPRIGHT_BY[orientation](stored)
    big, little = exif(orientation), exif(orientation, "<")
    photos = {
        "a.png": (in_png(encoded(stored), big), 0),
        "late.png": (at_end_of_png(encoded(stored), little), 0),
        "a.jpg": (in_jpeg(encoded(stored, "jpg"), big), 6),
        "little.jpg": (in_jpeg(encoded(stored, "jpg"), little), 6),
        "a.webp": (in_webp(encoded(stored, "webp"), little), 60),
        "a.tif": (tiff(stored, orientation), 1),
    }
    for name, (data, tolerance) in photos.items():
        (tmp_path / name).write_bytes(data)
        with file_source(tmp_path / name) as source:
            (frame,) = source
            assert isinstance(frame, Frame)
            assert source.info.size == upright.shape[1::-1]
            assert np.abs(frame.pixels.astype(int) - upright).max() <= tolerance, name


DAMAGED_EXIF = {
    "cut off": exif(6)[:14],
    "empty": b"",
    "junk": b"neither II nor MM",
    "tags far away": b"MM\0*\xff\xff\xff\xf0" + exif(6)[8:],
    "too many tags": exif(6)[:8] + b"\xff\xff" + exif(6)[10:20],
    "no such value": exif(9),
    "the value a text": exif(6)[:12] + struct.pack(">HI", 2, 4) + b"six\0" + bytes(4),
}


@pytest.mark.parametrize("damage", DAMAGED_EXIF)
def test_damaged_exif_data_leave_the_picture_as_it_is_stored(
    damage: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    stored, tags = mosaic(3), DAMAGED_EXIF[damage]
    photos = {
        "a.png": in_png(encoded(stored), tags),
        "late.png": at_end_of_png(encoded(stored), tags),
        "a.jpg": in_jpeg(encoded(stored, "jpg"), tags),
        "a.webp": in_webp(encoded(stored, "webp"), tags),
    }
    for name, data in photos.items():
        (tmp_path / name).write_bytes(data)
        with file_source(tmp_path / name) as source:
            (frame,) = source
            assert isinstance(frame, Frame)
            assert frame.pixels.shape == stored.shape, name
            assert source.damaged_packets == 0
    assert not recwarn.list


def test_different_sizes_are_scaled_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(tmp_path / "frames", ["1.png", "4.png"])
    for name in ("2.png", "3.png"):
        (tmp_path / "frames" / name).write_bytes(encoded(numbered(9, 128, 96).repeat(2, 0).repeat(2, 1)))
    frames = frames_of(tmp_path / "frames")
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
    assert caplog.text.count("2.png' is 256x192 and not 64x48") == 1
    assert "3.png" not in caplog.text


def test_a_damaged_image_is_counted_and_leaves_its_time_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_images(tmp_path / "frames", [f"{number}.png" for number in range(6)])
    (folder / "2.png").write_bytes(b"no image")
    (folder / "4.png").write_bytes((folder / "4.png").read_bytes()[:60])
    with file_source(folder) as source:
        frames = [item for item in source if isinstance(item, Frame)]
        assert source.damaged_packets == 2
    assert [(frame.pts, number_of(frame.pixels)) for frame in frames] == [(0, 0), (1, 1), (3, 3), (5, 5)]
    assert "2.png' cannot be read and is left out: it is not an image that FFmpeg recognises." in caplog.text


def test_deep_grey_and_mislabelled_images(tmp_path: Path) -> None:
    grey = mosaic(3)
    deep = av.VideoFrame.from_ndarray(grey, "rgb24").reformat(format="rgb48be")
    plain = av.VideoFrame.from_ndarray(np.ascontiguousarray(grey[..., 0]), "gray")
    (tmp_path / "deep.png").write_bytes(compress(deep, "png"))
    (tmp_path / "grey.png").write_bytes(compress(plain, "png"))
    (tmp_path / "grey.tif").write_bytes(compress(plain, "tiff"))
    (tmp_path / "really_a_png.jpg").write_bytes(encoded(grey))
    for name in ("deep.png", "grey.png", "grey.tif", "really_a_png.jpg"):
        (frame,) = frames_of(tmp_path / name)
        assert np.abs(frame.pixels.astype(int) - grey).max() <= 1, name


def test_linear_light_becomes_srgb(tmp_path: Path) -> None:
    """The sRGB curve (IEC 61966-2-1) puts 0.2140 at a half and 0.0331 at a fifth."""
    linear = np.zeros((48, 64, 3), np.float32) + np.float32([0.2140, 0.0331, 0.6])
    (tmp_path / "a.exr").write_bytes(compress(av.VideoFrame.from_ndarray(linear, "gbrpf32le"), "exr"))
    (frame,) = frames_of(tmp_path / "a.exr")
    assert np.abs(frame.pixels.astype(int) - [128, 51, 203]).max() <= 1


def test_the_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """Of 200 pictures of 3 MB, one is held at a time."""
    from streamv2v_cli.reports.text import resident_bytes

    data = encoded(np.zeros((1000, 1000, 3), np.uint8))
    (tmp_path / "frames").mkdir()
    for number in range(200):
        (tmp_path / "frames" / f"{number}.png").write_bytes(data)
    with file_source(tmp_path / "frames") as source:
        iterator = iter(source)
        for _ in range(20):
            next(iterator)
        before = resident_bytes()
        assert sum(1 for _ in iterator) == 180
        assert resident_bytes() - before < 100_000_000


def test_untagged_ycbcr_in_an_image_is_full_range_bt601(tmp_path: Path) -> None:
    """As in TIFF 6.0, section 21; of this size a video would be BT.709."""
    colours = np.kron(np.random.default_rng(1).integers(0, 256, (45, 80, 3), np.uint8), np.ones((16, 16, 1)))
    pixels = colours.astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(
        format="yuv444p", dst_colorspace="itu601", dst_color_range="JPEG"
    )
    (tmp_path / "a.tif").write_bytes(compress(frame, "tiff"))
    (frame_read,) = frames_of(tmp_path / "a.tif")
    assert np.abs(frame_read.pixels.astype(int) - pixels).mean() < 2
