"""Fuzzing of what reads strangers' input: settings, headers and descriptions of raw video, damaged media, models.

python -m tools.fuzz settings --seconds 60
python -m tools.fuzz y4m media --seconds 60 --corpus corpus

With atheris (`pip install 'streamv2v[fuzz]'`) the search is guided by coverage of this package's Python code; FFmpeg
itself is a ready-made library and gives none. Without it inputs are mutated at random from a seed. Anything but
success or a `StreamV2VError` is a finding: its input is written to the corpus folder as `crash-...`; the exit code
is then 1.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tools import fuzz_hostile

if TYPE_CHECKING:
    from streamv2v_cli.media.source.inputs import InputOptions

ROOT = Path(__file__).parents[1]
LARGEST = 100_000
AWKWARD = [
    b"\0",
    b"\n",
    b"-1",
    b"9" * 30,
    b"\xff" * 8,
    b"%s",
    b"{",
    b"[",
    b"null",
    b"NaN",
    b"\\ud800",
    b"\x1b",
    b"@",
]


def fuzz_settings(data: bytes) -> None:
    """The first line is an override; the rest is a YAML file, a manifest and prompts over time."""
    from streamv2v_cli.batch.items import read_manifest
    from streamv2v_cli.errors import StreamV2VError
    from streamv2v_cli.prompting.script_reader import read_script
    from streamv2v_cli.settings.resolve import resolve
    from streamv2v_cli.settings.schema import Settings

    line, _, rest = data.partition(b"\n")
    with contextlib.suppress(StreamV2VError):
        resolve(sets=[line.decode(errors="replace")])
    path = _scratch("yaml")
    path.write_bytes(rest)
    for read in (
        lambda: resolve(configs=[str(path)]),
        lambda: read_manifest(path),
        lambda: read_script(path, Settings()),
    ):
        with contextlib.suppress(StreamV2VError):
            read()


def fuzz_media(data: bytes, suffix: str = "bin", options: InputOptions | None = None) -> None:
    """A file through the real media path: read, restyled by nobody, written."""
    from streamv2v_cli.errors import StreamV2VError
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.resolve import resolve
    from streamv2v_cli.transcode.job import open_job
    from streamv2v_cli.transcode.restyle import restyle
    from streamv2v_cli.transcode.translators import make_translator

    path, output = _scratch(suffix), _scratch("mkv")
    path.write_bytes(data)
    sets = ["translator=passthrough", "output.preset=ultrafast"]
    resolved = resolve(sets=sets)
    with (
        contextlib.suppress(StreamV2VError),
        open_job(str(path), output, resolved, overwrite=True, trim=Trim(frames=30), options=options) as job,
    ):
        if job.source.info.width * job.source.info.height <= 1 << 20:
            with contextlib.closing(make_translator(resolved.settings)) as translator:
                restyle(job, translator, quiet=True, progress=False)
    for left in (output, Path(f"{output}.part")):
        left.unlink(missing_ok=True)


def fuzz_y4m(data: bytes) -> None:
    """A Y4M file with whatever header."""
    fuzz_media(b"YUV4MPEG2 " + data, "y4m")


def fuzz_raw(data: bytes) -> None:
    """Raw video, which has no header: its size, rate and pixel format are the first line."""
    from streamv2v_cli.commands.shared import rate_of_input
    from streamv2v_cli.errors import StreamV2VError
    from streamv2v_cli.media.source.inputs import InputOptions

    line, _, rest = data.partition(b"\n")
    size, rate, pix_fmt, *_ = [*line.decode(errors="replace").split(" "), "", "", ""]
    with contextlib.suppress(StreamV2VError):
        options = InputOptions("rawvideo", size, rate_of_input(rate), pix_fmt or None)
        fuzz_media(rest, "raw", options)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "settings": fuzz_settings,
    "y4m": fuzz_y4m,
    "raw": fuzz_raw,
    "media": fuzz_media,
    **fuzz_hostile.TARGETS,
}


def _scratch(suffix: str) -> Path:
    return Path(tempfile.gettempdir(), f"streamv2v-fuzz.{suffix}")


def seeds_of(target: str) -> list[bytes]:
    """What the search begins with."""
    if target in fuzz_hostile.SEEDS:
        return fuzz_hostile.SEEDS[target]()
    if target == "settings":
        presets = [path.read_bytes() for path in (ROOT / "configs").glob("*.yaml")]
        scripts = [(ROOT / "docs" / "prompts-example.yaml").read_bytes()]
        return [b"bank.kind=queue\n" + text for text in presets + scripts] + [
            b"seed=[1, {a: b}]\n- input: a.mp4"
        ]
    if target == "y4m":
        return [
            b"W16 H16 F25:1 Ip A1:1 C420jpeg\nFRAME\n" + bytes(384),
            b"W4 H4 F30000:1001 Cmono\nFRAME\n" + bytes(16),
        ]
    if target == "raw":
        return [b"16x16 25 yuv420p\n" + bytes(1000), b"4x2 30000/1001 rgb24\n" + bytes(100)]
    sys.path.insert(0, str(ROOT / "tests"))
    from helpers import damage

    with tempfile.TemporaryDirectory() as folder:
        return [data for data in damage.whole_clips(Path(folder)).values() if len(data) < LARGEST]


def guided(target: str, seconds: int, corpus: Path) -> None:
    """Let atheris search; does not return."""
    import atheris

    with atheris.instrument_imports(include=["streamv2v_cli"]):
        pass

    arguments = [f"-max_total_time={seconds}", f"-max_len={LARGEST}", "-timeout=60", "-rss_limit_mb=4096"]
    prefix = f"-artifact_prefix={corpus}/"
    atheris.Setup([sys.argv[0], *arguments, prefix, str(corpus)], TARGETS[target])
    atheris.Fuzz()


def unguided(target: str, seconds: int, corpus: Path, seed: int) -> int:
    """Mutate at random; the number of inputs that were tried."""
    chance, pool, tried = random.Random(seed), [path.read_bytes() for path in sorted(corpus.iterdir())], 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = bytearray(chance.choice(pool))
        for _ in range(chance.randrange(1, 8)):
            place = chance.randrange(len(data) + 1)
            match chance.randrange(4):
                case 0:
                    data[place : place + 1] = bytes([chance.randrange(256)])
                case 1:
                    data[place:place] = chance.choice(pool)[: chance.randrange(1, 64)]
                case 2:
                    del data[place : place + chance.randrange(1, 64)]
                case _:
                    data[place:place] = chance.choice(AWKWARD)
        tried += 1
        try:
            TARGETS[target](bytes(data))
        except Exception:
            (corpus / f"crash-{hashlib.sha1(data).hexdigest()}").write_bytes(data)
            raise
    return tried


def one_target(target: str, seconds: int, corpus: Path, seed: int) -> None:
    """In a process of its own: atheris ends it."""
    for data in seeds_of(target):
        (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
    try:
        import atheris  # noqa: F401 - whether it is there
    except ImportError:
        tried = unguided(target, seconds, corpus, seed)
        print(
            f"{target}: {tried} inputs tried, not guided by coverage (atheris is not installed)", flush=True
        )
        return
    guided(target, seconds, corpus)


def main() -> None:
    """Run each target in a process, and print its time and the size of its corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--corpus", type=Path, help="kept from run to run; by default a temporary folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    # Not `choices`: before Python 3.12 they refuse that none is given.
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}, but {', '.join(TARGETS)}")
    if options.one:
        return one_target(options.targets[0], options.seconds, options.corpus, options.seed)
    failed = False
    for target in options.targets or TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            corpus = (options.corpus or Path(folder)) / target
            corpus.mkdir(parents=True, exist_ok=True)
            started = time.monotonic()
            command = [sys.executable, "-m", "tools.fuzz", target, "--one", "--corpus", str(corpus)]
            command += ["--seconds", str(options.seconds), "--seed", str(options.seed)]
            # What it writes is gone with the folder, however it ends.
            environment = {**os.environ, "TMPDIR": folder}
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            print(done.stdout, end="")
            ran = time.monotonic() - started
            found = "clean" if done.returncode == 0 else f"FOUND SOMETHING (exit code {done.returncode})"
            guide = _guide(done.stderr)
            print(
                f"{target}: {found} in {ran:.0f} s; {len(list(corpus.iterdir()))} inputs in the corpus{guide}"
            )
            if done.returncode:
                failed = True
                print("\n".join(done.stderr.splitlines()[-40:]), file=sys.stderr)
    sys.exit(failed)


def _guide(text: str) -> str:
    """What libFuzzer says at its end: `Done 1234 runs in 61 second(s)`."""
    lines = [line for line in text.splitlines() if line.startswith("Done ")]
    return f"; {lines[-1]}, guided by coverage" if lines else ""


if __name__ == "__main__":
    main()
