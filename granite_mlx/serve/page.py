"""The page at `/`: the files of `page/`, with headers that keep the browser to this server.

    Starlette(routes=[*page_routes(), ...])

The files are few and small: they are read once, so no path of a request is ever opened. They hold
nothing secret and need no token; what the page asks the server for does.
"""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

HEADERS = {
    # Recordings are played from the page's own memory: blob.
    "Content-Security-Policy": (
        "default-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def page_routes() -> list[BaseRoute]:
    """`/` and `/page/NAME`."""
    contents = page_files()

    async def index(_: Request) -> Response:
        return _response("index.html", contents["index.html"])

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in contents:
            return PlainTextResponse("there is no such file.\n", 404, HEADERS)
        return _response(name, contents[name])

    return [Route("/", index), Route("/page/{name}", file)]


def page_files() -> dict[str, bytes]:
    """The page's files by name."""
    folder = files("granite_mlx.serve") / "page"
    return {
        entry.name: entry.read_bytes()
        for entry in folder.iterdir()
        if entry.name.rpartition(".")[2] in MEDIA_TYPES
    }


def _response(name: str, content: bytes) -> Response:
    media_type = MEDIA_TYPES[name.rpartition(".")[2]]
    return Response(content, headers=HEADERS, media_type=media_type)
