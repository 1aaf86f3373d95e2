"""The answers to a study as win rates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from streamv2v_cli import __version__
from streamv2v_cli.analysis.study.page import QUESTIONS, SCHEMA
from streamv2v_cli.errors import SourceError
from streamv2v_cli.reports.text import cell, counted, rounded_values

__all__ = ["OUTCOMES", "Rate", "as_json", "score", "table"]

SCORE_SCHEMA = "streamv2v.study-score/1"
OUTCOMES = ("ours", "draw", "baseline")


@dataclass(frozen=True)
class Rate:
    """How often something was chosen.

    Attributes:
        mean: over the participants, in percent of each one's answers.
        deviation: sample standard deviation over the participants, in percent points; None for only one.
    """

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Answers:
    """What one participant chose: method of the baseline -> question -> outcome -> how often."""

    study: str
    participant: str
    counts: Mapping[str, Mapping[str, Counter[str]]]


def score(files: Sequence[str]) -> tuple[dict[str, dict[str, dict[str, Rate]]], int]:
    """Read the files that participants saved.

    Returns:
        Method of the baseline -> question -> outcome of `OUTCOMES` -> rate; and the number of participants.

    Raises:
        SourceError: a file is no result of a study, or belongs to another study or to a participant who is there
            already.
    """
    everyone: dict[str, tuple[str, Answers]] = {}
    for file in files:
        answers = _read(file)
        first_file, first = next(iter(everyone.values()), (file, answers))
        if answers.study != first.study:
            raise SourceError(
                f"'{file}' belongs to the study {answers.study}, and '{first_file}' to {first.study}.",
                "Score one study at a time.",
            )
        if answers.participant in everyone:
            other = everyone[answers.participant][0]
            raise SourceError(
                f"'{file}' and '{other}' both come from the participant {answers.participant!r}.",
                "Leave out one of them.",
            )
        everyone[answers.participant] = (file, answers)
    people = [answers for _, answers in everyone.values()]
    methods = sorted({method for person in people for method in person.counts})
    rates = {
        method: {question: _rates(people, method, question) for question in QUESTIONS} for method in methods
    }
    return rates, len(people)


def _rates(people: Sequence[Answers], method: str, question: str) -> dict[str, Rate]:
    counts = [person.counts[method][question] for person in people if method in person.counts]
    rates = {}
    for outcome in OUTCOMES:
        shares = [100 * count[outcome] / count.total() for count in counts]
        rates[outcome] = Rate(fmean(shares), stdev(shares) if len(shares) > 1 else None)
    return rates


def _read(file: str) -> Answers:
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError
        counts: dict[str, dict[str, Counter[str]]] = {}
        for answer in content["answers"]:
            questions = counts.setdefault(answer["method"], {})
            for question in QUESTIONS:
                choice = answer["choices"][question]
                if choice not in OUTCOMES:
                    raise ValueError
                questions.setdefault(question, Counter())[choice] += 1
        if not counts:
            raise ValueError
        return Answers(str(content["study"]), str(content["participant"]), counts)
    except OSError as error:
        raise SourceError(f"'{file}' cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"'{file}' holds no results of a study.", "Give the files that its page saved."
        ) from error


def as_json(rates: Mapping[str, Mapping[str, Mapping[str, Rate]]], participants: int) -> dict[str, Any]:
    """Everything in numbers, rounded to 4 places."""
    return {
        "schema": SCORE_SCHEMA,
        "version": __version__,
        "participants": participants,
        "methods": {
            method: {
                question: {outcome: rounded_values(asdict(rate), 4) for outcome, rate in outcomes.items()}
                for question, outcomes in questions.items()
            }
            for method, questions in rates.items()
        },
    }


def table(rates: Mapping[str, Mapping[str, Mapping[str, Rate]]], participants: int) -> Any:
    """The rates as a rich table."""
    from rich.table import Table

    drawn = Table(title=f"{counted(participants, 'participant')}; percent, mean ± deviation over them")
    for heading in ("against", "question"):
        drawn.add_column(heading)
    for heading in ("ours wins", "draws", "baseline wins"):
        drawn.add_column(heading, justify="right")
    for method, questions in rates.items():
        for place, (question, outcomes) in enumerate(questions.items()):
            cells = [_text(outcomes[outcome]) for outcome in OUTCOMES]
            drawn.add_row(cell("" if place else method), cell(question), *cells)
    return drawn


def _text(rate: Rate) -> str:
    return f"{rate.mean:.1f}" if rate.deviation is None else f"{rate.mean:.1f} ± {rate.deviation:.1f}"
