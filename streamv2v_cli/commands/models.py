"""`streamv2v models`: what is known, what is on this machine, and downloads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamv2v_cli.commands.options import setting_option
from streamv2v_cli.commands.shared import AsJson

if TYPE_CHECKING:
    from streamv2v_cli.models.known import Known

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List the known models, say what is here, and download.")


def _names(incomplete: str) -> list[str]:
    from streamv2v_cli.models.known import known

    return [entry.name for entry in known() if entry.name.startswith(incomplete)]


_NAME = typer.Argument(metavar="NAME", help="A name of the list, or a Hub id.", autocompletion=_names)


@app.command("list")
def list_models(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER]...",
            help="Say what the files in these folders hold instead, and which option takes each.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what is known: models, tiny VAEs, LCM-LoRAs and ControlNets, with sizes, licences, and what is here.

    Example: streamv2v models list

    Example: streamv2v models list ~/ComfyUI/models
    """
    from streamv2v_cli.models.known import files_in, known
    from streamv2v_cli.reports.text import bytes_text

    if folders:
        found = [file for folder in folders for file in files_in(folder.expanduser())]
        if as_json:
            rows = [
                {"path": str(x.path), "holds": x.holds, "option": x.option, "bytes": x.size} for x in found
            ]
            print(json.dumps({"files": rows}, indent=2))
            return
        _print(
            ("file", "holds", "option", "size"),
            [(x.path, x.holds, x.option, bytes_text(x.size)) for x in found],
        )
        return
    rows = [_row(entry) for entry in known()]
    if as_json:
        print(json.dumps({"models": rows}, indent=2))
        return
    _print(
        ("name", "what", "family", "size", "licence", "here"),
        [
            (x["name"], x["role"], x["family"] or "", _size(x), x["licence"], "yes" if x["path"] else "no")
            for x in rows
        ],
    )


@app.command("show")
def show(name: Annotated[str, _NAME], as_json: AsJson = False) -> None:
    """Say what is known of one: what a run loads beside it, licences, sizes, and where its files are.

    Example: streamv2v models show sdxl-turbo
    """
    from streamv2v_cli.models.known import find_known
    from streamv2v_cli.models.locate import describe_model
    from streamv2v_cli.text.terminal import printable

    entry = find_known(name)
    row = _row(entry)
    if entry.role == "model":
        plan = describe_model(_settings(name))
        row["kind"] = plan.kind
        row["parts"] = [
            {"role": x.role, "source": x.source, "path": str(x.path) if x.path else None, "remark": x.remark}
            for x in plan.parts
        ]
    if as_json:
        print(json.dumps(row, indent=2))
        return
    for key in ("name", "about", "role", "kind", "family", "source", "licence"):
        if row.get(key):
            print(printable(f"{key:8} {row[key]}"))
    print(f"{'size':8} {_size(row)}")
    print(printable(f"{'here':8} {row['path'] or 'no'}"))
    for part in row.get("parts", ())[1:]:
        print(printable(f"with     {part['role']} {part['source']}: {part['path'] or part['remark']}"))


@app.command("download")
def download(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Names of the list, or Hub ids.", autocompletion=_names),
    ],
    vae: Annotated[str | None, setting_option("weights.vae")] = None,
    lcm_lora: Annotated[str | None, setting_option("weights.lcm_lora")] = None,
    loras: Annotated[list[str] | None, setting_option("weights.loras")] = None,
    nets: Annotated[list[str] | None, setting_option("control.nets")] = None,
    allow_pickle: Annotated[bool | None, setting_option("weights.allow_pickle")] = None,
) -> None:
    """Download all that a run needs, and nothing else, into the cache of the Hugging Face Hub.

    A run with the same options then needs no network. A connection that breaks off is taken up again, and whole files
    of an interrupted download are kept.

    Example: streamv2v models download sd15 --controlnet canny
    """
    from streamv2v_cli.logs import log_to_stderr, say
    from streamv2v_cli.models.downloads import downloads_for
    from streamv2v_cli.models.hub.fetch import check_room, obtain
    from streamv2v_cli.models.known import find_known, need_of
    from streamv2v_cli.reports.text import bytes_text, counted
    from streamv2v_cli.text.terminal import print_path

    log_to_stderr("warning")
    given = {"weights.vae": vae, "weights.lcm_lora": lcm_lora, "weights.loras": loras, "control.nets": nets}
    flags = {**{key: value for key, value in given.items() if value}, "weights.allow_pickle": allow_pickle}
    known = [find_known(name) for name in names]
    models = [_settings(entry.name, flags) for entry in known if entry.role == "model"]
    found = downloads_for(models, [need_of(entry) for entry in known if entry.role != "model"])
    check_room(found)
    for item in found:
        source = item.need.source.hub_id
        say(
            f"{item.need.role} {source}: {counted(len(item.names), 'file')}, {bytes_text(item.missing)} to fetch"
        )
        print_path(obtain(item.need))


@app.command("where")
def where(as_json: AsJson = False) -> None:
    """Say in which folder downloads are kept, what is free there, and where that which is known is on this machine.

    Example: streamv2v models where
    """
    from huggingface_hub import constants

    from streamv2v_cli.models.hub.fetch import free_in_cache
    from streamv2v_cli.models.known import known
    from streamv2v_cli.reports.text import bytes_text
    from streamv2v_cli.text.terminal import printable

    rows = [row for row in map(_row, known()) if row["path"]]
    free = free_in_cache()
    if as_json:
        here = [{key: row[key] for key in ("name", "role", "path", "bytes_here")} for row in rows]
        print(json.dumps({"cache": constants.HF_HUB_CACHE, "free": free, "here": here}, indent=2))
        return
    print(printable(f"{constants.HF_HUB_CACHE}: {bytes_text(free)} free; HF_HOME names another folder"))
    _print(("name", "size", "path"), [(x["name"], bytes_text(x["bytes_here"]), x["path"]) for x in rows])


def _settings(name: str, flags: dict[str, Any] | None = None) -> Any:
    """The settings that `run --model NAME` would have with these options."""
    from streamv2v_cli.commands.options import FLAGS
    from streamv2v_cli.transcode.configure import resolve

    given = {"model": name, **{key: value for key, value in (flags or {}).items() if value is not None}}
    return resolve(flags={key: (FLAGS[key].names[0], value) for key, value in given.items()}).settings


def _row(entry: Known) -> dict[str, Any]:
    from streamv2v_cli.models.known import need_of, size_here

    need = need_of(entry)
    path = need.path
    return {
        "name": entry.name,
        "role": entry.role,
        "about": entry.about,
        "family": entry.family,
        "source": str(entry.source),
        "licence": entry.licence,
        "bytes": entry.size,
        "bytes_here": size_here(need),
        "path": str(path) if path else None,
    }


def _size(row: dict[str, Any]) -> str:
    from streamv2v_cli.reports.text import bytes_text

    if row["bytes_here"]:
        return bytes_text(row["bytes_here"])
    return f"about {bytes_text(row['bytes'])}" if row["bytes"] else ""


def _print(titles: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from streamv2v_cli.reports.text import cell

    table = Table(*titles, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(cell(str(value)) for value in row))
    Console().print(table)
