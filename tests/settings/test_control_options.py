from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from streamv2v_cli.settings.resolve import resolve, to_yaml
from streamv2v_cli.settings.schema import ControlNet


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("canny", {"source": "canny"}),
        ("canny:0.7", {"source": "canny", "weight": 0.7}),
        ("./net:tile", {"source": "./net", "preprocessor": "tile"}),
        ("a/b:softedge:1.5", {"source": "a/b", "preprocessor": "softedge", "weight": 1.5}),
        ("a/b:0-0.5", {"source": "a/b", "end": 0.5}),
        (
            "c:/nets/depth:video:.5:0.25-1",
            {"source": "c:/nets/depth", "preprocessor": "video", "weight": 0.5, "start": 0.25},
        ),
        ("net:other", {"source": "net:other"}),
        ("0.5", {"source": "0.5"}),
    ],
)
def test_the_short_form(text: str, wanted: dict[str, Any]) -> None:
    assert ControlNet.model_validate(text) == ControlNet.model_validate(wanted)


@pytest.mark.parametrize("text", ["canny:11", "canny:-1", "canny:0.5-0.5", "canny:0.6-0.4", "canny:0-2"])
def test_ranges(text: str) -> None:
    with pytest.raises(ValidationError):
        ControlNet.model_validate(text)


def test_pictures_from_a_video_need_one() -> None:
    from streamv2v_cli.errors import ConfigError

    with pytest.raises(ConfigError, match="--controlnet-video"):
        resolve(flags={"control.nets": ("--controlnet", ["./net:video"])})
    chosen = resolve(
        flags={
            "control.nets": ("--controlnet", ["./net:video", "canny:0.5"]),
            "control.video": ("--controlnet-video", "a.mp4"),
        }
    ).settings.control
    assert chosen.takes_video
    assert [net.weight for net in chosen.nets] == [1.0, 0.5]


def test_they_come_back_from_yaml(tmp_path: Any) -> None:
    settings = resolve(sets=["control.nets=[canny, './net:tile:0.5:0-0.5']"]).settings
    (tmp_path / "all.yaml").write_text(to_yaml(settings))
    assert resolve(configs=[str(tmp_path / "all.yaml")]).settings == settings


@pytest.mark.parametrize(
    ("text", "steps", "wanted"),
    [
        ("canny", 3, [True, True, True]),
        ("canny:0-0.5", 4, [True, True, False, False]),
        ("canny:0-0.5", 3, [True, False, False]),
        ("canny:0.3-1", 3, [False, True, True]),
        ("canny:0.5-1", 1, [False]),
    ],
)
def test_the_steps_that_it_takes_part_in(text: str, steps: int, wanted: list[bool]) -> None:
    net = ControlNet.model_validate(text)
    assert [net.active(step, steps) for step in range(steps)] == wanted
