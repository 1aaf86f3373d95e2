"""Where media connections listen."""

from __future__ import annotations

from aioice import ice

__all__ = ["use_loopback_without_network"]

_addresses_of_networks = ice.get_host_addresses


def use_loopback_without_network() -> None:
    """Let connections within this machine stand also while it has no network.

    aioice leaves loopback addresses out, so that without any other there would be nothing to connect to, and has no
    option for it. Where there is a network they stay left out: on some systems a browser's sockets, which belong to
    that network, cannot reach them.
    """
    ice.get_host_addresses = _addresses


def _addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    return _addresses_of_networks(use_ipv4, use_ipv6) or ["127.0.0.1"]
