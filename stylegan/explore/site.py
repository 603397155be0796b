"""The server of the explorer page: its address, and which requests it answers."""

import asyncio
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from socket import socket
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Request, Response
from nicegui import ui
from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from stylegan.explore.films import film_of, preview_frame
from stylegan.explore.matrix import Matrix, matrix_file
from stylegan.explore.networks import Comparison, Networks, Opened
from stylegan.explore.page import Page
from stylegan.explore.sheets import Kind, Sheet, content
from stylegan.explore.studio import Studio, file_name
from stylegan.explore.uploads import file_name_of, file_of_ws, received
from stylegan.explore.views import VIEWS
from stylegan.sample.options import parse_recipe
from stylegan_eval.engine.device import strict_float32
from stylegan_eval.errors import UserError

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4">'
    '<path fill="#1d3557" d="M0 0h4v4H0z"/><path fill="#457b9d" d="M0 0h2v2H0zM2 2h2v2H2z"/>'
    '<path fill="#a8dadc" d="M1 1h2v2H1z"/></svg>'
)
# Keeps the browser itself from asking anybody else, or from showing the page in another's.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data:; base-uri 'self'; form-action 'none';"
    " frame-ancestors 'none'"
)
MEDIA_TYPES = {".png": "image/png", ".zip": "application/zip", ".npy": "application/octet-stream"}
_BY_KEY = ("/target", "/w", "/film")  # addresses of what is held for a while
_FRESH = {"Cache-Control": "no-store"}  # another network may be served here tomorrow
_ABSENCE = 60  # seconds for which the page of a tab that has gone is kept
_PATIENCE = 2  # seconds that open connections have to end


class OwnPagesOnly:
    """Refuse cross-origin requests, WebSockets included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse where the origin that the browser states is not this host."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and not _is_of(origin, headers.get("host")):
                refusal = PlainTextResponse(
                    "refused: the request comes from another site\n", status_code=403
                )
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _is_of(origin: str, host: str | None) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:  # no address, http://[ for one
        return False


def application(networks: Networks, hosts: list[str]) -> FastAPI:
    """Page and images of networks, for these names in the Host header; "*" is any."""
    studio = networks.studio
    app = FastAPI(openapi_url=None)
    app.add_middleware(OwnPagesOnly)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)

    app.add_exception_handler(UserError, _refuse)
    _draw_images(app, networks)
    _offer_files(app, studio)

    @app.post("/upload")
    async def upload(request: Request, name: str) -> Response:
        return JSONResponse(await studio.uploads.take(await received(request.stream()), name))

    @ui.page("/")
    def page(request: Request) -> None:
        Page(networks, VIEWS, request.url.query)

    ui.run_with(
        app,
        title=f"stylegan-explore: {studio.subject.ckpt.name}",
        favicon=ICON,
        dark=None,  # as the system
        tailwind=False,
        show_welcome_message=False,
        language="en-US",
        reconnect_timeout=_ABSENCE,
    )
    return app


def _draw_images(app: FastAPI, networks: Networks) -> None:
    studio = networks.studio

    @app.get("/image")
    async def image(recipe: str, network: str = "") -> Response:
        parsed = parse_recipe(recipe)
        return _shown(await networks.png(network, parsed), file_name(parsed, network))

    @app.get("/difference")
    async def difference(times: str, recipe: str) -> Response:
        pair = networks.pair
        if pair is None:
            raise UserError("one network is served here, not two")
        comparison = Comparison.parse(f"--times {times} {recipe}", pair)
        return _shown(await comparison.png(pair), comparison.file_name)

    @app.get("/frame")
    async def frame(film: str, number: int) -> Response:
        return _shown(await preview_frame(await film_of(film, studio), number, studio))

    @app.get("/target")
    async def target(key: str) -> Response:
        return _shown(await asyncio.to_thread(studio.uploads.target(key).png))


def _offer_files(app: FastAPI, studio: Studio) -> None:
    async def sheet_of(kind: Kind, seeds: str, recipe: str) -> Response:
        sheet = Sheet.parse(seeds, parse_recipe(recipe), studio.subject)
        return _saved(await content(kind, sheet, studio), sheet.file_name(kind))

    @app.get("/grid")
    async def grid(seeds: str, recipe: str = "") -> Response:
        return await sheet_of("grid", seeds, recipe)

    @app.get("/zip")
    async def zipped(seeds: str, recipe: str = "") -> Response:
        return await sheet_of("zip", seeds, recipe)

    @app.get("/matrix")
    async def matrix(mixing: str) -> Response:
        parsed = Matrix.parse(mixing, studio.subject)
        return _saved(await matrix_file(parsed, studio), parsed.file_name)

    @app.get("/w")
    async def w(digest: str) -> Response:
        return _saved(file_of_ws(studio.held.get(digest)), file_name_of(digest))

    @app.get("/film")
    async def film(key: str) -> Response:
        path = studio.filmer.file(key)
        return FileResponse(path, filename=f"film{path.suffix}", headers=_FRESH)


def _shown(png: bytes, name: str = "") -> Response:
    """A picture of the page, saved under a name if it is saved."""
    where = f'inline; filename="{name}"' if name else "inline"
    return Response(png, media_type="image/png", headers={"Content-Disposition": where} | _FRESH)


def _saved(data: bytes, name: str) -> Response:
    """A file to save under a name."""
    where = f'attachment; filename="{name}"'
    media_type = MEDIA_TYPES[PurePath(name).suffix]
    return Response(data, media_type=media_type, headers={"Content-Disposition": where} | _FRESH)


async def _refuse(request: Request, error: Exception) -> Response:
    status = 404 if request.url.path in _BY_KEY else 400
    return PlainTextResponse(f"{error}\n", status_code=status)


@contextmanager
def _quiet_end(server: uvicorn.Server) -> Iterator[None]:
    """Log nothing of requests that are cut off because the server stops: that is no error."""

    def is_error(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        cut_off = error is None or isinstance(error, asyncio.CancelledError)
        return not (server.should_exit and cut_off)

    log = logging.getLogger("uvicorn.error")
    log.addFilter(is_error)
    try:
        yield
    finally:
        log.removeFilter(is_error)


def serve(opened: Sequence[Opened], listening: socket, hosts: list[str]) -> None:
    """Serve the page of one network or two, until KeyboardInterrupt or Terminated comes.

    `hosts`: as in `application`.
    """
    networks = Networks(opened)
    studio = networks.studio
    try:
        config = uvicorn.Config(
            application(networks, hosts),
            log_level="warning",
            access_log=False,
            headers=[("Content-Security-Policy", POLICY)],
            timeout_graceful_shutdown=_PATIENCE,
        )
        # Switches of precision are the process's: here they stay, or a thread that leaves its own
        # block would put TF32 back amid an image or a projection of another thread.
        with strict_float32(studio.subject.painter.device.type), warnings.catch_warnings():
            # The library looks at all objects there are for its server, some of which complain.
            warnings.filterwarnings("ignore", module=r"nicegui\.ui_run_with")
            server = uvicorn.Server(config)
            with _quiet_end(server):
                server.run(sockets=[listening])
    finally:
        studio.close()
