"""The clips of DAVIS 2017, and the prompts that they are restyled by."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import yaml

__all__ = ["ADDRESS", "PAIRS", "obtain_davis", "read_pairs"]

ADDRESS = "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip"
"""What the authors of DAVIS publish: 0.8 GB, all clips at 480p as JPEG images."""

_IMAGES = Path("JPEGImages", "480p")
_TIMEOUT = 60
_MIB = 2**20
_STYLES = (
    "a pixel art",
    "an oil painting",
    "a Van Gogh style painting",
    "an anime style picture",
    "a watercolour painting",
    "a cartoon",
    "a pencil sketch",
    "a low-poly rendering",
)
_SUBJECTS = {
    "bear": "a bear walking over rocks",
    "blackswan": "a black swan on a river",
    "breakdance-flare": "a man doing a handstand on the street",
    "camel": "a camel in its enclosure",
    "car-roundabout": "a car on a roundabout",
    "car-shadow": "a car in a street",
    "cows": "a cow on a meadow",
    "dance-twirl": "a dancer in front of a crowd",
    "dog": "a dog on a lawn",
    "elephant": "an elephant",
    "flamingo": "a flamingo in shallow water",
    "goat": "a goat on a rocky slope",
    "hike": "a hiker in the mountains",
    "horsejump-high": "a rider jumping over a fence",
    "lucia": "a woman walking through a park",
    "mallard-water": "a duck on a pond",
    "parkour": "a man running over walls",
    "rhino": "a rhinoceros",
    "rollerblade": "a man on roller skates",
}
_WITH_FOUR = 10


def _own_pairs() -> list[tuple[str, str]]:
    """67 pairs of 19 clips: four styles for the first ten, three for each of the others."""
    return [
        (clip, f"{_STYLES[(place + turn) % len(_STYLES)]} of {subject}")
        for place, (clip, subject) in enumerate(_SUBJECTS.items())
        for turn in range(4 if place < _WITH_FOUR else 3)
    ]


PAIRS = _own_pairs()
"""As many clips and prompts as the paper has, all object-centric; it does not say which ones those were."""


def read_pairs(file: Path) -> list[tuple[str, str]]:
    """Pairs of a YAML file that has a prompt, or a list of prompts, for each name of a clip.

    Raises:
        ValueError: it has another form.
    """
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not content:
        raise ValueError(f"'{file}' must have a prompt, or a list of prompts, for each clip.")
    pairs = []
    for clip, prompts in content.items():
        for prompt in prompts if isinstance(prompts, list) else [prompts]:
            if not isinstance(prompt, str):
                raise ValueError(f"'{file}', {clip}: a prompt is text, not {prompt!r}.")
            pairs.append((str(clip), prompt))
    return pairs


def obtain_davis(
    folder: Path | None, work: Path, clips: list[str], address: str = ADDRESS
) -> dict[str, Path]:
    """The folder with the images of each clip.

    Args:
        folder: a DAVIS that is there; None to download what is not yet in `work`.
        work: holds what is downloaded, as `DAVIS`.
        clips: names.
        address: where it is downloaded from.

    Raises:
        FileNotFoundError: DAVIS, or a clip of it, is not there.
        OSError: it cannot be downloaded.
    """
    root = folder or work / "DAVIS"
    missing = [clip for clip in clips if not any((root / _IMAGES / clip).glob("*.jpg"))]
    if missing and folder is None:
        _unpack(_downloaded(address, work), missing, work)
        missing = [clip for clip in missing if not any((root / _IMAGES / clip).glob("*.jpg"))]
    if missing:
        raise FileNotFoundError(f"'{root / _IMAGES}' has no images of {', '.join(missing)}.")
    return {clip: root / _IMAGES / clip for clip in clips}


def _downloaded(address: str, work: Path) -> Path:
    """The archive; what was begun before is fetched anew."""
    archive, part = work / "davis.zip", work / "davis.zip.part"
    if archive.exists():
        return archive
    print(f"downloading {address}", file=sys.stderr, flush=True)
    try:
        with urlopen(address, timeout=_TIMEOUT) as answer, part.open("wb") as file:
            size = int(answer.headers.get("Content-Length") or 0)
            free = shutil.disk_usage(work).free
            if free < 2 * size:
                raise OSError(f"DAVIS takes {2 * size // _MIB} MiB, and '{work}' has {free // _MIB} MiB.")
            shutil.copyfileobj(answer, file, _MIB)
        if size and part.stat().st_size != size:
            raise OSError(f"{address} ended early.")
    except URLError as error:
        raise OSError(
            f"{address} cannot be downloaded: {error.reason}. Download it elsewhere and give --davis DIR."
        ) from error
    return part.replace(archive)


def _unpack(archive: Path, clips: list[str], work: Path) -> None:
    """Take the images of the clips out of the archive; what is damaged raises an error, and is deleted."""
    starts = tuple(f"DAVIS/{_IMAGES.as_posix()}/{clip}/" for clip in clips)
    try:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(work, [name for name in opened.namelist() if name.startswith(starts)])
    except zipfile.BadZipFile as error:
        archive.unlink()
        raise OSError(f"'{archive}' was damaged ({error}) and is deleted: run it again.") from error
