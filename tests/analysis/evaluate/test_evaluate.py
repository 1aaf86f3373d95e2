"""`streamv2v eval` on real files: what it reads, what it says, and what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.clips import LOSSLESS, look, make_clip, mosaic

from streamv2v_cli.metrics import Comparison

WIDTH, HEIGHT = 96, 64
COUNT = 10
EVENLY = tuple(range(0, 512 * COUNT, 512))
RAFT = ("--flow", "raft", "--flow-weights")
UNEVENLY = (0, 300, 1000, 1512, 2300, 2600, 3300, 4100, 4650, 5000)


def moving(index: int) -> np.ndarray:
    """A soft pattern that moves by two pixels a frame."""
    x, y = np.meshgrid(np.arange(WIDTH) + 2 * index, np.arange(HEIGHT))
    waves = [np.sin(x / 5) + np.cos(y / 4), np.sin((x + y) / 7), np.cos(x / 9 - y / 6)]
    return np.stack([128 + 50 * wave for wave in waves], axis=-1).astype(np.uint8)


def edited(index: int) -> np.ndarray:
    """The same in other colours, a little brighter in every other frame."""
    return 255 - moving(index) // 2 - 20 * (index % 2)


def video(path: Path, picture: Callable[[int], np.ndarray] = moving, **changes: object) -> Path:
    fields = {
        "size": (WIDTH, HEIGHT),
        "pts": EVENLY,
        "codec": "libx264rgb",
        "pix_fmt": "rgb24",
        "options": LOSSLESS,
    }
    return make_clip(path, **{"picture": picture, **fields, **changes})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return video(tmp_path / "source.mkv")


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return video(tmp_path / "result.mkv", edited)


def test_table_and_json_tell_what_the_frames_show(here, source: Path, result: Path, tmp_path: Path) -> None:
    done = here("eval", source, result, "--json", "out.json")
    assert (done.code, done.err) == (0, "")
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["schema"] == "streamv2v.eval/1"
    assert (found["flow"], found["flow_weights"], found["clip"], found["cuts"]) == ("dis", None, None, [])
    assert found["edited"] == {"name": str(result), "width": WIDTH, "height": HEIGHT}
    comparison = Comparison()
    for index, row in enumerate(found["frames"]):
        expected = comparison.push(moving(index), edited(index))
        assert (row["index"], row["time"], row["cut"]) == (index, round(index / 25, 6), False)
        assert row["warp_error"] == pytest.approx(expected.warp_error, abs=1e-3)
        assert row["structure"] == pytest.approx(expected.structure, abs=1e-3)
    means = comparison.means()
    assert found["means"]["frames"] == len(found["frames"]) == COUNT
    assert found["means"]["flicker"] == pytest.approx(means.flicker, abs=1e-3)
    assert 15 < means.flicker < 25
    assert f"{means.warp_error:.4g}" in done.out
    assert done.out.count("not measured") == 2
    assert "10 frames, 0 scene cuts" in done.out
    assert "optical flow: DIS" in " ".join(done.out.split())
    assert not list(tmp_path.glob("*.part"))


def test_json_on_stdout_is_all_there(here, source: Path, result: Path) -> None:
    done = here("eval", source, result, "--json", "-", "--frames", 3)
    assert len(json.loads(done.out)["frames"]) == 3


def test_a_video_against_itself(here, source: Path) -> None:
    found = json.loads(here("eval", source, source, "--json", "-").out)["means"]
    assert found["flicker"] == 0
    assert found["structure"] == pytest.approx(1)
    assert found["warp_error"] == found["source_warp_error"] < 1


@pytest.mark.parametrize("missing", [0, 4, 9])
def test_another_number_of_frames_is_an_error(here, source: Path, tmp_path: Path, missing: int) -> None:
    kept = [index for index in range(COUNT) if index != missing]
    shorter = video(
        tmp_path / "shorter.mkv", lambda place: edited(kept[place]), pts=[EVENLY[index] for index in kept]
    )
    for pair, counts in (((source, shorter), (10, 9)), ((shorter, source), (9, 10))):
        done = here("eval", *pair, "--json", "out.json")
        assert done.code == 1
        assert f"'{pair[0]}' has {counts[0]} frames and '{pair[1]}' has {counts[1]}" in done.err
        assert ("they differ from" in done.err) == (missing == 4)
    assert not list(tmp_path.glob("out.json*"))
    if missing == 9:
        assert here("eval", source, shorter, "--frames", 9).code == 0


def test_as_many_frames_at_other_times_are_an_error(here, source: Path, tmp_path: Path) -> None:
    other = video(tmp_path / "other.mkv", edited, pts=(0, 192, *UNEVENLY[2:]))
    done = here("eval", source, other)
    assert done.code == 1
    message = f"Frame 2 of '{other}' is 0.015 s after its first one, and that of '{source}' 0.040 s."
    assert message in done.err


def test_times_may_be_shifted_and_rounded(here, tmp_path: Path) -> None:
    """As Matroska does it, which counts milliseconds, to a source that begins late."""
    uneven = video(tmp_path / "uneven.mov", pts=[pts + 700 for pts in UNEVENLY], codec="png", options={})
    rounded = video(tmp_path / "rounded.mkv", edited, pts=UNEVENLY)
    assert [float(t) for t in look(uneven).times] != [float(t) for t in look(rounded).times]
    found = json.loads(here("eval", uneven, rounded, "--json", "-").out)
    assert found["means"]["changes"] == COUNT - 1


def test_images_have_no_times_but_an_order(here, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for index in range(COUNT):
        with av.open(str(tmp_path / "frames" / f"{index:03}.png"), "w", format="image2") as image:
            stream = image.add_stream("png", width=WIDTH, height=HEIGHT, pix_fmt="rgb24")
            image.mux(stream.encode(av.VideoFrame.from_ndarray(edited(index), "rgb24")))
            image.mux(stream.encode(None))
    fast = video(tmp_path / "fast.mkv", pts=[pts // 5 for pts in EVENLY], rate=Fraction(125))
    found = json.loads(here("eval", fast, "frames/%03d.png", "--json", "-").out)
    assert found["means"]["frames"] == COUNT
    assert 15 < found["means"]["flicker"] < 25


def test_another_size_is_measured_in_that_of_the_source(here, source: Path, tmp_path: Path) -> None:
    half = video(
        tmp_path / "half.mkv",
        lambda index: np.ascontiguousarray(moving(index)[::2, ::2]),
        size=(WIDTH // 2, HEIGHT // 2),
    )
    done = here("eval", source, half)
    assert done.code == 0
    assert f"warning: '{half}' is 48x32 and is measured in the size of its source, 96x64." in done.err


def test_nothing_is_compared_across_a_cut(here, tmp_path: Path) -> None:
    scenes = video(tmp_path / "scenes.mkv", lambda index: mosaic(index // 5, WIDTH, HEIGHT))
    found = json.loads(here("eval", scenes, scenes, "--json", "-").out)
    assert found["cuts"] == [0.2]
    assert [row["index"] for row in found["frames"] if row["cut"]] == [5]
    assert found["frames"][5]["warp_error"] is None
    assert found["means"]["warp_error"] == 0
    assert found["means"]["changes"] == COUNT - 2


def test_damage_is_told_and_makes_exit_code_3(here, tmp_path: Path) -> None:
    damaged = make_clip(tmp_path / "damaged.mp4", pts=EVENLY, options={"preset": "ultrafast", "g": "1"})
    with av.open(str(damaged)) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0)][4]
    data = bytearray(damaged.read_bytes())
    data[position : position + size] = b"\xff" * size
    damaged.write_bytes(data)
    done = here("eval", damaged, damaged)
    assert done.code == 3
    assert (
        f"warning: {damaged}: The input is damaged: 1 damaged packet was skipped and 1 frame is missing."
        in done.err
    )
    assert "9 frames" in done.out


def test_plots_say_what_they_show(here, source: Path, result: Path, tmp_path: Path) -> None:
    assert here("eval", source, result, "--plot", "out.svg").code == 0
    drawn = (tmp_path / "out.svg").read_text()
    words = (
        "result.mkv against source.mkv",
        "time in s",
        "Warp error",
        "Flicker",
        "Sharpness",
        "Structure kept",
    )
    for text in (*words, "levels²", "levels of 255", "SSIM", "edited", "source", "edited minus source"):
        assert f"<!-- {text}" in drawn
    assert here("eval", source, result, "--plot", "out.png").code == 0
    with av.open(str(tmp_path / "out.png")) as picture:
        (pixels,) = [frame.to_ndarray(format="rgb24") for frame in picture.decode(video=0)]
    assert pixels.shape[1] == 1100
    assert 0.5 < (pixels > 250).all(-1).mean() < 0.99


def test_plots_without_matplotlib(here, monkeypatch, source: Path, result: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    done = here("eval", source, result, "--plot", "out.png")
    assert done.code == 1
    assert "need matplotlib" in done.err
    assert "pip install 'streamv2v[plots]'" in done.err
    assert here("eval", source, result).code == 0


def test_clip_judges_as_well(here, source: Path, result: Path, tmp_path: Path) -> None:
    from helpers.tiny_clip import make_tiny_clip  # which brings torch and transformers, for this one test

    make_tiny_clip(tmp_path / "tiny-clip")
    arguments = ("--clip", "tiny-clip", "--json", "out.json", "--plot", "out.svg")
    done = here("eval", source, result, *arguments, "--prompt", "a cat")
    assert (done.code, done.err) == (0, "")
    assert "not measured" not in done.out
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["clip"], found["prompt"]) == ("tiny-clip", "a cat")
    assert found["frames"][0]["consistency"] is None
    values = [row["consistency"] for row in found["frames"][1:]]
    assert found["means"]["consistency"] == pytest.approx(np.mean(values), abs=1e-4)
    assert -100 <= found["means"]["prompt_score"] <= 100
    assert "<!-- fit to &#x27;a cat&#x27;" in (tmp_path / "out.svg").read_text().replace(
        "'a cat'", "&#x27;a cat&#x27;"
    )


def test_raft_finds_the_motion(
    here, monkeypatch: pytest.MonkeyPatch, source: Path, result: Path, tmp_path: Path
) -> None:
    from helpers.tiny_raft import FlowByHand, install_tiny_raft, save_tiny_raft  # which brings torch

    install_tiny_raft(monkeypatch)
    save_tiny_raft(tmp_path / "raft.pth", 0.3, -0.2)
    arguments = ("--flow", "raft", "--flow-weights", "raft.pth", "--device", "cpu")
    done = here("eval", source, result, *arguments, "--json", "out.json", "--plot", "out.svg")
    assert (done.code, done.err) == (0, "")
    assert "optical flow: RAFT" in " ".join(done.out.split())
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["flow"], found["flow_weights"]) == ("raft", "raft.pth")
    comparison, along_dis = Comparison(FlowByHand(0.3, -0.2)), Comparison()
    for index in range(COUNT):
        comparison.push(moving(index), edited(index))
        along_dis.push(moving(index), edited(index))
    means = comparison.means()
    assert found["means"]["warp_error"] == pytest.approx(means.warp_error, abs=1e-3)
    assert found["means"]["visible"] == pytest.approx(means.visible, abs=1e-3)
    assert abs(means.warp_error - along_dis.means().warp_error) > 1


def test_raft_without_torchvision_or_with_one_that_does_not_fit(
    here, monkeypatch: pytest.MonkeyPatch, source: Path, result: Path, tmp_path: Path
) -> None:
    from helpers.tiny_raft import forget_torchvision, hide_torchvision, save_tiny_raft

    save_tiny_raft(tmp_path / "raft.pth", 0, 0)
    for arguments in (("--flow-weights", "raft.pth"), ()):
        with monkeypatch.context() as patch:
            hide_torchvision(patch)
            done = here(
                "eval", source, result, "--flow", "raft", *arguments, "--json", "out.json", "--no-progress"
            )
        assert (done.code, done.out) == (1, "")
        assert done.err.splitlines() == [
            "error: RAFT needs torchvision, which is not installed.",
            "Run: pip install 'streamv2v[raft]', or use --flow dis.",
        ]
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    forget_torchvision(monkeypatch)
    done = here("eval", source, result, "--flow", "raft", "--json", "out.json")
    assert (done.code, done.out) == (1, "")
    assert "operator torchvision::nms does not exist.\nInstall the torchvision" in done.err
    assert not list(tmp_path.glob("out.json*"))


def test_what_raft_fetches_is_told(
    here, monkeypatch: pytest.MonkeyPatch, source: Path, tmp_path: Path
) -> None:
    import torch
    from helpers.tiny_raft import install_tiny_raft, save_tiny_raft
    from huggingface_hub import constants

    def download(url: str, path: str, hash_prefix: str, progress: bool) -> None:
        assert (url, hash_prefix, progress) == ("https://example.org/raft-1234abcd.pth", "1234abcd", False)
        save_tiny_raft(Path(path), 0, 0)

    install_tiny_raft(monkeypatch, "https://example.org/raft-1234abcd.pth")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    arguments = ("eval", source, source, "--flow", "raft", "--json", "-")
    done = here(*arguments)
    assert (done.code, done.out) == (1, "")
    assert "HF_HUB_OFFLINE forbids fetching them.\nDownload https://example.org/raft-1234abcd.pth" in done.err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for options, err in (
        ((), "fetching raft-1234abcd.pth, the weights of RAFT, from example.org\n"),
        ((), ""),
        (("-q",), ""),
    ):
        done = here(*arguments, *options)
        assert (done.code, done.err) == (0, err)
        assert json.loads(done.out)["flow_weights"] == "raft-1234abcd.pth"
        if not err:
            (tmp_path / "hub" / "checkpoints" / "raft-1234abcd.pth").unlink()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("source.mkv", "nothere.mp4"), 1, "'nothere.mp4' cannot be opened"),
        (("source.mkv", "text.mp4"), 1, "'text.mp4' cannot be opened"),
        (("-", "-"), 2, "cannot come from the standard input"),
        (("camera:0", "source.mkv"), 2, "'camera:0' is live"),
        (("source.mkv", "source.mkv", "--json", "source.mkv"), 2, "--json source.mkv would overwrite"),
        (("source.mkv", "source.mkv", "--json", "no/where.json"), 2, "does not exist"),
        (("source.mkv", "source.mkv", "--plot", "plot.txt"), 2, "not a format for plots"),
        (("source.mkv", "source.mkv", "--plot", "a.svg", "--json", "a.svg"), 2, "both name a.svg"),
        (("source.mkv", "source.mkv", "--prompt", "a cat"), 2, "--prompt is for CLIP"),
        (("source.mkv", "source.mkv", "--clip", "./nowhere"), 1, "'./nowhere' does not exist"),
        (("source.mkv", "source.mkv", "--device", "cpu"), 2, "--device is for CLIP and RAFT"),
        (("source.mkv", "source.mkv", "--flow", "lucas"), 2, "'lucas' is not one of"),
        (("source.mkv", "source.mkv", "--flow-weights", "text.mp4"), 2, "the flow is DIS"),
        (("source.mkv", "source.mkv", *RAFT, "nowhere.pth"), 1, "'nowhere.pth' do not exist"),
        (("source.mkv", "source.mkv", *RAFT, "text.mp4"), 1, "'text.mp4' are not a weights file"),
        (("source.mkv", "source.mkv", *RAFT, "a.pth", "--json", "a.pth"), 2, "--json a.pth would overwrite"),
        (("source.mkv", "source.mkv", *RAFT, "a.pth", "--device", "cuda:99"), 1, "cuda:99"),
        (("source.mkv", "source.mkv", *RAFT, "a.pth", "--device", "gpu"), 2, "--device"),
    ],
)
def test_what_is_refused(
    here, source: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    done = here("eval", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "Traceback" not in done.err
