"""`streamv2v study`: ask people which of two videos is better."""

from __future__ import annotations

from typing import Annotated

import typer

from streamv2v_cli.commands.shared import check_reports, json_option
from streamv2v_cli.errors import UsageError
from streamv2v_cli.prompting import no_prompt
from streamv2v_cli.reports.text import counted
from streamv2v_cli.text.terminal import print_path

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Ask people which of two results is better, and count the answers."
)


@app.command("make")
def make(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE BASELINE OURS ...",
            help="Three videos for each pair: the source, what it is compared with, and ours; .mp4 or .webm.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="A new folder for the page and the videos.",
            show_default=False,
        ),
    ],
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt",
            "-p",
            metavar="TEXT",
            help="What the results should show: once for all pairs, or once for each in their order.",
            show_default=False,
        ),
    ] = None,
    baselines: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline",
            metavar="NAME",
            help="What ours is compared with, for the table of results: once for all pairs, or once for each. The "
            "page does not show it.  \\[default: baseline]",
            show_default=False,
        ),
    ] = None,
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="Heading of the page.")
    ] = "Video comparison",
) -> None:
    """Write a page that asks which of two results is better: index.html, with the videos beside it.

    It needs no server: send the folder to people, who open the page and send back the file that it saves. The order
    of the pairs and the sides are shuffled for each participant. Each pair asks which result is more consistent,
    which fits the prompt better and which is better, and a draw is allowed.

    Example: streamv2v study make clip.mp4 plain.mp4 dyme.mp4 --prompt "pencil sketch" --baseline none -o study
    """
    from streamv2v_cli.analysis.study.page import Pair, check_folder, make_study
    from streamv2v_cli.logs import log_to_stderr

    log_to_stderr("warning")
    if len(videos) % 3:
        raise UsageError(
            f"{len(videos)} videos are not three for each pair.", "Give SOURCE BASELINE OURS for each pair."
        )
    count = len(videos) // 3
    if prompts is None:
        raise no_prompt()
    told = _for_each(prompts, "--prompt", count)
    methods = _for_each(baselines or ["baseline"], "--baseline", count)
    triples = zip(videos[::3], videos[1::3], videos[2::3], told, methods, strict=True)
    pairs = [Pair(*triple) for triple in triples]
    path = check_folder(folder)
    print_path(make_study(pairs, path, title))


@app.command("score")
def score(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULTS...", help="The files that the participants sent back.", show_default=False
        ),
    ],
    report: Annotated[
        str | None,
        json_option("Write the rates as JSON to a file, or to stdout, which then shows nothing else."),
    ] = None,
) -> None:
    """Turn the answers into win rates: for each question the mean and the deviation over the participants.

    Example: streamv2v study score study-*.json
    """
    from streamv2v_cli.analysis.study.score import as_json, table
    from streamv2v_cli.analysis.study.score import score as rates_of
    from streamv2v_cli.logs import log_to_stderr
    from streamv2v_cli.reports.json import write_json

    log_to_stderr("warning")
    target = check_reports({"--json": report}, files).get("--json")
    rates, participants = rates_of(files)
    if report is not None:
        write_json(target, as_json(rates, participants))
        if report == "-":
            return
    from rich.console import Console

    Console().print(table(rates, participants))


def _for_each(given: list[str], option: str, count: int) -> list[str]:
    if len(given) not in (1, count):
        raise UsageError(
            f"{option} was given {len(given)} times for {counted(count, 'pair')}.",
            "Give it once for all, or once for each.",
        )
    return given * count if len(given) == 1 else given
