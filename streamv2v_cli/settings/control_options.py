"""The options of ControlNets: pictures that say where lines and surfaces are to be."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from streamv2v_cli.settings.section import Section, none_by_name, one_or_more

__all__ = ["Control", "ControlNet"]

_NUMBER = re.compile(r"-?\d+(\.\d*)?|-?\.\d+")
_PART = re.compile(r"(\d*\.?\d+)-(\d*\.?\d+)")


class ControlNet(Section):
    """One ControlNet; written `NAME_OR_PATH_OR_ID[:PREPROCESSOR][:WEIGHT][:START-END]`."""

    source: str = Field(min_length=1, description="A name, a folder, a file or a Hub id.")
    preprocessor: Literal["auto", "canny", "softedge", "tile", "luma", "video"] = Field(
        "auto", description="What makes the control picture of a frame; auto: chosen by a word in the name."
    )
    weight: float = Field(1.0, ge=0, le=10, description="Scale of the ControlNet's output.")
    start: float = Field(0.0, ge=0, le=1, description="Share of the denoising steps before it begins.")
    end: float = Field(1.0, ge=0, le=1, description="Share of the denoising steps after which it ends.")

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        parsed: dict[str, Any] = {}
        head, colon, tail = value.rpartition(":")
        if colon and head and (part := _PART.fullmatch(tail)):
            parsed |= {"start": float(part[1]), "end": float(part[2])}
            value = head
            head, colon, tail = value.rpartition(":")
        if colon and head and _NUMBER.fullmatch(tail):
            parsed["weight"] = float(tail)
            value = head
            head, colon, tail = value.rpartition(":")
        if colon and head and tail in get_args(cls.model_fields["preprocessor"].annotation):
            parsed["preprocessor"] = tail
            value = head
        return {"source": value, **parsed}

    @model_validator(mode="after")
    def _in_order(self) -> ControlNet:
        if self.start >= self.end:
            raise ValueError(
                f"starts at {self.start:g} of the steps, which must be before its end at {self.end:g}"
            )
        return self

    def active(self, step: int, steps: int) -> bool:
        """Whether it takes part in a denoising step; as in diffusers, all of the step has to be inside."""
        return step / steps >= self.start and (step + 1) / steps <= self.end


class Control(Section):
    """ControlNets, and where their pictures come from."""

    nets: Annotated[tuple[ControlNet, ...], BeforeValidator(one_or_more)] = Field(
        (),
        description="ControlNets: NAME_OR_PATH_OR_ID[:PREPROCESSOR][:WEIGHT][:START-END]; names and preprocessors "
        "are canny, softedge, tile and luma; video takes the pictures from control.video.",
    )
    video: Annotated[str | None, BeforeValidator(none_by_name)] = Field(
        None,
        description="Video with control pictures of the frames of the input, made elsewhere (depth, poses): for nets "
        "with the preprocessor video.",
    )

    @property
    def takes_video(self) -> bool:
        """Whether one of the nets takes its pictures from the video."""
        return any(net.preprocessor == "video" for net in self.nets)

    @model_validator(mode="after")
    def _has_video(self) -> Control:
        if self.takes_video and self.video is None:
            raise ValueError(
                "a ControlNet takes its pictures from a video; give it with --controlnet-video FILE"
            )
        return self
