"""Whether accelerated ticks give the pictures of plain ones, each tick from the same latents and bank.

python -m benchmarks.agreement                                                 # SD 1.5 in shape, on a CUDA device
python -m benchmarks.agreement --device cpu --model mini --size 128 --frames 9 --accel compile --json -

Matches of the bank flip over time with the last bits of a number, so that the figure of a free run would say little:
before each tick the accelerated engine is given the state of the plain one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import describe_machine
from streamv2v_cli.bench.machine import describe_device
from streamv2v_cli.bench.ticks import load, moving_pictures
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame
from streamv2v_cli.settings.schema import Settings

RESULTS = Path(__file__).parent / "results"
KINDS = ("dyme", "queue", "none")
LEAST_PSNR = 35.0


def compare(options: argparse.Namespace, models: list[Any], kind: str, accel: str) -> dict[str, Any]:
    """Figures of one bank under one acceleration."""
    start = time.perf_counter()
    with ExitStack() as stack:
        plain, fast = (
            stack.enter_context(closing(Translator(model, settings_for(options, kind, name))))
            for model, name in zip(models, ("none", accel), strict=True)
        )
        decoded: dict[int, torch.Tensor] = {}
        for translator in (plain, fast):
            _keep_decoded(translator, decoded)
        figures = []
        for number, picture in enumerate(moving_pictures(options.size, options.size, options.frames)):
            if plain.engine is not None and fast.engine is not None:
                take_over(fast.engine, plain.engine)
            if number == options.frames // 2:
                for translator in (plain, fast):
                    translator.set_prompt("another prompt")
            frame = Frame(picture, pts=number)
            finished = [bool(translator.push(frame)) for translator in (plain, fast)]
            if all(finished):
                figures.append(psnr(decoded[id(plain)], decoded[id(fast)]))
        assert fast.engine is not None
        start_up = fast.engine.runner.start_up_seconds
    return {
        "bank": kind,
        "accel": accel,
        "frames": len(figures),
        "least_psnr": round(min(figures), 2) if min(figures) < math.inf else "equal bits",
        "start_up_seconds": round(start_up, 2),
        "seconds": round(time.perf_counter() - start, 1),
        "agrees": min(figures) >= LEAST_PSNR,
    }


def _keep_decoded(translator: Translator, decoded: dict[int, torch.Tensor]) -> None:
    decode = translator.codec.decode

    def keep(latents: torch.Tensor) -> torch.Tensor:
        decoded[id(translator)] = decode(latents)
        return decoded[id(translator)]

    translator.codec.decode = keep  # type: ignore[method-assign]


def take_over(engine: Any, other: Any) -> None:
    """Give an engine the latents and the bank of another one."""
    engine.batch.latents.copy_(other.batch.latents)
    for name, layer in engine.bank.layers.items():
        for mine, theirs in zip(layer.buffers, other.bank.layers[name].buffers, strict=True):
            mine.copy_(theirs)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of pictures from -1 to 1, in decibels."""
    error = float((a.clamp(-1, 1).double() - b.clamp(-1, 1).double()).square().mean())
    return 10 * math.log10(4 / error) if error else math.inf


def settings_for(options: argparse.Namespace, kind: str, accel: str) -> Settings:
    """Settings of one translator: one frame at a time, all layers fused."""
    return Settings.model_validate(
        {
            "prompt": "a prompt",
            "model": options.model,
            "frame": {"size": options.size},
            "lookahead": 1,
            "diffusion": {"steps": options.steps},
            "bank": {"kind": kind, "size": 2 if kind == "queue" else 1},
            "compute": {"device": options.device, "accel": accel},
        }
    )


def main() -> int:
    """Compare all; exit code 1 if one disagrees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="random:sd15")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--accel", nargs="+", default=["graphs", "compile"])
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin nothing after so long")
    parser.add_argument(
        "--json", default=str(RESULTS / "cuda-agreement.json"), help="a file, or - for stdout"
    )
    options = parser.parse_args()
    models = [load(settings_for(options, "none", "none")) for _ in range(2)]
    rows = []
    begin = time.perf_counter()
    for accel in options.accel:
        for kind in KINDS:
            if time.perf_counter() - begin > options.seconds:
                print(f"no time is left for {accel} with bank {kind}", file=sys.stderr)
                continue
            rows.append(compare(options, models, kind, accel))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    result = {
        "kind": "agreement",
        "model": options.model,
        "size": options.size,
        "steps": options.steps,
        "dtype": str(models[0].dtype).removeprefix("torch."),
        "rows": rows,
        **describe_device(models[0].device),
        **describe_machine(),
    }
    text = json.dumps(result, indent=1) + "\n"
    if options.json == "-":
        print(text, end="")
    else:
        Path(options.json).parent.mkdir(exist_ok=True)
        Path(options.json).write_text(text, encoding="utf-8")
    return int(not all(row["agrees"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
