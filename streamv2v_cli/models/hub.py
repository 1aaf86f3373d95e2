"""Fetching from the Hugging Face Hub: only what is needed, never pickles, and quick to say no."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from streamv2v_cli.errors import StreamV2VError
from streamv2v_cli.models.sources import not_found

__all__ = ["fetch"]

TIMEOUT = 10.0
_log = logging.getLogger(__name__)


def fetch(hub_id: str, choose: Callable[[Sequence[str]], list[str]], *, role: str, remedy: str) -> Path:
    """Download some files of a repository into the Hub's cache.

    Args:
        hub_id: `owner/name` on the Hub.
        choose: picks the wanted ones from the repository's file names; its own errors pass through.
        role: what it is, for messages.
        remedy: how to do without the download, for messages.

    Returns:
        The snapshot folder.

    Raises:
        ModelNotFoundError: offline, unreachable, unknown or gated.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    with _plain_errors(hub_id, role, remedy):
        siblings = HfApi().model_info(hub_id, timeout=TIMEOUT).siblings or []
        names = choose([sibling.rfilename for sibling in siblings])
        _log.info("fetching %s %s from the Hugging Face Hub (%d files)", role, hub_id, len(names))
        return Path(
            snapshot_download(
                hub_id, cache_dir=constants.HF_HUB_CACHE, allow_patterns=names, etag_timeout=TIMEOUT
            )
        )


@contextmanager
def _plain_errors(hub_id: str, role: str, remedy: str) -> Iterator[None]:
    """Turn whatever the Hub client and its HTTP library raise into one sentence."""
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        yield
    except StreamV2VError:
        raise
    except OfflineModeIsEnabled as error:
        raise not_found(role, hub_id, "HF_HUB_OFFLINE forbids fetching it", remedy) from error
    except GatedRepoError as error:
        reason = "its owner gives access only to those who ask for it on its page and then `hf auth login`"
        raise not_found(role, hub_id, reason, remedy) from error
    except RepositoryNotFoundError as error:
        reason = "the Hugging Face Hub has no public model of that name"
        raise not_found(role, hub_id, reason, remedy) from error
    except Exception as error:
        # The client's HTTP library, and with it the class of a refused connection, changes between versions.
        detail = (str(error).strip().splitlines() or [""])[0][:200].rstrip(". ")
        reason = f"the Hugging Face Hub cannot be reached ({type(error).__name__}: {detail})"
        raise not_found(role, hub_id, reason, remedy) from error
