"""What files that others made may set, and what only the user may."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from helpers.clips import make_clip

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.media.provenance import read_comment
from streamv2v_cli.settings.resolve import resolve
from streamv2v_cli.settings.schema import Settings

GIVEN = {
    "weights": {"allow_pickle": True},
    "input": {"references": "all"},
    "output": {
        "encoder_opt": [
            "tune=film",
            "x264-params=stats=/tmp/x:pass=1",
            "stats=x",
            "x265-params=csv=x",
            "passlogfile=x",
            "g=12",
            "zone=a/b",
        ]
    },
    "seed": 7,
}


def test_a_video_allows_nothing_and_names_no_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    comment = json.dumps({"program": "streamv2v", "settings": GIVEN})
    clip = make_clip(tmp_path / "stranger.mkv", pts=(0, 512), metadata={"comment": comment})
    with caplog.at_level(logging.WARNING, "streamv2v_cli"):
        settings = resolve(configs=[str(clip)], read_comment=read_comment).settings
    assert settings.seed == 7
    assert not settings.weights.allow_pickle
    assert settings.input.references == "none"
    assert settings.output.encoder_opt == ("tune=film", "g=12")
    assert "encoder options that can name files" in caplog.text


def test_the_user_may(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(json.dumps(GIVEN))
    settings = resolve(configs=[str(tmp_path / "mine.yaml")]).settings
    assert (settings.weights.allow_pickle, settings.input.references) == (True, "all")
    assert len(settings.output.encoder_opt) == 7


@pytest.mark.parametrize(
    "recommended",
    [
        {"weights": {"allow_pickle": "true"}},
        {"weights": {"config": "/etc"}},
        {"input": {"references": "all"}},
        {"output": {"encoder_opt": "stats=x"}},
        {"translator": "passthrough"},
        {"compute.device": "cpu"},
    ],
)
def test_a_model_recommends_only_how_it_is_used(recommended: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="cannot set"):
        resolve(recommend=lambda _: recommended)


@pytest.mark.parametrize(
    "text",
    [
        "seed: !!python/object/apply:os.getpid []",
        "seed: !!python/name:os.system",
        "prompt: !include /etc/passwd",
        "a: &a [x, x]\nb: [*a, *a]",
    ],
)
def test_yaml_makes_no_objects(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError):
        resolve(configs=[str(tmp_path / "a.yaml")])


def test_nothing_is_allowed_by_default() -> None:
    assert not Settings().weights.allow_pickle
    assert Settings().input.references == "none"
