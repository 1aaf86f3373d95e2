"""What files that others made may set, and what only the user may."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import make_clip
from hypothesis import given
from hypothesis import strategies as st

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.media.provenance import read_comment
from streamv2v_cli.settings.harmless import is_harmless
from streamv2v_cli.settings.resolve import resolve
from streamv2v_cli.settings.schema import Settings

Run = Callable[..., Any]
GIVEN = {
    "weights": {"allow_pickle": True},
    "input": {"references": "all"},
    "control": {"video": "http://example.invalid/a.mp4"},
    "mask": {"source": "http://example.invalid/a.mp4", "feather": 3},
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
    assert settings.control.video is None
    assert (settings.mask.source, settings.mask.feather) == (None, 3)
    assert settings.output.encoder_opt == ("tune=film", "g=12")
    assert "encoder options that are not known to be harmless" in caplog.text


def comment_of(**output: object) -> dict[str, object]:
    return {"program": "streamv2v", "settings": {"output": output}}


@pytest.mark.parametrize("options", [["flags=+pass1"], "flags=+pass1", ["g=12", "flags=+pass1+cgop"]])
def test_no_video_lets_the_encoder_write_a_file(options: object, here: Run, tmp_path: Path) -> None:
    """With `flags=+pass1`, libx264 writes its statistics into the current folder, over what is there."""
    comment = json.dumps(comment_of(encoder_opt=options))
    make_clip(tmp_path / "stranger.mkv", pts=(0, 512), metadata={"comment": comment})
    (tmp_path / "x264_2pass.log").write_text("mine")
    made = here(
        *("run", "lavfi:testsrc2", "--frames", 2, "--translator", "passthrough", "--config", "stranger.mkv"),
        "-o",
        "a.mkv",
    )
    assert made.code == 0, made.err
    assert (tmp_path / "x264_2pass.log").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "stranger.mkv", "x264_2pass.log"]


@given(
    encoder=st.sampled_from(["libx264", "libx265", "libvpx-vp9", "libsvtav1", "h264_nvenc", "auto", "mpeg4"]),
    name=st.sampled_from(["flags", "stats", "x264-params", "tune", "g", "profile", "passlogfile", "level"]),
    value=st.text(max_size=20) | st.sampled_from(["+pass1", "film", "3.1", "12", "/tmp/x", "a:b"]),
)
def test_what_is_harmless_is_a_number_or_a_word(encoder: str, name: str, value: str) -> None:
    """Whatever is taken: nothing in it can name a file, and no flag is set."""
    if is_harmless(encoder, f"{name}={value}"):
        assert re.fullmatch(r"[a-z0-9.-]+", value)
        assert name in ("tune", "g", "profile", "level")


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
        {"mask": {"source": "http://example.invalid/a.mp4"}},
        {"frame": {"upscale": "/tmp/x.pth"}},
    ],
)
def test_a_model_recommends_only_how_it_is_used(recommended: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="cannot set"):
        resolve(recommend=lambda *_: recommended)


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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"prompt": "\ud800"}, "prompt must be valid Unicode text without NUL"),
        ({"prompt": "a\0b"}, "prompt must be valid Unicode text without NUL"),
        ({"model": "a\0b"}, "model must be valid Unicode text without NUL"),
        ({"weights": {"loras": ["\ud800"]}}, "valid Unicode text"),
        ({"weights": {"loras": [{"source": "a\0b"}]}}, "must be valid Unicode text without NUL"),
        ({"output": {"encoder_opt": 5}}, "must be a list"),
        ({"a" * 10**6: 1}, "unknown key"),
        ({"bank": {"a" * 10**6: 1}}, "unknown key"),
    ],
)
def test_what_is_no_text_in_a_video(
    given: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search for the key that was meant took a minute for a key of a million letters."""
    content = {"settings": given}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mkv").touch()
    before = time.process_time()
    with pytest.raises(ConfigError, match=words) as error:
        resolve(configs=["a.mkv"], read_comment=lambda _: content)
    assert time.process_time() - before < 10
    assert len(str(error.value)) < 10_000


@pytest.mark.parametrize(
    "comment", ["[" * 10**5, '{"program": "streamv2v", "settings": ' + '{"bank":' * 10**5]
)
def test_a_comment_that_is_nested_too_deeply(comment: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "stranger.mkv", pts=(0, 512), metadata={"comment": comment})
    with pytest.raises(ConfigError, match="does not record how it was made"):
        resolve(configs=[str(clip)], read_comment=read_comment)


def test_no_file_of_settings_says_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"prompt": "\\ud800"}')
    with pytest.raises(ConfigError, match="valid Unicode text"):
        resolve(configs=[str(tmp_path / "a.json")])
