"""Which addresses of the network a catalog (untrusted) may lead to."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from llmrec.errors import MediaRefusedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"http": 80, "https": 443}
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_EMBEDDED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96")))
"""IPv6 prefixes whose last 32 bits are an IPv4 address: NAT64, SIIT, and the deprecated "compatible" form."""
_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
"""NAT64 within a site (RFC 8215), which older Pythons take for global."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads.

    Args:
        host: lower case, a name in its ASCII form (IDNA) or an address without brackets.
        path: with the query, ready to be sent.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As the ``Host`` header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """As it is requested; what a redirect is relative to."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_url(url: str, base: str = "") -> Target:
    """Take a URL apart; it may be relative to ``base``.

    Raises:
        MediaRefusedError: it is not plain http or https, holds credentials, or spells its host in a way that
            programs read differently.
    """
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise MediaRefusedError("the URL holds spaces, control characters or backslashes")
    try:
        parts = urlsplit(urljoin(base, url))
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise MediaRefusedError(f"the URL is malformed: {error}") from error
    if parts.scheme not in _PORTS:
        raise MediaRefusedError(f"scheme {parts.scheme!r} is not allowed; http and https are")
    if "@" in parts.netloc:
        raise MediaRefusedError("the URL holds credentials")
    query = f"?{parts.query}" if parts.query else ""
    path = quote(f"{parts.path or '/'}{query}", safe="/?%:@!$&'()*+,;=~")
    return Target(parts.scheme, _host(host or ""), port or _PORTS[parts.scheme], path)


def check_allowed(target: Target, allow_hosts: Sequence[str]) -> None:
    """Go on if a host was allowed: by name, or a parent domain as ``*.example.com``; with a port that is not
    the scheme's own, as ``host:port``.

    Raises:
        MediaRefusedError: it was not.
    """
    default = target.port == _PORTS[target.scheme]
    for host, port in map(_entry, allow_hosts):
        named = host == target.host or (host.startswith("*.") and target.host.endswith(host[1:]))
        if named and (port == target.port or (port is None and default)):
            return
    raise MediaRefusedError(f"host {target.authority!r} is not allowed; add --allow-hosts {target.authority}")


def check_address(address: Address, target: Target, allow_hosts: Sequence[str]) -> None:
    """Go on if what a host resolves to is public, or was itself allowed; ``localhost`` allows the loopback.

    Raises:
        MediaRefusedError: it is neither.
    """
    named = {host for host, _ in map(_entry, allow_hosts)}
    loopback = target.host == "localhost" and "localhost" in named and address.is_loopback
    if not (str(address) in named or loopback or _is_public(address)):
        raise MediaRefusedError(f"host {target.host!r} leads to a private address ({address})")


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if any(address in network for network in _EMBEDDED):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
        if address.is_site_local or address in _LOCAL:
            return False
    return address.is_global and not address.is_multicast


def _entry(allowed: str) -> tuple[str, int | None]:
    """Host and port of an entry of ``allow_hosts``; an entry that is none allows nothing."""
    try:
        if allowed.count(":") > 1 and not allowed.startswith("["):
            return str(ipaddress.IPv6Address(allowed)), None
        parts = urlsplit(f"//{allowed}")
        host, port = parts.hostname or "", parts.port
        wildcard = "*." if host.startswith("*.") else ""
        return wildcard + _host(host.removeprefix("*.")), port
    except (ValueError, MediaRefusedError):
        return "", None


def _host(host: str) -> str:
    """Lower case and ASCII. An address has one spelling: others (``127.1``, ``0x7f000001``) are refused."""
    try:
        if ":" in host:
            return str(ipaddress.IPv6Address(host.replace("%", "zone")))  # no zones: they name an interface
        name = host.encode("idna").decode("ascii").lower().removesuffix(".")
        if _NUMBER.fullmatch(name.rpartition(".")[2]):
            return str(ipaddress.IPv4Address(name))
    except ValueError as error:
        raise MediaRefusedError(f"the URL's host {host[:80]!r} is not a name or address") from error
    if not _NAME.fullmatch(name):
        raise MediaRefusedError(f"the URL's host {host[:80]!r} is not a name or address")
    return name
