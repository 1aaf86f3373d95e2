"""`streamv2v study`: the page in a real browser, and the answers counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.chromium import Chromium
from helpers.clips import make_clip, mosaic
from helpers.waiting import until

QUESTIONS = ("consistency", "prompt", "overall")


def clip(path: Path, grey: int, **changes: Any) -> Path:
    pictures = {"picture": lambda index: np.full((48, 64, 3), grey + index, np.uint8)}
    return make_clip(path, **{"pts": tuple(range(0, 512 * 5, 512)), **pictures, **changes})


@pytest.fixture
def videos(tmp_path: Path) -> list[str]:
    """Three pairs; the first two have the same source."""
    names = ["source.mp4", "plain.mp4", "dyme.mp4", "source.mp4", "other.mp4", "dyme.mp4"]
    names += ["late.mp4", "plain2.mp4", "dyme2.mp4"]
    for place, name in enumerate(dict.fromkeys(names)):
        clip(tmp_path / name, 20 + 25 * place)
    return names


@pytest.fixture
def made(here: Callable, videos: list[str], tmp_path: Path) -> Path:
    methods = [word for name in ("none", "queue", "none") for word in ("--baseline", name)]
    prompts = [word for text in ("a cat", "</script><b>", "red") for word in ("-p", text)]
    done = here("study", "make", *videos, *prompts, *methods, "-o", "study", "--title", "Cats & <dogs>")
    assert (done.code, done.out, done.err) == (0, "study/index.html\n", "")
    return tmp_path / "study"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as chromium:
        yield chromium


def take_part(
    browser: Chromium, page: Path, participant: str, choose: Callable[[str, dict[str, str]], str]
) -> dict[str, Any]:
    """Answer everything; `choose` gets the question and the names of the files on the left and right."""
    for old in browser.downloads.iterdir():
        old.unlink()
    browser.open(page, f"?participant={participant}")
    browser.click("#go")
    for place in range(3):
        browser.wait(
            "return document.getElementById('place').textContent.startsWith(arguments[0])",
            f"Pair {place + 1} ",
        )
        files = browser.run(
            "return Object.fromEntries(['left', 'right'].map(id =>"
            " [id, document.getElementById(id).getAttribute('src')]))"
        )
        for question in QUESTIONS:
            assert browser.run("return document.getElementById('next').disabled")
            label = choose(question, files)
            browser.click(f"input[name={question}][data-label={label}]")
        browser.click("#next")
    (saved,) = until(lambda: [path for path in browser.downloads.iterdir() if path.suffix == ".json"])
    assert saved.name == browser.run("return document.getElementById('file').textContent")
    return json.loads(saved.read_text(encoding="utf-8"))


def names_of(page: Path) -> list[dict[str, str]]:
    """The pairs of a page, as its data says."""
    text = page.read_text(encoding="utf-8")
    data = text.partition('id="study">')[2].partition("</script>")[0]
    return json.loads(data)["pairs"]


@pytest.mark.timing
def test_the_page_asks_and_saves_what_was_chosen(browser: Chromium, made: Path) -> None:
    pairs = names_of(made / "index.html")
    ours = {pair["ours"] for pair in pairs}

    def choose(question: str, files: dict[str, str]) -> str:
        if question == "overall":
            return "Draw"
        better = "A" if files["left"] in ours else "B"
        return better if question == "consistency" else {"A": "B", "B": "A"}[better]

    orders, sides = set(), set()
    for participant in ("ann", "bob", "cid"):
        found = take_part(browser, made / "index.html", participant, choose)
        assert (found["schema"], found["participant"], found["title"]) == (
            "streamv2v.study/1",
            participant,
            "Cats & <dogs>",
        )
        assert sorted(answer["pair"] for answer in found["answers"]) == [0, 1, 2]
        for answer in found["answers"]:
            assert answer["choices"] == {"consistency": "ours", "prompt": "baseline", "overall": "draw"}
            assert {answer["left"], answer["right"]} == {"ours", "baseline"}
            assert answer["method"] == ["none", "queue", "none"][answer["pair"]]
            assert answer["prompt"] == ["a cat", "</script><b>", "red"][answer["pair"]]
            sides.add(answer["left"])
        orders.add(tuple((answer["pair"], answer["left"]) for answer in found["answers"]))
    assert len(orders) > 1
    assert sides == {"ours", "baseline"}
    again = take_part(browser, made / "index.html", "cid", choose)
    assert [(a["pair"], a["left"]) for a in again["answers"]] == [
        (a["pair"], a["left"]) for a in found["answers"]
    ]


@pytest.mark.timing
def test_videos_play_together_and_answers_can_be_changed(browser: Chromium, made: Path) -> None:
    browser.open(made / "index.html", "?participant=eve")
    assert browser.run("return document.title") == "Cats & <dogs>"
    assert "3 pairs" in browser.run("return document.getElementById('start').innerText")
    browser.click("#go")
    # All are decoded, have the size that they were made with, and begin again after their 0.2 s.
    everyone = "return ['source', 'left', 'right'].map(id => document.getElementById(id)).every(v => {})"
    browser.wait(everyone.format("v.videoWidth === 64 && v.videoHeight === 48 && v.muted"))
    browser.run(
        "window.rounds = 0; document.getElementById('left').addEventListener('play', () => window.rounds++)"
    )
    browser.wait("return window.rounds > 1")
    browser.click("#pause")
    assert browser.run(everyone.format("v.paused"))
    browser.click("input[name=prompt][data-label=A]")
    browser.click("input[name=prompt][data-label=Draw]")
    for question in ("consistency", "overall"):
        browser.click(f"input[name={question}][data-label=B]")
    shown = browser.run("return document.getElementById('left').getAttribute('src')")
    browser.click("#next")
    assert not browser.run("return document.querySelectorAll('input:checked').length")
    browser.click("#back")
    assert browser.run("return document.getElementById('left').getAttribute('src')") == shown
    checked = "return [...document.querySelectorAll('input:checked')].map(i => i.dataset.label)"
    assert browser.run(checked) == ["B", "Draw", "B"]
    assert browser.run("return document.getElementById('broken').hidden")


@pytest.mark.timing
def test_a_video_that_is_missing_is_told(browser: Chromium, made: Path) -> None:
    gone = names_of(made / "index.html")[0]["source"]
    (made / gone).unlink()
    browser.open(made / "index.html")
    assert len(browser.run("return document.getElementById('participant').value")) == 8
    browser.click("#go")
    place = "return document.getElementById('source').getAttribute('src') === arguments[0]"
    while not browser.run(place, gone):
        for question in QUESTIONS:
            browser.click(f"input[name={question}][data-label=Draw]")
        browser.click("#next")
    browser.wait("return !document.getElementById('broken').hidden")
    assert gone in browser.run("return document.getElementById('broken').innerText")


def test_what_lies_beside_the_page_tells_nothing(made: Path, tmp_path: Path) -> None:
    files = {path.name for path in made.iterdir()}
    pairs = names_of(made / "index.html")
    assert files == {"index.html"} | {pair[key] for pair in pairs for key in ("source", "baseline", "ours")}
    # The source and one result are in two pairs.
    assert len(files) == 1 + 7
    assert pairs[0]["source"] == pairs[1]["source"]
    assert (made / pairs[2]["ours"]).read_bytes() == (tmp_path / "dyme2.mp4").read_bytes()
    assert not [name for name in files if "dyme" in name or "plain" in name]
    assert "</script><b>" not in (made / "index.html").read_text(encoding="utf-8")


def results(path: Path, participant: str, answers: Sequence[tuple[str, str]], **changes: Any) -> str:
    """A file as the page saves it: (method, one letter for each question: o, b or d)."""
    words = {"o": "ours", "b": "baseline", "d": "draw"}
    content = {
        "schema": "streamv2v.study/1",
        "study": "abc",
        "participant": participant,
        "answers": [
            {"method": method, "choices": dict(zip(QUESTIONS, map(words.get, letters), strict=True))}
            for method, letters in answers
        ],
        **changes,
    }
    path.write_text(json.dumps(content))
    return path.name


def test_answers_become_win_rates(here: Callable, tmp_path: Path) -> None:
    """Of ann's four answers against none, three are for ours: 75 %; of bob's two, one: 50 %; of cid's one, none."""
    ann = [("none", "oob"), ("none", "odb"), ("queue", "ddd"), ("none", "obb"), ("none", "bbb")]
    files = [
        results(tmp_path / "1.json", "ann", ann),
        results(tmp_path / "2.json", "bob", [("none", "ood"), ("none", "doo")]),
        results(tmp_path / "3.json", "cid", [("none", "bob"), ("queue", "obo")]),
    ]
    found = json.loads(here("study", "score", *files, "--json", "-").out)
    assert (found["schema"], found["participants"]) == ("streamv2v.study-score/1", 3)
    none = found["methods"]["none"]["consistency"]
    shares = {"ours": [75, 50, 0], "draw": [0, 50, 0], "baseline": [25, 0, 100]}
    for outcome, values in shares.items():
        assert none[outcome]["mean"] == pytest.approx(np.mean(values), abs=1e-3)
        assert none[outcome]["deviation"] == pytest.approx(np.std(values, ddof=1), abs=1e-3)
    # bob saw nothing of queue, and counts for nothing there.
    queue = found["methods"]["queue"]["consistency"]
    assert queue["ours"] == {"mean": 50, "deviation": pytest.approx(70.7107)}
    done = here("study", "score", *files, "--json", "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == found
    (row,) = [line for line in done.out.splitlines() if "none" in line and "consistency" in line]
    assert "41.7 ± 38.2" in row
    alone = here("study", "score", files[0])
    assert "1 participant;" in alone.out
    assert "±" not in "".join(line for line in alone.out.splitlines() if "consistency" in line)


def test_results_that_cannot_be_counted(here: Callable, tmp_path: Path) -> None:
    good = results(tmp_path / "good.json", "ann", [("none", "odb")])
    bad = {
        "other study": results(tmp_path / "1.json", "bob", [("none", "odb")], study="xyz"),
        "the participant 'ann'": results(tmp_path / "2.json", "ann", [("none", "odb")]),
        "holds no results": results(tmp_path / "3.json", "bob", []),
        "'4.json' holds no results": results(tmp_path / "4.json", "bob", [("none", "odx")]),
        "'5.json' holds no results": results(tmp_path / "5.json", "bob", [("none", "odb")], schema="x"),
        "cannot be read": "nothere.json",
    }
    bad["belongs to the study xyz"] = bad.pop("other study")
    for message, name in bad.items():
        done = here("study", "score", good, name)
        assert (done.code, done.out) == (1, "")
        assert message in done.err
    (tmp_path / "list.json").write_text("[1]")
    assert "holds no results" in here("study", "score", "list.json").err
    assert here("study", "score", good, "--json", good).code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("source.mp4", "plain.mp4", "-p", "x"), 2, "2 videos are not three for each pair"),
        (("source.mp4", "plain.mp4", "dyme.mp4"), 2, "No prompt was given"),
        (
            ("source.mp4", "plain.mp4", "dyme.mp4", "-p", "x", "-p", "y"),
            2,
            "--prompt was given 2 times for 1 pair.",
        ),
        (("source.mp4", "plain.mp4", "plain.mp4", "-p", "x"), 2, "are the same video"),
        (("source.mp4", "no.mp4", "dyme.mp4", "-p", "x"), 1, "'no.mp4' cannot be opened"),
        (("source.mp4", "lossless.mkv", "dyme.mp4", "-p", "x"), 2, "Not every browser plays 'lossless.mkv'"),
        (("source.mp4", "ten.mp4", "dyme.mp4", "-p", "x"), 2, "h264 yuv444p in .mp4"),
        (("source.mp4", "plain.mp4", "dyme.mp4", "-p", "x", "-o", "full"), 2, "'full' is not empty"),
        (("source.mp4", "plain.mp4", "dyme.mp4", "-p", "x", "-o", "dyme.mp4"), 2, "is not a folder"),
        (("source.mp4", "plain.mp4", "dyme.mp4", "-p", "x", "-o", "a/b"), 2, "does not exist"),
    ],
)
def test_what_is_refused(
    here: Callable, videos: list[str], tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    clip(tmp_path / "lossless.mkv", 10)
    make_clip(tmp_path / "ten.mp4", pix_fmt="yuv444p", picture=mosaic, pts=(0, 512))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    before = sorted(path.name for path in tmp_path.rglob("*"))
    if "-o" not in arguments:
        arguments += ("-o", "study")
    done = here("study", "make", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
