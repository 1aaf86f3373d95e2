"""The page in a real browser, with a camera that plays a clip, and the embedded model at a small size."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.chromium import Chromium
from helpers.serving import Served, serving
from helpers.waiting import until
from PIL import Image

pytestmark = pytest.mark.timing

# What the result shows: mean red, green, blue and saturation, and how dark its darkest place is.
LOOK = """
const video = document.getElementById("result"), canvas = new OffscreenCanvas(64, 48);
if (!video.videoWidth) return null;
const context = canvas.getContext("2d");
context.drawImage(video, 0, 0, 64, 48);
const sums = [0, 0, 0, 0];
let darkest = 255;
const pixels = context.getImageData(0, 0, 64, 48).data;
for (let at = 0; at < pixels.length; at += 4) {
  const rgb = [...pixels.slice(at, at + 3)];
  rgb.push(Math.max(...rgb) - Math.min(...rgb));
  rgb.forEach((value, index) => { sums[index] += value / (64 * 48); });
  darkest = Math.min(darkest, Math.max(...rgb.slice(0, 3)));
}
return [...sums, darkest];
"""
STATE = "return document.getElementById('state').dataset.state === arguments[0]"
VALUES = "return arguments[0].map((id) => document.getElementById(id).value)"


def colours(index: int) -> np.ndarray:
    """Saturated stripes that move."""
    columns = (np.arange(160) + 4 * index) // 20 % 4
    palette = np.array([[220, 40, 40], [40, 200, 60], [50, 70, 220], [230, 210, 60]], np.uint8)
    return np.ascontiguousarray(np.broadcast_to(palette[columns], (120, 160, 3)))


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the camera sees."""
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    with av.open(str(path), "w", format="yuv4mpegpipe") as container:
        stream = container.add_stream("wrapped_avframe", rate=15)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(40):
            frame = av.VideoFrame.from_ndarray(colours(index), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def browser_with(folder: Path, camera: Path) -> Chromium:
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    return Chromium(folder, *fake, f"--use-file-for-fake-video-capture={camera}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, camera: Path) -> Iterator[Chromium]:
    with browser_with(tmp_path_factory.mktemp("chromium"), camera) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "records").mkdir()
    with serving(folder, "--model", "mini", "--size", 64, "--record-to", "records") as server:
        yield server


@pytest.fixture
def page(browser: Chromium, served: Served) -> Iterator[Chromium]:
    """The page, as a visitor finds it who comes first."""
    browser.visit("about:blank")
    served.until_free()
    browser.visit(served.address)
    browser.wait("return document.querySelectorAll('#styles button').length > 10")
    browser.click("#defaults")
    browser.wait("return document.getElementById('prompt').value === ''")
    yield browser
    browser.visit("about:blank")
    assert "Traceback" not in served.errors


def play(page: Chromium) -> None:
    """Start the camera and wait for the result."""
    page.click(".cards [data-source=camera]")
    page.wait(STATE, "live")
    page.wait("return result.videoWidth > 0 && result.currentTime > 0.5 && !result.paused")


def choose(page: Chromium, style: str) -> None:
    place = page.run("return [...document.querySelectorAll('#styles button')].map(b => b.textContent)").index(
        style
    )
    page.click(f"#styles button:nth-child({place + 1})")
    page.wait(
        f"return document.querySelector('#styles button:nth-child({place + 1})').ariaPressed === 'true'"
    )


def test_the_camera_is_restyled_and_styles_change_it(page: Chromium) -> None:
    play(page)
    choose(page, "photo")
    colourful = until(lambda: (seen := page.run(LOOK)) and seen[3] > 60 and seen)
    choose(page, "black and white")
    until(lambda: page.run(LOOK)[3] < colourful[3] / 3)
    choose(page, "sunset")
    until(lambda: (seen := page.run(LOOK))[0] > seen[2] + 30)
    page.wait("return parseFloat(document.getElementById('f-fps').textContent) > 0")
    assert page.run("return document.getElementById('f-size').textContent") == "80 × 64"
    page.click("#stop")
    page.wait(STATE, "idle")


def test_what_is_drawn_changes_the_result(page: Chromium) -> None:
    page.click(".cards [data-source=draw]")
    page.wait(STATE, "live")
    until(lambda: (seen := page.run(LOOK)) and min(seen[:3]) > 200)
    page.type("#pen-size", "\ue010")  # End: the widest
    page.click("#swatches [data-colour='#000000']")
    page.drag("#drawing", [(-60, -30), (60, 30), (-60, 30)])
    until(lambda: page.run(LOOK)[4] < 90)
    page.click("#undo")
    until(lambda: page.run(LOOK)[4] > 180)
    # By keyboard: the space bar puts the pen down, arrow keys move it.
    page.type("#drawing", " " + "\ue014" * 8 + " ")
    until(lambda: page.run(LOOK)[4] < 90)
    page.click("#eraser")
    page.drag("#drawing", [(-20, 0), (120, 0)])
    until(lambda: page.run(LOOK)[4] > 180)
    page.drag("#drawing", [(0, -30), (30, 30)])
    page.click("#clear")
    until(lambda: page.run(LOOK)[4] > 180)


def test_a_picture_is_drawn_on(page: Chromium, tmp_path: Path) -> None:
    Image.new("RGB", (60, 90), (200, 30, 30)).save(tmp_path / "red.png")
    page.click(".cards [data-source=draw]")
    page.wait(STATE, "live")
    page.type("#pick-picture", str(tmp_path / "red.png"))
    page.wait(
        "const [r, g] = drawing.getContext('2d').getImageData(384, 288, 1, 1).data; return r > 180 && g < 60"
    )
    page.wait(
        "const [r, g] = drawing.getContext('2d').getImageData(10, 288, 1, 1).data; return r > 250 && g > 250"
    )
    until(lambda: (seen := page.run(LOOK)) and seen[0] > seen[1] + 20)


def test_a_file_is_restyled(page: Chromium, camera: Path, tmp_path: Path) -> None:
    video = tmp_path / "clip.webm"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libvpx", rate=15)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(30):
            frame = av.VideoFrame.from_ndarray(colours(index), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "none.mp4").write_bytes(b"no video")
    page.click(".cards [data-source=file]")
    page.type("#pick", str(tmp_path / "none.mp4"))
    page.wait("return document.getElementById('message').textContent.includes('cannot play')")
    page.click(".cards [data-source=file]")
    page.type("#pick", str(video))
    page.wait(STATE, "live")
    until(lambda: (seen := page.run(LOOK)) and seen[3] > 60)
    assert page.run("return result.videoWidth / result.videoHeight") == pytest.approx(4 / 3, abs=0.01)
    # Another source in the same connection.
    page.click(".sources [data-source=draw]")
    until(lambda: (seen := page.run(LOOK)) and min(seen[:3]) > 200)


def test_a_second_browser_waits_and_gets_in(
    page: Chromium, served: Served, camera: Path, tmp_path: Path
) -> None:
    play(page)
    with browser_with(tmp_path / "second", camera) as second:
        second.visit(served.address)
        second.click(".cards [data-source=camera]")
        second.wait(STATE, "waiting")
        assert "number 1" in second.wait("return document.getElementById('place').textContent")
        page.visit("about:blank")
        second.wait(STATE, "live")
        second.wait("return result.videoWidth > 0 && document.getElementById('queue').hidden")
        second.visit("about:blank")


def test_a_recording_holds_what_was_shown(page: Chromium, served: Served) -> None:
    play(page)
    page.run(
        "window.shown = [];"
        "const note = (_, frame) => { shown.push(frame.rtpTimestamp); result.requestVideoFrameCallback(note); };"
        "result.requestVideoFrameCallback(note);"
    )
    page.click("#record")
    page.wait("return parseInt(document.getElementById('record').textContent.match(/\\d+/)?.[0]) >= 20")
    page.click("#record")
    name = page.wait("return document.querySelector('#recordings a')?.download")
    counted = page.run("return document.querySelector('#recordings a').textContent.match(/(\\d+) frames/)[1]")
    shown = page.run("return shown")
    with av.open(BytesIO(served.get(f"recordings/{name}"))) as container:
        times = [round(float(frame.time or 0) * 90000) for frame in container.decode(video=0)]
    assert len(times) == int(counted)
    assert times == sorted(set(times))
    # Whatever the browser calls the first frame: at the right one, all that it showed meanwhile were recorded.
    distances = [{(stamp - start) % 2**32 for stamp in shown} for start in shown]
    within = max(len(found & set(times)) for found in distances)
    assert within > 10
    best = max(distances, key=lambda found: len(found & set(times)))
    assert {time for time in best if time <= times[-1]} <= set(times)


def test_a_snapshot_is_the_result(page: Chromium) -> None:
    play(page)
    page.click("#snapshot")
    (saved,) = until(lambda: list(page.downloads.glob("streamv2v-*.png")))
    with Image.open(saved) as picture:
        assert list(picture.size) == page.run("return [result.videoWidth, result.videoHeight]")
        assert np.asarray(picture.convert("RGB")).std() > 10


def test_settings_stay_after_a_reload(page: Chromium, served: Served) -> None:
    choose(page, "oil painting")
    page.type("#slider-mix", "\ue012" * 30)
    page.type("#seed", "\ue009a\ue00042\ue007")
    page.run("document.getElementById('negative').open = true")
    page.type("#negative_prompt", "red\ue007")
    until(lambda: page.run("return fetch('settings').then((a) => a.json())")["negative_prompt"] == "red")
    fields = ["prompt", "negative_prompt", "slider-mix", "seed"]
    before = page.run(VALUES, fields)
    assert before == ["oil painting", "red", "0.7", "42"]
    play(page)  # before a connection stands they go by HTTP, then by its channel
    page.type("#slider-steady", "\ue011")
    page.wait("return document.querySelector('[for=slider-steady] + output').textContent === '0.00'")
    until(lambda: page.run("return fetch('settings').then((a) => a.json())")["steady"] == 0)
    page.visit(served.address)
    page.wait("return document.getElementById('prompt').value")
    assert page.run(VALUES, [*fields, "slider-steady"]) == [*before, "0"]
    assert (
        page.run("return document.querySelector('#styles [aria-pressed=true]').textContent") == "oil painting"
    )
    assert page.run("return document.getElementById('negative').open")


def test_a_page_that_goes_away_frees_its_session(page: Chromium, served: Served) -> None:
    play(page)
    assert served.status()["sessions"][0]["busy"]
    page.visit("about:blank")
    served.until_free()


def test_it_works_by_keyboard(page: Chromium, served: Served) -> None:
    page.visit(served.address)  # so that the first Tab begins at the top
    page.wait("return document.querySelectorAll('#styles button').length > 10")
    seen: list[Any] = []
    for _ in range(60):
        page.press("\ue004")
        focused = page.run(
            "const e = document.activeElement; if (e === document.body) return null;"
            "return [e.id || e.dataset.source || e.textContent, getComputedStyle(e).outlineStyle,"
            " (e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent || e.title).trim()]"
        )
        if focused is None:
            break
        seen.append(focused)
    names = {name for name, _, _ in seen}
    for name in ("camera", "screen", "file", "draw", "prompt", "sepia", "size", "seed", "reset", "defaults"):
        assert name in names
    assert {"slider-transition", "slider-strength", "slider-mix", "slider-steady"} <= names
    assert all(outline != "none" for _, outline, _ in seen)
    assert all(label for _, _, label in seen)
    page.run("document.querySelector('.cards [data-source=camera]').focus()")
    page.press("\ue007")
    page.wait(STATE, "live")
    page.type("#divider", "\ue012" * 5)
    assert page.run("return document.getElementById('divider').ariaValueNow") == "40"
    assert page.run("return document.getElementById('stage').style.getPropertyValue('--split')") == "40%"


@pytest.mark.parametrize("width", [320, 390, 820, 1366])
def test_nothing_lies_beyond_the_window(page: Chromium, width: int) -> None:
    page.devtools(
        "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False
    )
    try:
        for source in ("draw", "camera"):
            page.click(f".sources [data-source={source}]")
            page.wait(STATE, "live")
            beyond = page.run(
                "return [...document.querySelectorAll('body *')].filter((e) => {"
                " const box = e.getBoundingClientRect();"
                " const beyond = box.right > innerWidth + 1 || box.left < -1;"
                " return box.width && beyond && !e.closest('.sr, svg, .divider');"
                "}).map((e) => e.outerHTML.slice(0, 80))"
            )
            assert beyond == []
            assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        page.devtools("Emulation.clearDeviceMetricsOverride")


def test_texts_can_be_read_in_both_schemes(page: Chromium) -> None:
    """At least 4.5 to 1 between text and what is behind it (WCAG 2.1, success criterion 1.4.3)."""
    script = """
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (e) => { for (; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour[3] !== 0) return colour; } return [255, 255, 255]; };
    const hasText = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const texts = [...document.querySelectorAll("main *, header *")].filter((e) =>
      !e.closest("#stage, :disabled, .sr, svg") && e.checkVisibility() && hasText(e));
    return texts.map((e) => { const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
      return [e.outerHTML.slice(0, 60), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]; });
    """
    choose(page, "comic")
    try:
        for scheme in ("light", "dark"):
            page.devtools(
                "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
            )
            page.wait("return matchMedia(`(prefers-color-scheme: ${arguments[0]})`).matches", scheme)
            page.wait("return document.getAnimations().length === 0")
            found = page.run(script)
            assert len(found) > 30
            assert [text for text, contrast in found if contrast < 4.5] == []
    finally:
        page.devtools("Emulation.setEmulatedMedia", features=[])


def test_the_address_with_the_token_opens_the_page_once(browser: Chromium, tmp_path: Path) -> None:
    with serving(tmp_path, "--token", "only-for-this-test") as served:
        browser.visit(served.address)
        assert "token is missing" in browser.run("return document.body.textContent")
        browser.visit(served.printed)
        browser.wait("return document.getElementById('model')?.textContent === 'passthrough'")
        assert browser.run("return location.href") == served.address
        play(browser)
        browser.visit("about:blank")
