"""Every error that this package raises on purpose, in one tree.

Each class knows its exit code; the command line turns any of them into one message without a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "ConfigError",
    "DeviceError",
    "MediaError",
    "ModelError",
    "ModelNotFoundError",
    "SinkError",
    "SourceError",
    "StreamV2VError",
    "UsageError",
    "first_line",
    "reason_of",
]


class StreamV2VError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: what was wrong, with the offending value, in one sentence.
        remedy: what the user can do about it, in one sentence; empty if there is nothing to say.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()

    @property
    def lines(self) -> tuple[str, ...]:
        """What is said of it, a sentence or two a line."""
        return (self.message, self.remedy) if self.remedy else (self.message,)


class UsageError(StreamV2VError):
    """The command line asks for something that cannot be meant, such as overwriting the input."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, of the wrong type or out of range."""

    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, problems: Iterable[str]) -> ConfigError:
        """The error for several settings, each with a sentence of its own."""
        error = cls("\n".join(problems := tuple(problems)))
        error.problems = problems
        return error

    @property
    def lines(self) -> tuple[str, ...]:
        """What is said of it, a sentence or two a line."""
        return self.problems or super().lines


class DeviceError(StreamV2VError):
    """A device, data type or attention backend that was asked for cannot be had."""


class ModelError(StreamV2VError):
    """A model was found but cannot be used."""


class ModelNotFoundError(ModelError):
    """A model, LoRA or VAE is neither on this machine nor reachable."""


class MediaError(StreamV2VError):
    """Reading or writing a video failed."""


class SourceError(MediaError):
    """The input cannot be opened or decoded."""


class SinkError(MediaError):
    """The output cannot be opened, encoded or written."""


def first_line(error: BaseException) -> str:
    """The first line of an error, with the name of its class if it is none of ours."""
    text = str(error).strip().split("\n")[0]
    if isinstance(error, StreamV2VError):
        return text
    return f"{type(error).__name__}: {text or 'no message'}"


def reason_of(error: BaseException) -> str:
    """The first line of an error as the end of a sentence; the name of its class where it says nothing."""
    said = error.strerror if isinstance(error, OSError) else None
    return (str(said or error).strip().split("\n")[0] or type(error).__name__).rstrip(".")
