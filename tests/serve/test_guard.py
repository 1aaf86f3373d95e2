"""Who may ask, and how much."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from helpers.readme import ROOT

from streamv2v_cli.serve.guard import Guard, is_loopback

JSON = {"Content-Type": "application/json"}


def ask(
    served: Any, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    """A request as it stands, with the answer read."""
    parts = urlsplit(served.address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 80, timeout=30)
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.putrequest(method, path, skip_host="Host" in (headers or {}))
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(data or b"")))
    connection.endheaders(data)
    answer = connection.getresponse()
    answer.text = answer.read().decode("utf-8", "replace")  # type: ignore[attr-defined]
    connection.close()
    return answer


REQUESTS = [
    ("GET", "/"),
    ("GET", "/page/app.js"),
    ("GET", "/status"),
    ("GET", "/settings"),
    ("PATCH", "/settings"),
    ("POST", "/reset"),
    ("POST", "/offer"),
    ("POST", "/leave"),
    ("GET", "/recordings/x.mp4"),
    ("GET", "/nowhere"),
]


@pytest.fixture
def served(serve: Callable[..., Any]) -> Any:
    return serve()


def test_other_sites_and_names_are_refused(served: Any) -> None:
    own = urlsplit(served.address).netloc
    for method, path in REQUESTS:
        for headers, status in (
            ({"Host": "evil.example"}, 421),
            ({"Host": f"evil.example:{urlsplit(served.address).port}"}, 421),
            ({"Host": "127.0.0.1.evil.example"}, 421),
            ({"Host": ""}, 421),
            ({"Host": "192.0.2.1"}, 421),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "http://127.0.0.1:1"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ):
            assert ask(served, method, path, {}, JSON | headers).status == status, (path, headers)
    for host in ("localhost", "localhost:9", "127.0.0.1", "[::1]:9"):
        assert ask(served, "GET", "/status", headers={"Host": host}).status == 200
    assert ask(served, "GET", "/status", headers={"Origin": f"http://{own}"}).status == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ask(served, "GET", "/", headers=link).status == 200
    assert ask(served, "POST", "/reset", headers=link).status == 403


@pytest.mark.parametrize("arguments", [("--host", "0.0.0.0"), ("--token", "my-own.token")])
def test_the_token_is_demanded_of_every_request(
    serve: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    served = serve(*arguments)
    token = served.printed.partition("?token=")[2]
    assert len(token) >= 3
    for method, path in REQUESTS:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "streamv2v_token=wrong"}):
            answer = ask(served, method, path, {}, JSON | headers)
            assert answer.status == 401, path
            assert token not in answer.text
        assert ask(served, method, f"{path}?token=wr%C3%B6ng", {}, JSON).status == 401
    bearer = {"Authorization": f"Bearer {token}"}
    assert ask(served, "GET", "/status", headers=bearer).status == 200
    assert ask(served, "GET", f"/status?token={token}").status == 200
    assert ask(served, "POST", "/offer", {"type": "offer"}, JSON | bearer).status == 400
    opened = ask(served, "GET", f"/?token={token}")
    assert (opened.status, opened.headers["Location"]) == (303, "/")
    cookie = opened.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    page = ask(served, "GET", "/", headers={"Cookie": cookie.partition(";")[0]})
    assert page.status == 200
    assert "<title>streamv2v</title>" in page.text


def test_a_name_is_allowed_on_top(serve: Callable[..., Any]) -> None:
    served = serve("--allow-host", "studio.example")
    assert ask(served, "GET", "/status", headers={"Host": "Studio.example:443"}).status == 200
    assert ask(served, "GET", "/status", headers={"Host": "other.example"}).status == 421


def offer(*lines: str) -> dict[str, str]:
    return {
        "type": "offer",
        "sdp": "\r\n".join(["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", *lines, ""]),
    }


NO_OFFERS: list[tuple[object, int]] = [
    (b"{", 400),
    (b"[" * 60000, 400),
    ([], 400),
    ({"type": "answer", "sdp": "v=0"}, 400),
    ({"type": "offer", "sdp": 7}, 400),
    ({"type": "offer", "sdp": "x" * 60000}, 400),
    ({"type": "offer", "sdp": "x" * 90000}, 413),
    (offer(), 400),
    (offer("m=video 9 RTP/AVP 96", "m=video 9 RTP/AVP 96"), 400),
    (offer("m=audio 9 RTP/AVP 0"), 400),
    (offer("m=video 9 RTP/AVP 96", *["m=application 9 UDP/DTLS/SCTP x"] * 9), 400),
    (offer("m=video 9 RTP/AVP 96"), 400),
    (offer("m=video x"), 400),
    ({**offer("m=video 9 RTP/AVP 96"), "ticket": [1], "session": "1"}, 400),
]


def test_what_is_no_offer_costs_no_session(served: Any) -> None:
    for body, status in NO_OFFERS:
        assert ask(served, "POST", "/offer", body, JSON).status == status, body
    served.until_free()
    assert served.errors == ""


def test_requests_say_that_they_are_json(served: Any) -> None:
    for method, path in (("POST", "/offer"), ("POST", "/leave"), ("PATCH", "/settings")):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            assert ask(served, method, path, {}, {"Content-Type": kind}).status == 415


def test_no_path_of_a_request_leads_to_a_file(serve: Callable[..., Any], tmp_path: Any) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "old.mp4").write_bytes(b"old")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    served = serve("--record-to", "records")
    names = ("old.mp4", "../secret.mp4", "..%2Fsecret.mp4", "%2e%2e/secret.mp4", f"{tmp_path}/secret.mp4", "")
    for path in (*(f"/recordings/{name}" for name in names), "/page/../server.py", "/page/%2e%2e/server.py"):
        answer = ask(served, "GET", path)
        assert answer.status in (403, 404), path
        assert "secret" not in answer.text
        assert "import" not in answer.text
    assert sorted(path.name for path in (tmp_path / "records").iterdir()) == ["old.mp4"]


def test_answers_forbid_browsers_what_the_page_does_not_need(served: Any) -> None:
    for path in ("/", "/status", "/page/app.js", "/nowhere"):
        headers = ask(served, "GET", path).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers


def test_the_page_needs_nothing_from_elsewhere() -> None:
    for path in (ROOT / "streamv2v_cli/serve/page").iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "//cdn" not in text
        assert "https://" not in text
    page = (ROOT / "streamv2v_cli/serve/page/index.html").read_text(encoding="utf-8")
    assert " style=" not in page  # forbidden by the policy
    assert " onclick=" not in page


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "192.168.0.2", "localhost.example", "")],
)
def test_what_is_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("token", ["short", "a b c d e f", "größer-als-acht", ""])
def test_a_token_can_stand_in_an_address(here: Callable[..., Any], token: str) -> None:
    done = here("serve", "--translator", "passthrough", "--token", token)
    assert done.code == 2
    assert "--token must have at least 8" in done.err


def test_addresses_are_known_where_other_machines_come_in() -> None:
    knows = Guard("0.0.0.0", "token")._knows
    assert knows("192.168.0.2:7860")
    assert knows("[fd00::2]:7860")
    assert not knows("rebound.example:7860")
    assert not knows("[half")
