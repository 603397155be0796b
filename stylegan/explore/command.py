"""The command `stylegan-explore`: a local page with one network, or with two.

Its address is checked and bound before anything heavy is loaded.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylegan.sample import options
from stylegan.sample.options import directions_option
from stylegan_eval.engine.command import (
    ErrorLineCommand,
    escape_unprintable,
    say,
    stopping_on_signals,
)
from stylegan_eval.engine.options import NetworkPath
from stylegan_eval.errors import UserError

if TYPE_CHECKING:
    from stylegan.explore.networks import Opened

_MOST = 2  # networks
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1", "[::1]")


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option(
    "--ckpt",
    "ckpts",
    required=True,
    multiple=True,
    type=NetworkPath(),
    metavar="CKPT|demo",
    help="Checkpoint or network file, a run's folder (then its newest), or the package's network;"
    " a second one to compare it with.",
)
@directions_option
@click.option("--host", default="127.0.0.1", help="Address to listen at: this machine's alone.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, help="Port; 0 is any that is free."
)
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@options.device
def main(
    ckpts: tuple[Path, ...],
    directions: Path | None,
    host: str,
    port: int,
    opens: bool,
    device: str,
) -> None:
    """Serve a page to explore a network: seeds, truncation, mixing, noise, attributes.

    \b
    stylegan-explore --ckpt demo
    stylegan-explore --ckpt runs/a --ckpt runs/b
    stylegan-explore --ckpt runs/f32 --directions f32-directions.safetensors --port 0 --open

    Each image can be downloaded with the command that draws it again. Stops on Ctrl-C.
    """
    escape_unprintable()
    _check_named(ckpts)
    with stopping_on_signals():
        check_installed()
        with listen(host, port) as listener:
            from stylegan.explore.site import serve

            opened = _open(ckpts, directions, device)
            for line in listener.warnings():
                say(line, err=True)
            shown = [f"{subject.ckpt} ({subject.description})" for subject, _ in opened]
            say(f"{' and '.join(shown)} at {listener.url}")
            if opens:
                click.launch(listener.url)
            serve(opened, listener.socket, listener.hosts)


def _check_named(ckpts: Sequence[Path]) -> None:
    if len(ckpts) > _MOST:
        raise click.UsageError(f"--ckpt is given {len(ckpts)} times: at most two are compared")
    if len({*ckpts}) < len(ckpts):
        raise click.UsageError(f"--ckpt {ckpts[0]} is given twice: name another network, or one")


def _open(ckpts: Sequence[Path], directions: Path | None, device: str) -> list[Opened]:
    """Open the networks; the directions are those of the first."""
    from stylegan.sample.drawing import open_source
    from stylegan.sample.recipe import GeneratorSource
    from stylegan_eval.engine.files import sha256_of

    opened = []
    for place, ckpt in enumerate(ckpts):
        named = directions if place == 0 else None
        source = GeneratorSource(ckpt=ckpt, directions=named, device=device)
        opened.append((open_source(source, moves=place == 0), source))
    if len({sha256_of(subject.file) for subject, _ in opened}) < len(opened):
        raise click.UsageError(
            f"{' and '.join(map(str, ckpts))} are the same network: name another one, or one alone"
        )
    return opened


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


if __name__ == "__main__":
    main()
