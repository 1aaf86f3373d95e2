"""What is hidden of a URL: all that may be a secret, wherever it stands, in a time that grows with the text."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamv2v_cli.media.address import Url
from streamv2v_cli.text.masking import masked, masked_url

SECRET = "hUsh4b1d"
KEYS = (
    "authkey loginpas sessionid PHPSESSID streamkey authorization pw psw userpwd bearer code privatekey sig jwt "
    "X-Amz-Signature"
).split()


@pytest.mark.parametrize(
    "url",
    [
        *(f"http://host/x?{key}={SECRET}&channel=1" for key in KEYS),
        *(
            f"http://host/x?a%75th={SECRET};t=1",
            f"http://host/x#access_token={SECRET}",
            f"https://host/x?{SECRET}",
        ),
        *(
            f"http://host/x?channel=1#{SECRET}",
            f"http://host/x?t=1&{SECRET}==",
            f"http://host/x?q={SECRET}?channel=2",
        ),
        *(f"rtsp://me@mail.com:{SECRET}@host/x", f"rtsp://{SECRET}@host/x", f"rtsp://me:{SECRET}@x@host/x"),
        *(f"rtsp://my name:{SECRET}@host/x", f"rtsp://me:a {SECRET}@host/x", f"rtsp://me:a/{SECRET}@host/x"),
        *(
            f"rtsp://me:a#{SECRET}@host/x",
            f"rtsp://me:a?{SECRET}@host/x",
            f"rtsp://me:12/{SECRET}@host:554/x",
        ),
        *(f"rtsp://me:it's{SECRET}@host/x", f"rtsp://me:a:/{SECRET}@host/x", f"rtsp:/me:{SECRET}@host/x"),
        *(
            f"rtmp://host/live/{SECRET}",
            f"rtmps://host/live/a/{SECRET}?x=1",
            f"cache:http://me:{SECRET}@host/x",
        ),
    ],
)
def test_no_secret_is_left(url: str) -> None:
    assert SECRET not in masked(url)
    assert SECRET not in masked_url(url)
    assert SECRET not in masked(f"The input '{url}' is lost, and http://other/x as well.")
    assert SECRET not in f"{Url(url).host} {Url(url).stem} {Url(url)}"
    assert masked(masked(url)) == masked(url)


@pytest.mark.parametrize(
    "text",
    [
        *("https://host/@someone/clip.mp4", "rtsp://host:554/stream?channel=1&subtype=0", "C:/me@home/a.mp4"),
        *("file:///home/me@x/a.mp4", "a: b / c @ d", "http://host:8080/a.mp4: not found (404)", "no://"),
        *("http://host/a.mp4?t=10", "[rtsp @ 0x55] method DESCRIBE failed: http://host/x"),
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text


def test_two_urls_of_a_line_are_told_apart() -> None:
    text = f"'rtsp://joe:{SECRET}@one/x' is lost, trying 'http://joe:{SECRET}@two/y?token={SECRET}'."
    assert masked(text) == "'rtsp://***@one/x' is lost, trying 'http://***@two/y?token=***'."


_ANY = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(user=_ANY, password=_ANY, path=st.from_regex(r"[a-z]{0,8}", fullmatch=True))
def test_nothing_of_user_and_password_is_shown(user: str, password: str, path: str) -> None:
    """Whatever they consist of; where they have a question mark in them, no more than the protocol is shown."""
    url = f"rtsp://{user}:{password}@host:554/{path}"
    assert masked_url(url) in (f"rtsp://***@host:554/{path}", "rtsp://***")
    assert ("@" in masked_url(url)) == (not set("?#") & set(user + password))


@given(st.lists(st.tuples(_ANY, _ANY), max_size=4))
def test_of_a_query_only_harmless_values_are_shown(pairs: list[tuple[str, str]]) -> None:
    query = "&".join(f"x{name}={value}" for name, value in pairs)
    shown = masked_url(f"http://host/x?{query}")
    values = [part.partition("=")[2] for part in re.split("[?#;&]", shown)]
    assert set(values) <= {"", "***"}


@pytest.mark.parametrize(
    "piece",
    ["http://", "a", "x:/", "/", "@ ", "http://a:", "&a=b;", "?", " rtsp://a:b@c", "rtmp://a/", "\\", "a.+-"],
)
@pytest.mark.parametrize("start", ["", "http://a:b", "http://a/?", "rtmp://"])
def test_the_time_grows_with_the_text(start: str, piece: str) -> None:
    """A hostile prompt ended no run, but no run ended either: twice the text took four times as long."""
    text = start + piece * (300_000 // len(piece)) + "://@"
    before = time.process_time()
    masked(text)
    masked_url(text)
    assert time.process_time() - before < 30  # a quadratic search takes hours
