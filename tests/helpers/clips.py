"""Small video files for tests, written with PyAV alone, and what is in a file read back with PyAV alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags

WIDTH, HEIGHT = 64, 48
TICK = Fraction(1, 12800)
LOSSLESS = {"qp": "0", "preset": "ultrafast"}
CELL = 16


def numbered(index: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A picture that says its number: twelve black or white cells, which survive any encoder."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    for bit in range(12):
        row, column = divmod(bit, 4)
        value = 235 if index >> bit & 1 else 20
        pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = value
    return pixels


def mosaic(scene: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A picture of grey tiles that differ from scene to scene."""
    tiles = np.random.default_rng(scene).integers(20, 236, (height // 4, width // 4, 1), np.uint8)
    return tiles.repeat(4, axis=0).repeat(4, axis=1).repeat(3, axis=2)


def number_of(pixels: np.ndarray) -> int:
    """The number that `numbered` wrote."""
    cells = [divmod(bit, 4) for bit in range(12)]
    centres = [pixels[row * CELL + CELL // 2, column * CELL + CELL // 2].mean() for row, column in cells]
    return sum((value > 128) << bit for bit, value in enumerate(centres))


def sine(time: np.ndarray, hertz: int) -> np.ndarray:
    """A steady tone."""
    return 0.3 * np.sin(2 * np.pi * hertz * time)


@dataclass
class Clip:
    """What `make_clip` writes.

    Attributes:
        pts: of the frames, in ticks of `time_base`; `durations` too.
        picture: index -> (height, width, 3) RGB pixels, or a function that gives an av.VideoFrame.
        rotation: degrees counter-clockwise, mirrored and flipped, for the display matrix.
        tones: start in seconds of each sound track.
        languages: of the sound tracks.
        sound: seconds from the beginning of a track, its pitch -> samples from -1 to 1.
    """

    pts: Sequence[int] = tuple(range(0, 512 * 24, 512))
    durations: Sequence[int] | None = None
    time_base: Fraction = TICK
    rate: Fraction = Fraction(25)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "crf": "10"})
    format: str | None = None
    container_options: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (WIDTH, HEIGHT)
    picture: Callable[[int], Any] = numbered
    tags: tuple[int, int, int, int] = (2, 0, 2, 2)
    rotation: tuple[int, bool, bool] | None = None
    aspect: Fraction | None = None
    tones: Sequence[float] = ()
    audio_codec: str = "aac"
    languages: Sequence[str] = ()
    sound: Callable[[np.ndarray, int], np.ndarray] = sine
    chapters: Sequence[Any] = ()
    metadata: dict[str, str] = field(default_factory=dict)


def make_clip(path: Path, clip: Clip | None = None, **changes: Any) -> Path:
    """Write a clip; `changes` are fields of `Clip`."""
    clip = clip or Clip(**changes)
    with av.open(str(path), "w", format=clip.format, container_options=clip.container_options) as output:
        video = _video_stream(output, clip)
        sounds = [output.add_stream(clip.audio_codec, rate=48000) for _ in clip.tones]
        for sound in sounds:
            sound.time_base = Fraction(1, 48000)
        for sound, language in zip(sounds, clip.languages, strict=False):
            sound.metadata["language"] = language
        output.metadata.update(clip.metadata)
        if clip.chapters:
            output.set_chapters(list(clip.chapters))
        for number, sound in enumerate(sounds):
            _mux_tone(output, sound, clip, clip.tones[number], 300 * (number + 1))
        for index, pts in enumerate(clip.pts):
            output.mux(video.encode(_frame(clip, index, pts)))
        output.mux(video.encode(None))
    return path


def _video_stream(output: Any, clip: Clip) -> Any:
    video = output.add_stream(clip.codec, rate=clip.rate, options=dict(clip.options))
    video.width, video.height = clip.size
    video.pix_fmt = clip.pix_fmt
    context = video.codec_context
    context.time_base = clip.time_base
    video.time_base = clip.time_base
    context.flags |= int(Flags.frame_duration)
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = clip.tags
    if clip.aspect:
        context.sample_aspect_ratio = clip.aspect
    if clip.rotation:
        degrees, mirrored, flipped = clip.rotation
        video.set_display_rotation(degrees, mirrored, flipped)
    return video


def _frame(clip: Clip, index: int, pts: int) -> Any:
    picture = clip.picture(index)
    frame = av.VideoFrame.from_ndarray(picture, "rgb24") if isinstance(picture, np.ndarray) else picture
    frame.pts, frame.time_base = pts, clip.time_base
    usual = round(1 / (clip.rate * clip.time_base))
    frame.duration = clip.durations[index] if clip.durations else usual
    return frame


def _mux_tone(output: Any, stream: Any, clip: Clip, start: float, hertz: int) -> None:
    """One second of sound for each second of video, muxed ahead of it; the muxer interleaves."""
    seconds = float((clip.pts[-1] - clip.pts[0]) * clip.time_base) + 0.2
    size = stream.codec_context.frame_size or 1024
    for block in range(int(seconds * 48000) // size):
        time = (np.arange(size) + block * size) / 48000
        wave = clip.sound(time, hertz).astype(np.float32)
        frame = _sound(wave, stream.codec_context.format)
        frame.sample_rate = 48000
        frame.pts, frame.time_base = round(start * 48000) + block * size, Fraction(1, 48000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def _sound(wave: np.ndarray, format: Any) -> Any:
    """The same sound left and right, in the encoder's sample format."""
    kinds = {"flt": (np.float32, 1), "s16": (np.int16, 2**15 - 1), "s32": (np.int32, 2**31 - 1)}
    kind, loudest = kinds[format.name.removesuffix("p")]
    samples = (wave.astype(np.float64) * loudest).astype(kind)
    both = np.stack([samples, samples]) if format.is_planar else samples.repeat(2)[None]
    return av.AudioFrame.from_ndarray(both, format.name, "stereo")


@dataclass
class Seen:
    """What PyAV sees in a file.

    Attributes:
        times: of the frames, in seconds, in order of presentation.
        last_end: when the last frame ends, in seconds, from the container's header.
        sounds: for each audio track its packets that are not hidden, as (start in seconds, hash).
    """

    times: list[Fraction]
    pixels: list[np.ndarray]
    last_end: float
    tick: Fraction
    width: int
    height: int
    aspect: Fraction | None
    tags: tuple[int, int, int, int]
    sounds: list[list[tuple[Fraction, str]]]
    metadata: dict[str, str]
    chapters: list[Any]

    @property
    def numbers(self) -> list[int]:
        """The numbers of the frames, as `numbered` wrote them."""
        return [number_of(pixels) for pixels in self.pixels]


def _seconds(item: Any) -> Fraction:
    return Fraction(item.pts * item.time_base)


def look(path: Path) -> Seen:
    """Read a file back."""
    with av.open(str(path)) as container:
        video: Any = container.streams.video[0]
        frames: list[tuple[Fraction, np.ndarray]] = [
            (_seconds(frame), frame.to_ndarray(format="rgb24")) for frame in container.decode(video)
        ]
        context = video.codec_context
        tags = (context.colorspace, context.color_range, context.color_primaries, context.color_trc)
        seen = Seen(
            times=[time for time, _ in frames],
            pixels=[pixels for _, pixels in frames],
            last_end=((container.start_time or 0) + (container.duration or 0)) / av.time_base,
            tick=video.time_base,
            width=video.width,
            height=video.height,
            aspect=video.sample_aspect_ratio,
            tags=tags,
            sounds=[],
            metadata=dict(container.metadata),
            chapters=container.chapters(),
        )
    with av.open(str(path)) as container:
        tracks: dict[int, list[tuple[Fraction, str]]] = {
            stream.index: [] for stream in container.streams.audio
        }
        for packet in container.demux(*container.streams.audio) if tracks else ():
            if packet.size and not packet.is_discard:
                tracks[packet.stream.index].append((_seconds(packet), hashlib.md5(bytes(packet)).hexdigest()))
        seen.sounds = list(tracks.values())
    return seen
