"""`/openapi.json`: the interface as an OpenAPI document, and `/docs`: the same as a page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from granite_mlx.serve.openapi import openapi
from granite_mlx.serve.openapi_page import openapi_page
from granite_mlx.serve.page import HEADERS


def document_routes() -> list[Route]:
    """Both are made once."""
    document = openapi()
    page = openapi_page(document)

    async def as_json(_: Request) -> Response:
        return JSONResponse(document)

    async def as_page(_: Request) -> Response:
        return HTMLResponse(page, headers=HEADERS)

    return [Route("/openapi.json", as_json), Route("/docs", as_page)]
