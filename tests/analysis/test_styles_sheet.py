"""The contact sheet of a model's styles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamv2v_cli.analysis.styles_sheet import make_sheet
from streamv2v_cli.errors import StreamV2VError
from streamv2v_cli.frame import Frame
from streamv2v_cli.models.styles import read_styles
from streamv2v_cli.settings.schema import Settings


class Failing:
    """A translator that fails at the first frame."""

    def __init__(self, *_: Any) -> None:
        made.append(self)
        self.closed = False

    def set_prompt(self, prompt: str) -> None: ...

    def push(self, frame: Frame) -> list[Frame]:
        raise StreamV2VError("the model broke.")

    def close(self) -> None:
        self.closed = True


made: list[Failing] = []


def test_the_translator_is_closed_after_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made.clear()
    monkeypatch.setattr("streamv2v_cli.models.load_model", lambda settings: None)
    monkeypatch.setattr("streamv2v_cli.diffusion.translator.Translator", Failing)
    book = read_styles("mini")
    assert book is not None
    frame = Frame(np.zeros((16, 16, 3), np.uint8), 0)
    with pytest.raises(StreamV2VError, match="the model broke"):
        make_sheet(frame, book, Settings(), tmp_path / "sheet.png", 4, overwrite=False)
    assert [translator.closed for translator in made] == [True]
    assert not list(tmp_path.iterdir())
