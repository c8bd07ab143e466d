"""Everything that is not inference: health, metadata, metrics, and errors on other paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from streambox import __version__
from streambox.errors import MethodNotAllowed, NotFound, StreamBoxError, UnknownModel
from streambox.protocol import oip, reference
from streambox.protocol.diagnose import quoted
from streambox.server.identity import holder_of, read_key
from streambox.server.metrics import StreamBoxCollector, metrics_page
from streambox.server.routes import unknown_model, unknown_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from streambox.batcher.served_model import ServedModel
    from streambox.batcher.tenants import Tenant
    from streambox.server.edge import Edge
    from streambox.serving import Serving


def create_app(serving: Serving, edge: Edge) -> Starlette:
    """The ASGI application behind the hot routes."""
    pages = _Pages(serving, edge)
    model = "/v2/models/{name}"
    version = model + "/versions/{version}"
    routes = [
        Route("/v2", pages.server),
        Route("/v2/", pages.server),
        Route("/v2/health/live", pages.live),
        Route("/v2/health/ready", pages.ready),
        Route(model, pages.model),
        Route(version, pages.model),
        Route(model + "/ready", pages.model_ready),
        Route(version + "/ready", pages.model_ready),
        Route("/metrics", pages.metrics),
        # Answered before they get here, unless by another method.
        Route("/api/batcher", _unreachable, methods=["POST"]),
        Route(model + "/infer", _unreachable, methods=["POST"]),
        Route(version + "/infer", _unreachable, methods=["POST"]),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={StreamBoxError: _on_error, HTTPException: _on_http_error},  # type: ignore[dict-item]
    )
    app.router.redirect_slashes = False  # a wrong path is a 404, not a redirect to where Host says
    return app


class _Pages:
    def __init__(self, serving: Serving, edge: Edge) -> None:
        self._serving = serving
        self._edge = edge
        self._registry = CollectorRegistry()
        self._registry.register(StreamBoxCollector(serving, edge))

    async def server(self, _: Request) -> Response:
        return _json(oip.server_metadata(__version__))

    async def live(self, _: Request) -> Response:
        return _json(oip.server_live(True))

    async def ready(self, _: Request) -> Response:
        ready = not self._edge.draining and all(m.available for m in self._serving.models.values())
        return _json(oip.server_ready(ready), 200 if ready else 503)

    async def model(self, request: Request) -> Response:
        served = self._find(request, self._identify(request))
        return _json(oip.model_metadata(served.name, served.spec))

    async def model_ready(self, request: Request) -> Response:
        """Open to everybody, as health is; to them it does not list what else is served."""
        served = self._find(request, None)
        ready = not self._edge.draining and served.available
        return _json(oip.model_ready(served.name, ready), 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        page, content_type = metrics_page(self._registry, request.headers.get("accept", ""))
        return Response(page, media_type=content_type)

    def _identify(self, request: Request) -> Tenant | None:
        """Raises Unauthorized."""
        roster = self._serving.roster
        return holder_of(read_key(request.headers.raw), roster) if roster else None

    def _find(self, request: Request, tenant: Tenant | None) -> ServedModel:
        name = request.path_params["name"]
        served = self._serving.models.get(name)
        if served is None:
            if tenant is None and self._serving.roster:
                raise UnknownModel(f"no model {quoted(name)}")
            raise unknown_model(name, self._serving.models, tenant)
        if tenant is not None:
            tenant.check_model(name)
        version = request.path_params.get("version", oip.MODEL_VERSION)
        if version != oip.MODEL_VERSION:
            raise unknown_version(name, version)
        return served


async def _unreachable(request: Request) -> Response:
    raise NotFound(f"no such path: {request.url.path}")  # pragma: no cover - the hot routes come first


async def _on_error(request: Request, error: StreamBoxError) -> Response:
    headers = {} if error.challenge is None else {"www-authenticate": error.challenge}
    return _error(request, error, headers)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    path = request.url.path
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        refusal = MethodNotAllowed(f"{request.method} is not allowed on {path}: use {allowed}")
        return _error(request, refusal, {"allow": allowed})
    return _error(
        request, NotFound(f"no such path: {path}; inference is at /api/batcher and /v2/models/NAME/infer")
    )


def _error(request: Request, error: StreamBoxError, headers: Mapping[str, str] | None = None) -> Response:
    if request.url.path.startswith("/v2"):
        body, extra = oip.encode_error(error), {"x-error-code": error.code}
    else:
        body, extra = reference.encode_error(error, None), {}
    return Response(body, error.status, {**extra, **(headers or {})}, media_type="application/json")


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")
