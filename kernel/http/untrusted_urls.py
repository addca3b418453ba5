"""POST requests to addresses that somebody has entered: judged when they are connected to, bounded in time and in size."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IPv6 addresses that lead to an IPv4 address by a translator (RFC 6052).
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class RequestNotSent(Exception):
    """There was no answer, for a reason that its text tells."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, and the beginning of a body."""

    status: int
    body: bytes


def post(
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    seconds: float,
    max_bytes: int,
    allowed_networks: Sequence[Network] = (),
) -> Reply:
    """Send `body`, and return the reply with up to `max_bytes` of its body. Redirects are replies like any other.

    All of it may take `seconds`, but for a name server that hangs. An address that is not public is connected to only if it
    is in one of `allowed_networks`; so is any address without TLS. Raises RequestNotSent.
    """
    until = time.monotonic() + seconds
    try:
        reply = _post(url, body, headers, until, max_bytes, allowed_networks)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a URL, host or path that is none
        reason = f"{type(error).__name__}: {error}"
        raise RequestNotSent(reason if time.monotonic() < until else _late(seconds)) from error
    if time.monotonic() >= until:  # the connection was shut down, and the body may be a part of it
        raise RequestNotSent(_late(seconds))
    return reply


def _late(seconds: float) -> str:
    return f"no complete answer within {seconds:g} s"


def _post(
    url: str, body: bytes, headers: Mapping[str, str], until: float, max_bytes: int, allowed: Sequence[Network]
) -> Reply:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestNotSent("the URL does not begin with https://host")
    is_secure = parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    found = _resolve(parts.hostname, port)
    judge(found, is_secure=is_secure, allowed_networks=allowed)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with _connected(found, port, until) as connected:
        connection = (HTTPSConnection if is_secure else HTTPConnection)(parts.hostname, port)
        connection.auto_open = 0  # it would connect to a name
        with _closing(connection):
            connection.sock = _secured(connected, parts.hostname) if is_secure else connected
            connection.request("POST", target, body, {**headers, "Connection": "close"})
            response = connection.getresponse()
            return Reply(response.status, response.read(max_bytes))


# --- Addresses --------------------------------------------------------------------------------------------------------


def judge(addresses: Sequence[Address], *, is_secure: bool, allowed_networks: Sequence[Network]) -> None:
    """Raise RequestNotSent unless all addresses may be connected to: public ones by TLS, others only if allowed."""
    for address in addresses:
        if any(address in network for network in allowed_networks):
            continue
        if not is_public(address):
            raise RequestNotSent(f"{address} is not a public address, nor in WEBHOOK_ALLOWED_NETWORKS")
        if not is_secure:
            raise RequestNotSent("http:// is only for addresses in WEBHOOK_ALLOWED_NETWORKS")


def is_public(address: Address) -> bool:
    """Whether the address is one of the public internet, and does not lead to an IPv4 address that is not."""
    if address in _NAT64:
        return is_public(IPv4Address(address.packed[-4:]))
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if isinstance(address, IPv6Address):
        return all(is_public(embedded) for embedded in _embedded(address))
    return True


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo


def _resolve(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]


# --- Connections ------------------------------------------------------------------------------------------------------


@contextmanager
def _connected(addresses: Sequence[Address], port: int, until: float) -> Iterator[socket.socket]:
    """A connection to the first address that takes one: to an address, not to a name, which may lead elsewhere by now.

    At `until` (of `time.monotonic()`) the connection is shut down, whatever is going on: sending, a handshake, an answer
    that comes byte by byte.
    """
    connected = _connect(addresses, port, until)
    # A second descriptor: wrapping in TLS takes the first one away from its socket.
    guarded = connected.dup()

    def shut_down() -> None:
        with suppress(OSError):
            guarded.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, until - time.monotonic()), shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield connected
    finally:
        timer.cancel()
        timer.join()  # or it could shut down another connection, that has got the number of this descriptor
        guarded.close()
        connected.close()


def _connect(addresses: Sequence[Address], port: int, until: float) -> socket.socket:
    failure: OSError = OSError("the name has no address")
    for address in addresses:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            connected = socket.create_connection((str(address), port), timeout=left)
        except OSError as error:
            failure = error
        else:
            connected.settimeout(max(0.001, until - time.monotonic()))
            return connected
    raise failure


@contextmanager
def _closing(connection: HTTPConnection) -> Iterator[None]:
    """Close the connection at the end, and never fail because of that."""
    try:
        yield
    finally:
        with suppress(OSError):
            connection.close()


def _secured(connected: socket.socket, host: str) -> ssl.SSLSocket:
    return _tls().wrap_socket(connected, server_hostname=host)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
