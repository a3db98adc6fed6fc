"""The server as one ASGI application: where routes, checks and the model come together.

    app = server_app(granite_mlx.load("demo"), folder)

`running.py` runs it; any ASGI server could.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from granite_mlx.serve.access import Access, AccessCheck
from granite_mlx.serve.documents import document_routes
from granite_mlx.serve.endpoint import AudioEndpoint
from granite_mlx.serve.errors import ApiError, ErrorAnswers
from granite_mlx.serve.fields import read_transcription, read_translation, unknown_model
from granite_mlx.serve.limits import ServerLimits
from granite_mlx.serve.names import is_known
from granite_mlx.serve.page import page_routes
from granite_mlx.serve.places import Places
from granite_mlx.serve.realtime import Realtime, RealtimeLimits
from granite_mlx.serve.stopping import Stop
from granite_mlx.serve.transcripts import TranscriptEndpoint
from granite_mlx.serve.uploads import Room
from granite_mlx.serve.work import ServedModel, Work


def server_app(
    model: ServedModel,
    folder: Path,
    access: Access | None = None,
    limits: ServerLimits | None = None,
    realtime: RealtimeLimits | None = None,
) -> Starlette:
    """The application around a loaded model, whose number of requests it limits.

    Args:
        folder: where uploads lie while they are worked on; nothing else is written.

    What runs it may call `app.state.stop.begin()` when it ends: requests at work then end, too.
    """
    access, limits = access or Access(), limits or ServerLimits()

    # 1. The model: its names, and how it is asked.
    is_ours = partial(is_known, model_id=model.model_id)
    stop = Stop()
    work, places = Work(model, limits, stop), Places(limits.n_requests)
    room = Room(folder, limits.held_bytes)

    # 2. OpenAI's interface. Both kinds of recordings share places and room.
    transcriptions, translations = (
        AudioEndpoint(partial(read, is_known=is_ours), work, places, room, limits, stop)
        for read in (read_transcription, read_translation)
    )
    openai_routes = [
        Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
        Route("/v1/audio/translations", translations, methods=["POST"]),
        WebSocketRoute("/v1/realtime", Realtime(model, realtime, is_known_model=is_ours)),
        *_model_routes(model.model_id),
    ]

    # 3. Ours: transcripts in other formats, whether it runs, its description, the page.
    own_routes = [
        Route("/v1/transcripts/{format}", TranscriptEndpoint(limits, stop), methods=["POST"]),
        Route("/health", _health),
        *document_routes(),
        *page_routes(),
    ]

    # 4. In front of all, from outside to inside: what is raised becomes an answer; who may not ask
    #    gets no further.
    app = Starlette(
        routes=[*openai_routes, *own_routes],
        middleware=[Middleware(ErrorAnswers), Middleware(AccessCheck, access=access)],
        exception_handlers={HTTPException: _no_such_route},
    )
    app.router.redirect_slashes = False
    app.state.stop = stop
    return app


def _model_routes(model_id: str) -> list[Route]:
    entry = {
        "id": model_id,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "granite-mlx",
        "granite": {"stream": "segments"},  # what the page looks at
    }

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [entry]})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        if not is_known(name, model_id):
            raise unknown_model(name)
        return JSONResponse(entry)

    return [Route("/v1/models", models), Route("/v1/models/{name:path}", model)]


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _no_such_route(request: Request, error: Exception) -> NoReturn:
    """Starlette's 404 and 405, in OpenAI's shape."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        message = f"{request.method} is not for {request.url.path[:200]}."
    else:
        message = f"there is no {request.url.path[:200]} here; /docs shows what there is."
    raise ApiError(error.status_code, message, code="unknown_url", headers=error.headers)
