"""`streamv2v ablate`: the paper's tables on one's own clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamv2v_cli.commands.options import SettingsRequest, takes_settings
from streamv2v_cli.commands.shared import (
    FlowOption,
    FlowWeights,
    NoProgress,
    Quiet,
    check_flow,
    frames_option,
    refuse_encoding,
)
from streamv2v_cli.errors import ConfigError, UsageError
from streamv2v_cli.output_paths import check_output_folder, check_unrelated
from streamv2v_cli.prompting import check_prompt

if TYPE_CHECKING:
    from streamv2v_cli.analysis.ablation.tables import Table
    from streamv2v_cli.settings.resolve import Resolved

__all__ = ["ablate"]


@takes_settings
def ablate(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUTS...", help="The clips, as files.", show_default=False)
    ],
    request: SettingsRequest,
    folder: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where finished cells and the reports go; cells that are there already are not measured again.",
            show_default=False,
        ),
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="TABLE",
            help="A table: bank, features, fusion, motion, steps or strength; repeatable; without it all.",
            show_default=False,
        ),
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--row",
            metavar="KEY=VALUE...",
            help="A row of your own table: settings separated by spaces, such as 'bank.kind=queue "
            "bank.size=2'; repeatable. Its first row has the settings of the other options. Without --only no other "
            "table is made.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[int | None, frames_option("Use the first N frames of each clip.", min=2)] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            "--clip",
            metavar="DIR|HUB-ID",
            help="Compute CLIP scores as well, with this model, as for eval.",
            show_default=False,
        ),
    ] = None,
    flow: FlowOption = "dis",
    flow_weights: FlowWeights = None,
    plots: Annotated[
        bool,
        typer.Option("--plots", help="Draw each table as a picture; needs pip install 'streamv2v\\[plots]'."),
    ] = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Measure what the bank, attention, fusion, motion, steps and strength do, on your clips with your model.

    Each table varies one thing and keeps all other settings. The results are measured as eval does, but before any
    encoder sees them; times are those of the model alone, after a warm-up. Tables are printed, and written as
    results.md and results.json. An ablation that was interrupted goes on where it was.

    Example: streamv2v ablate clip.mp4 --prompt "pencil sketch" --only bank --frames 50 -o ablation

    Example: streamv2v ablate clip.mp4 -p sketch --row bank.interval=2 --row "bank.kind=queue bank.size=2" -o own
    """
    from streamv2v_cli.analysis.ablation.report import plots as draw
    from streamv2v_cli.analysis.ablation.report import report_names, rich_table, write_reports
    from streamv2v_cli.analysis.ablation.runner import Work
    from streamv2v_cli.logs import log_to_stderr

    log_to_stderr("error" if quiet else "warning")
    check_flow(flow, flow_weights)
    resolved = request.resolve()
    tables = _tables(only, rows, resolved)
    target = _check_usage(inputs, folder, resolved, plots)
    for name in report_names(tables, plots):
        check_unrelated(target / name, [*inputs, *request.files(resolved.settings)], "-o")
    target.mkdir(exist_ok=True)
    work = Work(
        resolved.settings,
        target,
        frames,
        clip,
        flow,
        flow_weights,
        verbose=not quiet,
        progress=not (quiet or no_progress),
    )
    results = work.results(inputs, tables)
    settings = resolved.settings
    facts = {
        "prompt": settings.prompt,
        "model": settings.model,
        "seed": settings.seed,
        "clips": inputs,
        "frames": frames or "all",
        "flow": flow,
        **({"flow_weights": flow_weights or "published"} if flow == "raft" else {}),
        "device": work.device,
    }
    write_reports(target, results, facts)
    if plots:
        draw(target, results, settings.prompt)
    from rich.console import Console

    console = Console()
    for result in results:
        console.print(rich_table(result))


def _tables(only: list[str] | None, rows: list[str] | None, resolved: Resolved) -> list[Table]:
    """The tables that are wanted, with settings that are known to go together."""
    from pydantic import ValidationError

    from streamv2v_cli.analysis.ablation.tables import TABLES, changed, own_table, table_of
    from streamv2v_cli.settings.keys import wording

    for key in only or ():
        if key not in TABLES:
            raise UsageError(f"There is no table {key!r}.", f"The tables are {', '.join(TABLES)}.")
    wanted = only or ([] if rows else TABLES)
    tables = [table_of(key, resolved.settings) for key in TABLES if key in wanted]
    if rows:
        tables.append(own_table(rows))
    for table in tables:
        for variant in table.variants:
            try:
                changed(resolved.settings, variant.changes)
            except ValidationError as error:
                raise ConfigError.of(
                    f"{table.key}, {variant.name}: {problem}" for problem in wording(error, {})
                ) from error
    return tables


def _check_usage(inputs: list[str], folder: str, resolved: Resolved, plots: bool) -> Path:
    """Raise an error for what cannot be meant; the folder."""
    settings = resolved.settings
    if settings.translator != "diffusion":
        raise UsageError(f"The translator '{settings.translator}' has nothing that could be varied.")
    check_prompt(settings)
    refuse_encoding(resolved)
    for video in inputs:
        if not Path(video).is_file():
            raise UsageError(
                f"The input '{video}' is not a file.", "Clips are read many times: save it first."
            )
    if plots:
        from streamv2v_cli.reports.plot import check_plots

        check_plots()
    target = Path(folder)
    check_output_folder(target)
    return target
