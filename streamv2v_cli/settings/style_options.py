"""The options of style pictures: pictures that the results should look like."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from streamv2v_cli.settings.engine_options import BlockNames
from streamv2v_cli.settings.section import Section, none_by_name, one_or_more, source_and_weight

__all__ = ["Style", "StyleImage"]


class StyleImage(Section):
    """One picture with its weight; written `FILE` or `FILE:WEIGHT`."""

    source: str = Field(min_length=1, description="A picture, or a video of which the first frame is taken.")
    weight: float = Field(
        1.0,
        ge=0,
        le=10,
        description="0 is off. Without an IP-Adapter: how many keys of the frame each of its keys counts for in "
        "self-attention. With one: scale of the adapter.",
    )

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        return source_and_weight(value)


class Style(Section):
    """Style pictures, and how they come into the model."""

    images: Annotated[tuple[StyleImage, ...], BeforeValidator(one_or_more)] = Field(
        (),
        description="Pictures that the results should look like: FILE[:WEIGHT]. Without style.adapter the frames "
        "attend to the model's own features of them (reference-only).",
    )
    adapter: Annotated[str | None, BeforeValidator(none_by_name)] = Field(
        None,
        description="IP-Adapter that reads the style pictures: a .safetensors file, a folder or a Hub id laid out as "
        "h94/IP-Adapter.",
    )
    encoder: Annotated[str | None, BeforeValidator(none_by_name)] = Field(
        None,
        description="Folder with the image encoder of the IP-Adapter; none: image_encoder beside it.",
    )
    layers: BlockNames = Field(
        ("all",),
        description="UNet blocks that use style pictures: all, down, down.0, mid, up.1, ... or none.",
    )
