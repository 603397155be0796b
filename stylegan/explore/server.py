"""The address of the explorer page: checked and bound before anything heavy is loaded."""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from stylegan_eval.errors import UserError

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1", "[::1]")


def check_installed() -> None:
    """Check that the page's library is installed."""
    if find_spec("nicegui") is None:
        raise UserError(
            "the page needs the package nicegui, which is not installed:"
            ' pip install ".[explore]" in the source folder'
        )


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A socket that listens."""

    socket: socket.socket  # Bound; connections wait until the server runs
    address: str  # Numeric address that it is bound to
    port: int  # Its port

    @property
    def url(self) -> str:
        """Address of the page for this machine's browser."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address, self.address)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}/"

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone reaches it."""
        return ipaddress.ip_address(self.address.partition("%")[0]).is_loopback

    @property
    def hosts(self) -> list[str]:
        """Accepted names in the Host header.

        On loopback its own alone: a page of a stranger, whose name leads here for the moment
        ("DNS rebinding"), is not answered. Elsewhere its names are not known.
        """
        return [*LOOPBACK_NAMES, self.address] if self.is_loopback else ["*"]

    def warnings(self) -> Iterator[str]:
        """Warnings to print before it is used."""
        if not self.is_loopback:
            yield (
                f"warning: everybody who reaches {self.address}:{self.port} can use the page:"
                " it asks for no password"
            )


@contextmanager
def listen(host: str, port: int) -> Iterator[Listener]:
    """Listen at an address; port 0 is any free one."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host {host} is no address: use 127.0.0.1, or this machine's") from error
    family, kind, protocol, _, address = addresses[0]
    with socket.socket(family, kind, protocol) as opened:
        # A port whose last server has just ended is free.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind(address)
            opened.listen()
        except OSError as error:
            raise UserError(_refused(host, port, error)) from error
        name = opened.getsockname()
        yield Listener(socket=opened, address=str(name[0]), port=int(name[1]))


def _refused(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: choose another with --port, or any free one with --port 0"
    if error.errno == errno.EACCES:
        return f"port {port} is not for everybody: choose one from 1024 up with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host} is no address of this machine: use 127.0.0.1, or one of its own"
    return f"cannot listen at {host}:{port}: {error.strerror or error}"
