"""Inputs of many kinds, made with ffmpeg, passed through unchanged, and compared with what ffprobe says of them.

python -m tools.sweep            # prints the table, and writes it into docs/reliability.md
python -m tools.sweep NAME...    # only these inputs; writes nothing
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

from tools.ffprobe import frame_times, packets, streams

__all__ = ["INPUTS", "main"]

_DOCUMENT = Path("docs/reliability.md")
_BEGIN, _END = "<!-- sweep: begin -->", "<!-- sweep: end -->"
_OUTPUTS = (".mp4", ".mkv")
_NOT_TRIED = "-"
_OFF = Fraction(2, 1000)
"""Seconds: containers round to milliseconds, on both sides."""
_SOUND_OFF = Fraction(3, 100)
"""Seconds of sound: a packet that is hidden in part may be left out."""

PICTURES = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=2"
TONE = "-f lavfi -i sine=sample_rate=48000:duration=2"
BOTH = f"{PICTURES} {TONE}"
X265 = "-c:v libx265 -preset ultrafast -x265-params log-level=none"

INPUTS: dict[str, str] = {
    "odd time base.mp4": f"{PICTURES} -c:v libx264 -video_track_timescale 12345",
    "ntsc.mov": f"{BOTH} -r 30000/1001 -c:v libx264 -c:a pcm_s16le",
    "1 fps.mp4": "-f lavfi -i testsrc2=size=160x120:rate=1:duration=5 -c:v libx264",
    "1000 fps.mp4": "-f lavfi -i testsrc2=size=160x120:rate=1000:duration=0.2 -c:v libx264",
    "one frame.mp4": f"{PICTURES} -frames:v 1 -c:v libx264",
    "one frame.mkv": f"{PICTURES} -frames:v 1 -c:v ffv1",
    "open GOP.ts": f"{BOTH} -c:v libx264 -g 12 -x264-params open-gop=1 -c:a aac",
    "open GOP HEVC.mkv": f"{PICTURES} {X265}:open-gop=1:keyint=12",
    "B-pyramid.mkv": f"{PICTURES} -c:v libx264 -bf 8 -b-pyramid normal -b_strategy 0",
    "B-pyramid HEVC.mp4": f"{PICTURES} {X265}:bframes=4:b-adapt=0:b-pyramid=1",
    "fields H.264.ts": f"{BOTH} -vf interlace -c:v libx264 -flags +ilme+ildct -x264-params tff=1 -c:a mp2",
    "fields MPEG-2.mpg": f"{BOTH} -vf interlace -c:v mpeg2video -flags +ilme+ildct -bf 2 -c:a mp2",
    "MPEG-1.mpg": f"{BOTH} -c:v mpeg1video -bf 2 -c:a mp2",
    "DVD.vob": f"{BOTH} -target pal-dvd",
    "negative start.mkv": f"{BOTH} -c:v libx264 -c:a aac -output_ts_offset -0.5 -avoid_negative_ts disabled",
    "negative start.ts": f"{BOTH} -c:v libx264 -c:a aac -output_ts_offset -2 -avoid_negative_ts disabled",
    "late start.mp4": f"{BOTH} -c:v libx264 -c:a aac -output_ts_offset 7.3",
    "late picture.mp4": f"-itsoffset 0.7 {PICTURES} {TONE} -c:v libx264 -c:a aac",
    "late sound.mkv": f"{PICTURES} -itsoffset 0.7 {TONE} -c:v libx264 -c:a libopus",
    "longer sound.mp4": f"{PICTURES} -f lavfi -i sine=duration=4 -c:v libx264 -c:a aac",
    "shorter sound.mp4": f"{PICTURES} -f lavfi -i sine=duration=1 -c:v libx264 -c:a aac",
    "eight tracks.mkv": f"{BOTH} -map 0 {'-map 1 ' * 8} -c:v libx264 -c:a ac3",
    "two programmes.ts": f"{BOTH} -map 0 -map 1 -map 0 -map 1 -c:v mpeg2video -c:a mp2 "
    "-program st=0:st=1 -program st=2:st=3",
    "timecode.mov": f"{BOTH} -timecode 01:00:00:00 -c:v prores_ks -c:a pcm_s24le",
    "variable.mkv": f"{PICTURES} -vf select=not(mod(n\\,3))+lt(n\\,20) -fps_mode vfr -c:v libx264",
    "variable.mp4": f"{PICTURES} -vf select=not(mod(n\\,7))+gt(n\\,30) -fps_mode vfr -c:v libx264 -bf 3",
    "fragments.mp4": f"{BOTH} -c:v libx264 -c:a aac -movflags frag_keyframe+empty_moov -g 10",
    "each frame a fragment.mp4": f"{BOTH} -c:v libx264 -c:a aac -movflags frag_every_frame+empty_moov",
    "DASH fragments.mp4": f"{BOTH} -c:v libx264 -c:a aac -movflags dash+delay_moov -g 10",
    "cut without encoding.mp4": f"{BOTH} -c:v libx264 -c:a aac | -ss 0.7 -c copy",
    "cut without encoding.mkv": f"{BOTH} -c:v libx264 -c:a aac | -ss 0.7 -c copy",
    "cut without encoding.ts": f"{BOTH} -c:v libx264 -g 12 -c:a aac | -ss 0.7 -c copy",
    "phone.3gp": f"{PICTURES} -f lavfi -i sine=sample_rate=8000:duration=2 -s 176x144 -c:v h263 -c:a aac -ar 8000",
    "Sorenson.flv": f"{BOTH} -c:v flv -c:a libmp3lame -ar 44100",
    "H.264.flv": f"{BOTH} -c:v libx264 -bf 3 -c:a aac",
    "alpha.webm": f"{PICTURES} -vf format=yuva420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8",
    "VP8.webm": f"{BOTH} -c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -c:a libvorbis",
    "VP9 hidden frames.webm": f"{BOTH} -c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 25 -cpu-used 5 -c:a libopus",
    "AV1.mp4": f"{PICTURES} -c:v libsvtav1 -preset 12",
    "AV1.mkv": f"{PICTURES} -c:v libaom-av1 -cpu-used 8 -lag-in-frames 19",
    "Theora.ogg": f"{BOTH} -c:v libtheora -c:a libvorbis",
    "Theora and FLAC.ogv": f"{BOTH} -c:v libtheora -c:a flac",
    "broadcast.mxf": f"{BOTH} -c:v mpeg2video -bf 2 -c:a pcm_s16le",
    "broadcast.gxf": f"{BOTH} -s 720x576 -c:v mpeg2video -c:a pcm_s16le",
    "plain.nut": f"{BOTH} -c:v libx264 -bf 3 -c:a libmp3lame",
    "plain.y4m": f"{PICTURES} -pix_fmt yuv420p",
    "MJPEG.mov": f"{BOTH} -c:v mjpeg -c:a adpcm_ima_qt -ac 2",
    "FFV1 and FLAC.mkv": f"{BOTH} -c:v ffv1 -c:a flac",
    "raw.avi": f"{BOTH} -c:v rawvideo -pix_fmt yuv420p -c:a pcm_s16le",
    "Huffyuv.avi": f"{BOTH} -c:v huffyuv -c:a libmp3lame",
    "DV.dv": f"{BOTH} -target pal-dv",
    "DV.mov": f"{BOTH} -s 720x576 -pix_fmt yuv420p -c:v dvvideo -c:a pcm_s16le",
    "MPEG-4 with B-frames.avi": f"{BOTH} -c:v mpeg4 -bf 2 -c:a libmp3lame",
    "H.264 with B-frames.avi": f"{BOTH} -c:v libx264 -bf 3 -c:a ac3",
    "WMV.wmv": f"{BOTH} -c:v wmv2 -c:a wmav2",
    "H.264.h264": f"{PICTURES} -c:v libx264 -bf 3",
    "HEVC.hevc": f"{PICTURES} {X265}",
    "MPEG-2.m2v": f"{PICTURES} -c:v mpeg2video -bf 2",
    "GIF.gif": f"{PICTURES}",
    "rotated.mp4": f"{BOTH} -c:v libx264 -c:a aac | -c copy -metadata:s:v rotate=90",
    "wide pixels.mpg": f"{PICTURES} -vf setsar=16/11 -c:v mpeg2video",
    "QuickTime Animation.mov": f"{PICTURES} -c:v qtrle",
}
"""Name of an input -> arguments of ffmpeg; after `|` those of a second run on the result of the first."""


def main(wanted: Sequence[str]) -> int:
    """Try the inputs, print what came of them; 1 if one failed."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted or INPUTS:
            outcome = _tried(Path(folder), name)
            rows.append((name, *outcome))
            print(" | ".join(rows[-1]), flush=True)
    if not wanted:
        _document(rows)
    return int(any(found not in ("ok", _NOT_TRIED) for row in rows for found in row[2:]))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _tried(folder: Path, name: str) -> list[str]:
    source = folder / name
    try:
        _make(source, INPUTS[name])
    except subprocess.CalledProcessError:
        return ["not made: this ffmpeg has no such encoder", *[_NOT_TRIED] * len(_OUTPUTS)]
    times = frame_times(source)
    sounds = len(streams(source, "a"))
    content = ", ".join([_counted(len(times), "frame"), *([_counted(sounds, "sound")] if sounds else [])])
    return [content, *(_difference(source, folder / f"out{suffix}", times) or "ok" for suffix in _OUTPUTS)]


def _make(path: Path, arguments: str) -> None:
    first, _, second = arguments.partition(" | ")
    made = path.with_name(f"before{path.suffix}") if second else path
    for command in [[*first.split(), made], [*(["-i", made, *second.split(), path] if second else [])]]:
        if command:
            if "-ss" in command:  # before the input, so that the cut is at a keyframe
                at = command.index("-ss")
                command = [*command[at : at + 2], *command[:at], *command[at + 2 :]]
            run = ["ffmpeg", "-v", "error", "-y", *map(str, command)]
            subprocess.run(run, check=True, capture_output=True)


def _difference(source: Path, output: Path, before: list[Fraction | None]) -> str:
    """What differs between an input and what became of it; empty if nothing does."""
    command = [sys.executable, "-m", "streamv2v_cli", "run", str(source), "--translator", "passthrough"]
    done = subprocess.run(
        [*command, "--preset", "ultrafast", "-q", "--no-progress", "--verify", "-y", "-o", str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"exit code {done.returncode}: {done.stderr.strip().splitlines()[0]}"
    after = [time for time in frame_times(output) if time is not None]
    if len(after) != len(before):
        return f"{len(after)} frames"
    known = [(new, old) for new, old in zip(after, before, strict=True) if old is not None]
    first = known[0] if known else (Fraction(0), Fraction(0))
    late = max((abs((new - first[0]) - (old - first[1])) for new, old in known), default=Fraction(0))
    if late > _OFF:
        return f"a frame is off by {float(late):.3f} s"
    if any(new <= old for old, new in pairwise(after)):
        return "times do not increase"
    return _sounds_differ(source, output, first[0] - first[1])


def _sounds_differ(source: Path, output: Path, shift: Fraction) -> str:
    old, new = streams(source, "a"), streams(output, "a")
    if len(old) != len(new):
        return f"{len(new)} sounds"
    for index, (one, other) in enumerate(zip(old, new, strict=True)):
        if one["codec_name"] != other["codec_name"]:
            continue  # converted
        heard, kept = packets(source, f"a:{index}"), packets(output, f"a:{index}")
        off = max(abs(kept[0] - heard[0] - shift), abs(kept[-1] - heard[-1] - shift))
        if off > _SOUND_OFF:
            return f"sound {index} is off by {float(off):.3f} s"
        if abs(len(kept) - len(heard)) > 1:
            return f"sound {index} has {len(kept)} packets of {len(heard)}"
    return ""


def _document(rows: list[tuple[str, ...]]) -> None:
    """Write the table into the document, between its marks."""
    version = subprocess.run(
        ["ffmpeg", "-version"], check=True, capture_output=True, text=True
    ).stdout.split()[2]
    lines = [
        f"`make sweep`, with ffmpeg and ffprobe {version}, PyAV {av.__version__} (FFmpeg {av.ffmpeg_version_info}) "
        f"and Python {platform.python_version()}:",
        "",
        "| input | holds | to MP4 | to Matroska |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    text = _DOCUMENT.read_text()
    marked = f"{_BEGIN}\n" + "\n".join(lines) + f"\n{_END}"
    pattern = re.escape(_BEGIN) + ".*?" + re.escape(_END)
    _DOCUMENT.write_text(re.sub(pattern, lambda _: marked, text, flags=re.DOTALL))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
