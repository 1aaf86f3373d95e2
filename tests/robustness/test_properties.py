"""Whatever is written as settings, names, times and lists: it is valid, or it is a clean error."""

from __future__ import annotations

import os
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from streamv2v_cli.app import app
from streamv2v_cli.batch.items import read_manifest
from streamv2v_cli.commands.options import FLAGS
from streamv2v_cli.errors import StreamV2VError, UsageError
from streamv2v_cli.logs import masked
from streamv2v_cli.media.address import Address, Url
from streamv2v_cli.media.images.patterns import Numbered
from streamv2v_cli.media.sink.plan_video import default_output_path
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.prompting.script_reader import read_script
from streamv2v_cli.settings.keys import keys
from streamv2v_cli.settings.resolve import preset_names, resolve, to_yaml
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.settings.values import rate_of

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, example, given, settings  # noqa: E402 - only where there is one
from hypothesis import strategies as st  # noqa: E402

settings.register_profile(
    "streamv2v",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=int(os.environ.get("STREAMV2V_EXAMPLES", "40")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("streamv2v")

KEYS = st.sampled_from(sorted(keys()))
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(["1e400", "-0", "0x10", "1_000", "٣", "½", "1" * 5000, "inf", "NaN", "+1", " 2 ", "1,5"]),
)
WORDS = st.one_of(
    st.text(max_size=40),
    NUMBERS,
    st.sampled_from(
        ["none", "null", "~", "on", "yes", "auto", "[", "{", "[]", "{}", "'", '"', "[a, b]", "&a *a"]
    ),
    st.sampled_from(
        ["native", "512x512", "16x0", "1x1x1", "cuda:9", "30000/1001", "25/0", "4M", "a=b", "x:1.5"]
    ),
)
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(KEYS, st.text(max_size=10)), inner, max_size=4)
    ),
    max_leaves=10,
)


def clean(call: Callable[[], Any]) -> Any:
    """What the call gives; None for an error that is meant for the user."""
    caught: StreamV2VError | None = None
    try:
        return call()
    except StreamV2VError as error:
        caught = error
    assert caught.message.strip()
    assert caught.exit_code == 2
    return None


def settled(**layers: Any) -> Settings | None:
    """The settings; None for a clean error."""
    resolved = clean(lambda: resolve(**layers))
    return None if resolved is None else resolved.settings


@given(st.text(max_size=80))
@example("seed=\0")
@example("=")
@example("seed=" + "[" * 5000)
@example("seed={a: " * 500)
def test_any_override(text: str) -> None:
    settled(sets=[text])


@given(KEYS, WORDS)
def test_any_value_of_any_key(key: str, value: str) -> None:
    found = settled(sets=[f"{key}={value}"])
    if found is not None:
        assert settled(sets=[f"{key}={value}"]) == found


@given(st.sampled_from(sorted(FLAGS)), WORDS)
def test_any_value_of_any_flag(key: str, value: str) -> None:
    settled(flags={key: (FLAGS[key].names[0], value)})


@given(st.lists(st.tuples(KEYS, WORDS), max_size=5))
def test_what_is_valid_survives_being_written_and_read(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    found = settled(sets=[f"{key}={value}" for key, value in pairs])
    if found is not None:
        (tmp_path / "again.yaml").write_text(to_yaml(found), encoding="utf-8")
        assert settled(configs=[str(tmp_path / "again.yaml")]) == found


@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)),
    st.sampled_from(["yaml", "json"]),
)
@example(b"\xff\xfe", "yaml")
@example(b"[" * 100_000, "json")
@example(b"{" * 3000, "yaml")
@example(b"a: " * 400, "yaml")
@example(b"? [a]\n: 1", "yaml")
@example(b"seed: 1" + b"0" * 5000, "json")
def test_any_file(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"any.{suffix}"
    path.write_bytes(data)
    settled(configs=[str(path)])


@given(PLAIN)
def test_any_document(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    settled(configs=[str(path)])
    for read in (read_manifest, lambda path: read_script(path, Settings())):
        clean(lambda read=read: read(path))


@given(
    st.lists(
        st.one_of(st.sampled_from(["--set", "--config", "-c", "--origin", "--", "-"]), WORDS), max_size=5
    )
)
def test_any_command_line(words: list[str]) -> None:
    done = CliRunner().invoke(app, ["config", "show", *words])
    assert done.exit_code in (0, 1, 2)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "unexpected" not in done.output.replace("unexpected extra", "")


@given(*[st.one_of(st.none(), WORDS, st.from_regex(r"-?\d{0,3}:?\d{0,9}(\.\d*)?", fullmatch=True))] * 3)
@example("9" * 6000, None, None)
def test_any_times(start: str | None, duration: str | None, end: str | None) -> None:
    try:
        trim = Trim.parse(start, duration, end)
    except UsageError:
        return
    assert trim.start is None or trim.start >= 0
    assert trim.end is None or trim.end > (trim.start or 0)


@given(WORDS)
def test_any_rate(text: str) -> None:
    try:
        rate = rate_of(text)
    except ValueError:
        return
    assert 0 < rate <= 1000


NAMES = st.one_of(
    st.text(min_size=1, max_size=60),
    st.from_regex(r"(rtsp|http|rtmp|file|concat|a+b)://[!-~]{0,30}", fullmatch=True),
    st.sampled_from(
        ["%d.png", "%05d%d.png", "%%.png", "[.png", "camera:", "lavfi:", "-", "..", "/", "a/../b.mp4"]
    ),
)


@given(NAMES, st.text(max_size=30))
@example("http://h/..%2f..%2fetc%2fpasswd", "")
@example("rtsp://[::1", "x")
def test_any_name_of_an_input(name: str, prompt: str) -> None:
    assert masked(masked(name)) == masked(name)
    try:
        address = Address.of(name)
        Numbered.parse(name)
    except UsageError:
        return
    if url := Url.of(name):
        assert url.stem == Path(url.stem).name or url.stem in ("", ".", "..")
    if "\0" not in name:
        output = default_output_path(address, prompt)
        assert output.parent == Path()
        assert output.name.isprintable() or not name.isprintable()


SECRETS = st.text(string.ascii_letters + string.digits + "!$*+,;=@:~^'()", min_size=6, max_size=20).map(
    lambda text: f"Q{text}Z"
)


@given(
    SECRETS,
    st.sampled_from(["rtsp", "rtmps", "http", "tcp"]),
    st.sampled_from(["", "/", "/live/1?x=2", ":554/a"]),
)
def test_no_password_survives(secret: str, scheme: str, rest: str) -> None:
    url = f"{scheme}://joe:{secret}@host{rest}"
    for text in (url, f"cannot open '{url}': refused", repr(Url(url)), str(Url(url))):
        assert secret not in masked(text)


@given(st.sampled_from(preset_names()), st.lists(st.tuples(KEYS, WORDS), max_size=3))
def test_any_preset_with_anything(preset: str, pairs: list[tuple[str, str]]) -> None:
    settled(configs=[preset], sets=[f"{key}={value}" for key, value in pairs])
