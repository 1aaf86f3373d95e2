"""Where the files of an IP-Adapter are, and what it takes and gives. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.facts import read_json
from streamv2v_cli.models.files.kinds import check_place
from streamv2v_cli.models.files.layout import read_header

__all__ = ["NAMED", "AdapterFiles", "AdapterShapes", "choose_adapter_files", "find_adapter_files"]

ENCODER = "image_encoder"
NAMED = {
    "SD 1.x": ("models/ip-adapter_sd15.safetensors", f"models/{ENCODER}"),
    "SDXL": ("sdxl_models/ip-adapter_sdxl_vit-h.safetensors", f"models/{ENCODER}"),
}
"""By the family of the model: the file in h94/IP-Adapter, and its image encoder."""


@dataclass(frozen=True)
class AdapterFiles:
    """An IP-Adapter on this machine.

    Attributes:
        weights: the file.
        encoder: folder of the image encoder.
    """

    weights: Path
    encoder: Path


def choose_adapter_files(names: Sequence[str], family: str, where: str) -> list[str]:
    """The files of the IP-Adapter for a family of models, and of its image encoder, among those of a repository.

    Raises:
        ModelError: none of them is meant, or several may be.
    """
    weights = _choose_weights(names, family, where)
    encoders = [name for name in names if PurePosixPath(name).match(f"{ENCODER}/config.json")]
    named = f"{NAMED[family][1]}/config.json" if family in NAMED else ""
    beside = str(PurePosixPath(weights).parent / ENCODER / "config.json")
    config = next((name for name in (named, beside, *encoders) if name in encoders), None)
    if config is None:
        return [weights]
    return [weights, config, str(PurePosixPath(config).parent / "model.safetensors")]


def _choose_weights(names: Sequence[str], family: str, where: str) -> str:
    named = NAMED.get(family)
    if named is not None and named[0] in names:
        return named[0]
    found = [x for x in names if x.endswith(".safetensors") and ENCODER not in PurePosixPath(x).parts]
    if len(found) != 1:
        raise ModelError(
            f"{where!r} holds {len(found)} IP-Adapters, and none is known as that for models of the family {family}.",
            "Give one of its .safetensors files with --ip-adapter FILE.",
        )
    return found[0]


def find_adapter_files(path: Path, encoder: str | None, family: str) -> AdapterFiles:
    """The files of an IP-Adapter, given as its file or as a folder.

    Args:
        path: the file or folder.
        encoder: folder of its image encoder; None to look for it beside the file, as h94/IP-Adapter has it.
        family: of the model.

    Raises:
        ModelError: they are not there, or cannot be told from others.
    """
    check_place(path, "IP-Adapter", allow_pickle=True)
    if path.is_dir():
        names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*.safetensors"))
        path /= _choose_weights(names, family, str(path))
        check_place(path, "IP-Adapter", allow_pickle=True)
    if path.suffix.lower() != ".safetensors":
        raise ModelError(
            f"The IP-Adapter {str(path)!r} is no .safetensors file.", "Get its .safetensors version."
        )
    if encoder is not None:
        return AdapterFiles(path, Path(encoder).expanduser())
    folders = (path.parent / ENCODER, path.parent.parent / "models" / ENCODER)
    found = [folder for folder in folders if (folder / "config.json").is_file()]
    if not found:
        raise ModelError(
            f"There is no image encoder beside the IP-Adapter {str(path)!r}.",
            f"Put its folder {ENCODER} there, or give one with --set style.encoder=DIR.",
        )
    wanted = AdapterShapes.of(path)
    fitting = (folder for folder in found if wanted.taken_from(read_json(folder / "config.json")))
    return AdapterFiles(path, next(fitting, found[0]))


@dataclass(frozen=True)
class AdapterShapes:
    """What an IP-Adapter takes and gives, by the shapes of its weights.

    Attributes:
        image_width: channels of what the image encoder gives.
        is_pooled: that is one vector a picture, and not one a patch.
        layers: channels of each cross-attention layer, and of what it reads.
    """

    image_width: int
    is_pooled: bool
    layers: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, path: Path) -> AdapterShapes:
        """Those of a file.

        Raises:
            ModelError: it is no IP-Adapter, or one for faces.
        """
        shapes = read_header(path)
        inner = {name.removeprefix("image_proj."): x for name, x in shapes.items()}
        keys = [
            name for name in shapes if name.startswith("ip_adapter.") and name.endswith(".to_k_ip.weight")
        ]
        if "norm.weight" in inner and "proj.3.weight" not in inner and "proj.weight" not in inner:
            raise ModelError(
                f"The IP-Adapter {str(path)!r} reads features of faces, which are not computed here.",
                "Use one that reads whole pictures, such as ip-adapter_sd15.",
            )
        first = next((x for x in ("proj.weight", "proj.0.weight", "proj_in.weight") if x in inner), None)
        if first is None or not keys:
            raise ModelError(
                f"{str(path)!r} holds no IP-Adapter.", "Give one with --ip-adapter, such as h94/IP-Adapter."
            )
        keys.sort(key=lambda name: int(name.split(".")[1]))
        return cls(inner[first][-1], first == "proj.weight", tuple(shapes[name] for name in keys))

    def taken_from(self, encoder: Mapping[str, Any]) -> bool:
        """Whether an image encoder of this configuration gives what the adapter takes."""
        return bool(encoder.get("projection_dim" if self.is_pooled else "hidden_size") == self.image_width)
