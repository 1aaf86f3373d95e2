"""What is shared by all that calls FFmpeg: its log."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from fractions import Fraction

import av
import pytest
from av.codec.context import CodecContext

from streamv2v_cli.media.ffmpeg import last_message


def refused() -> list[str]:
    """What FFmpeg says of an encoder that cannot open."""
    with last_message() as messages:
        context = CodecContext.create("libx264", "w")
        context.options = {"preset": "no such preset"}
        context.width = context.height = 16  # type: ignore[attr-defined]
        context.pix_fmt = "yuv420p"  # type: ignore[attr-defined]
        context.time_base = Fraction(1, 25)
        with pytest.raises(av.error.FFmpegError):
            context.open()
    return messages


def test_the_log_is_as_before_whichever_of_several_threads_ends_first() -> None:
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    both_in, first_out = threading.Barrier(2, timeout=10), threading.Event()

    def first() -> None:
        with last_message():
            both_in.wait()
        first_out.set()

    thread = threading.Thread(target=first)
    with ExitStack() as stack:
        thread.start()
        stack.enter_context(last_message())
        both_in.wait()
        assert first_out.wait(10)
        assert av.logging.get_level() == av.logging.ERROR
    thread.join()
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == before


def test_messages_are_collected_within_others_and_after_an_error() -> None:
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    with last_message() as outer:
        assert any("preset" in message for message in refused())
    assert outer == []
    with pytest.raises(KeyError), last_message():
        raise KeyError
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == before
