"""`make paper` from nothing: DAVIS's folders, tiny random models, and tables beside what was published."""

from __future__ import annotations

import functools
import http.server
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import mosaic
from helpers.tiny import make_tiny_pipeline
from helpers.tiny_clip import make_tiny_clip
from PIL import Image

from benchmarks.paper.__main__ import main
from benchmarks.paper.davis import PAIRS, obtain_davis, read_pairs
from benchmarks.paper.published import TABLES
from streamv2v_cli.analysis.ablation.tables import measure, table_of
from streamv2v_cli.models import load_model
from streamv2v_cli.settings.resolve import resolve

FRAMES = 2


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Two clips of a picture that moves, as DAVIS has them."""
    for scene, clip in enumerate(("bear", "dog")):
        folder = tmp_path / "DAVIS" / "JPEGImages" / "480p" / clip
        folder.mkdir(parents=True)
        for number in range(FRAMES):
            picture = np.roll(mosaic(scene), 2 * number, axis=1)
            Image.fromarray(picture).save(folder / f"{number:05}.jpg", quality=95)
    return tmp_path / "DAVIS"


@pytest.fixture
def address(davis: Path, tmp_path: Path) -> Iterator[str]:
    """The archive of it on a server of this machine."""
    (tmp_path / "served").mkdir()
    with zipfile.ZipFile(tmp_path / "served" / "davis.zip", "w") as archive:
        for file in sorted(davis.rglob("*.jpg")):
            archive.write(file, Path("DAVIS") / file.relative_to(davis))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/davis.zip"
        server.shutdown()


def rows_of(text: str, title: str) -> dict[str, list[str]]:
    """The cells of a table in Markdown by the first of each row."""
    part = text.split(f"## {title}")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows if "---" not in row[0]}


def test_tables_beside_the_published_ones(address: str, tmp_path: Path, capsys: Any) -> None:
    model, clip = make_tiny_pipeline(tmp_path / "model"), make_tiny_clip(tmp_path / "clip")
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text("bear: a red bear\ndog: a blue dog\n")
    sets = [f"model={model}", "weights.lcm_lora=none", "frame.size=24", "compute.dtype=float32"]
    out = tmp_path / "out"
    arguments = ["-o", str(out), "--davis-address", address, "--pairs", str(pairs), "--flow", "dis"]
    arguments += ["--clip", str(clip), *(word for text in sets for word in ("--set", text))]
    main(arguments)
    shown = capsys.readouterr()
    text = (out / "paper.md").read_text()
    assert text in shown.out
    assert shown.err.count("DyMe: ") == 2

    table = rows_of(text, "Table 1")
    assert table["FlowVid"] == ["96.68", "-", "111.1", "-", "-5.1 %", "-"]
    assert table["StreamV2V"][::2] == ["96.58", "103", "-12.0 %"]
    assert "-" not in table["StreamDiffusion"] + table["StreamV2V"]
    assert rows_of(text, "Table 2")["queue 4"][:2] == ["100", rows_of(text, "Table 2")["queue 4"][1]]
    assert list(rows_of(text, "Figure 8")) == ["row", "neither", "EA", "FF", "EA and FF"]
    assert list(rows_of(text, "Appendix A.4")) == ["row", "1", "2", "4"]

    # A cell is what `ablate` measures of that clip, prompt and preset.
    results = json.loads((out / "results.json").read_text())["tables"]["bank"]["variants"]
    cells = {variant["name"]: variant["clips"] for variant in results}
    settings = resolve(configs=["published"], sets=[*sets, "prompt=a blue dog"]).settings
    assert settings.bank.update == "tick"
    alone = measure(load_model(settings), settings, str(out / "DAVIS/JPEGImages/480p/dog"), progress=False)
    assert cells["DyMe"]["dog: a blue dog"]["frames"] == alone.frames == FRAMES
    warp = {pair: cell["figures"]["warp_error"] for pair, cell in cells["DyMe"].items()}
    assert warp["dog: a blue dog"] == pytest.approx(alone.figures["warp_error"])
    assert float(table["StreamV2V"][3]) == pytest.approx(sum(warp.values()) / 2, rel=1e-3)

    # What is finished is neither downloaded nor measured again.
    main([*arguments, "--davis-address", "http://127.0.0.1:1/none"])
    assert capsys.readouterr().err == ""


def test_the_published_rows_are_ours_where_they_have_a_figure_of_ours() -> None:
    settings = resolve(configs=["published"]).settings
    for table in TABLES:
        ours = {variant.name for variant in table_of(table.table, settings).variants}
        assert ours & set(table.rows), table.title
        assert set(table.names) <= ours


def test_pairs(tmp_path: Path) -> None:
    assert (len(PAIRS), len(set(PAIRS)), len({clip for clip, _ in PAIRS})) == (67, 67, 19)
    file = tmp_path / "pairs.yaml"
    file.write_text("dog: [a, b]\nbear: c\n")
    assert read_pairs(file) == [("dog", "a"), ("dog", "b"), ("bear", "c")]
    for wrong in ("", "- dog", "dog: [1]"):
        file.write_text(wrong)
        with pytest.raises(ValueError, match="prompt"):
            read_pairs(file)


def test_what_of_davis_is_missing_or_damaged_is_said(davis: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no images of cows\."):
        obtain_davis(davis, tmp_path, ["dog", "cows"])
    (tmp_path / "work").mkdir()
    with pytest.raises(OSError, match=r"cannot be downloaded: .* give --davis DIR"):
        obtain_davis(None, tmp_path / "work", ["dog"], "http://127.0.0.1:1/davis.zip")
    (tmp_path / "work" / "davis.zip").write_bytes(b"half")
    with pytest.raises(OSError, match="damaged"):
        obtain_davis(None, tmp_path / "work", ["dog"])
    assert not (tmp_path / "work" / "davis.zip").exists()


def test_an_error_is_one_line(davis: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="papr"):
        main(["-o", str(tmp_path / "out"), "--davis", str(davis), "--config", "papr"])
