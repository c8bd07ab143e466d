"""
The hot routes: from a request's body to a pending request, and from its end to reply bytes.

One route object per API and model. A route decodes, checks against the model's spec and
renders; it does no I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote_to_bytes

from streambox.batcher.batch import signature
from streambox.errors import NotFound, StreamBoxError, UnknownModel
from streambox.protocol import oip, reference
from streambox.protocol.diagnose import quoted
from streambox.protocol.replies import BatchFacts
from streambox.server.exchange import HotRequest
from streambox.server.head import origin_form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from streambox.batcher.batch import Batch
    from streambox.batcher.served_model import ServedModel
    from streambox.batcher.tenants import Tenant
    from streambox.server.head import RequestHead

    Array = np.ndarray[Any, np.dtype[Any]]
    OnDone = Callable[[Any], None]

REFERENCE_PATH: Final = b"/api/batcher"
_INFER: Final = re.compile(rb"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")


class Route(Protocol):
    def decode(self, body: bytes | bytearray, head: RequestHead, on_done: OnDone) -> HotRequest:
        """A request ready to be submitted. Raises BadRequest, UnknownModel."""
        ...

    def render(self, request: HotRequest) -> tuple[bytes, bytes]:
        """Body and extra header lines of a completed request's reply. Raises BadModelOutput."""
        ...

    def error(self, error: StreamBoxError, request_id: str | None) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Body and extra headers that say *error* as this API does; None: the id could not be read."""
        ...


def unknown_model(name: str, served: Mapping[str, ServedModel], tenant: Tenant | None = None) -> UnknownModel:
    """Tells what there is instead; a *tenant* only what it may ask for."""
    known = sorted(model for model in served if tenant is None or tenant.may_ask(model))
    return UnknownModel(f"no model {quoted(name)}: there are {', '.join(known) or 'none'}")


def unknown_version(name: str, version: str) -> UnknownModel:
    return UnknownModel(f"model {name!r} has no version {quoted(version)}: there is {oip.MODEL_VERSION}")


class BatchReply:
    """What the replies of one batch share, whichever API its requests came by: made at the first of them."""

    __slots__ = ("_template", "facts")

    def __init__(self, batch: Batch) -> None:
        self._template: reference.ReplyTemplate | None = None
        self.facts = BatchFacts.of(batch)

    def template(self, batch: Batch) -> reference.ReplyTemplate:
        """*batch* is the one we were made for. It keeps us, so we do not keep it: tensors are not to wait
        for a cycle collection."""
        if self._template is None:
            self._template = reference.ReplyTemplate(batch.model, self.facts, batch.outputs)
        return self._template


class ReferenceRoute:
    """``POST /api/batcher``: the model is named in the body."""

    def __init__(self, served: Mapping[str, ServedModel]) -> None:
        self._served = served
        self._rules: dict[str, reference.VectorRule] = {
            name: reference.VectorRule(model.spec) for name, model in served.items()
        }

    def decode(self, body: bytes | bytearray, head: RequestHead, on_done: OnDone) -> HotRequest:
        call = reference.decode(body)
        vector: list[float] | Array = call.data.vector
        length = len(vector)
        model, tenant = call.model, head.tenant
        rule = self._rules.get(model)
        try:
            if rule is None:
                raise unknown_model(model, self._served, tenant)
            if tenant is not None:
                tenant.check_model(model)
            if length != rule.length:
                rule.check(call.data.vector)
        except StreamBoxError as error:
            error.request_id = call.request_id
            raise
        if length > reference.LONG_VECTOR:
            vector = rule.packed(call.data.vector)
        request = HotRequest(model, on_done, call.request_id, vector)
        if length != rule.length:
            request.signature = length
        request.timeout_ns = head.timeout_ns
        request.tenant = tenant
        return request

    def render(self, request: HotRequest) -> tuple[bytes, bytes]:
        batch = request.batch
        assert batch is not None  # noqa: S101 - a completed request has run
        if batch.reply is None:
            batch.reply = BatchReply(batch)
        return batch.reply.template(batch).render(request.request_id, request.first_row, request.rows), b""

    def error(self, error: StreamBoxError, request_id: str | None) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        return reference.encode_error(error, request_id), []


class InferRoute:
    """``POST /v2/models/{name}[/versions/{version}]/infer`` for one model."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served

    def decode(self, body: bytes | bytearray, head: RequestHead, on_done: OnDone) -> HotRequest:
        served, tenant = self._served, head.tenant
        if tenant is not None:
            tenant.check_model(served.name)
        call = oip.decode_infer(bytes(body), served.spec, served.name, head.json_bytes)
        request = HotRequest(served.name, on_done, call.id or "", inputs=call.inputs, rows=call.rows)
        request.call = call
        request.signature = signature(served.spec, call.inputs)
        request.timeout_ns = head.timeout_ns if call.timeout_us is None else call.timeout_us * 1000
        request.tenant = tenant
        return request

    def render(self, request: HotRequest) -> tuple[bytes, bytes]:
        batch = request.batch
        assert batch is not None  # noqa: S101 - a completed request has run
        if batch.reply is None:
            batch.reply = BatchReply(batch)
        rows = slice(request.first_row, request.first_row + request.rows)
        outputs = {name: output[rows] for name, output in batch.outputs.items()}
        reply = oip.encode_infer_reply(request.call, batch.model, batch.reply.facts, outputs)
        if reply.header_length is None:
            return reply.body, b""
        return reply.body, b"inference-header-content-length: %d\r\n" % reply.header_length

    def error(self, error: StreamBoxError, request_id: str | None) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        return oip.encode_error(error), [(b"x-error-code", error.code.encode())]


class UnservedRoute(InferRoute):
    """An infer path that names no model or version of ours: refuses whatever comes, by *refusal*."""

    def __init__(self, refusal: Callable[[Tenant | None], StreamBoxError]) -> None:
        self._refusal = refusal

    def decode(self, body: bytes | bytearray, head: RequestHead, on_done: OnDone) -> HotRequest:
        raise self._refusal(head.tenant)


class Router:
    """From a request target to its hot route. Cost for the usual target: one dict look-up."""

    def __init__(self, served: Mapping[str, ServedModel]) -> None:
        self._served = served
        self._reference = ReferenceRoute(served)
        self._infer = {name: InferRoute(model) for name, model in served.items()}
        self._routes: dict[bytes, Route] = {REFERENCE_PATH: self._reference}
        for name, route in self._infer.items():
            self._routes[b"/v2/models/%b/infer" % name.encode()] = route

    def find(self, target: bytes) -> Route | None:
        """The hot route of *target*, its query ignored; None when uvicorn's application answers it."""
        return self._routes.get(target) or self._find_unusual(target)

    def default(self, target: bytes) -> Route:
        """Whose way of saying an error fits *target*, hot or not."""
        return UnservedRoute(lambda _: NotFound("")) if target.startswith(b"/v2") else self._reference

    def _find_unusual(self, target: bytes) -> Route | None:
        path = unquote_to_bytes(origin_form(target).partition(b"?")[0])
        match = _INFER.fullmatch(path)
        if match is None:
            return self._routes.get(path)
        name = match[1].decode("utf-8", "replace")
        route = self._infer.get(name)
        if route is None:
            return UnservedRoute(lambda tenant: unknown_model(name, self._served, tenant))
        if match[2] not in (None, oip.MODEL_VERSION.encode()):
            version = match[2].decode("utf-8", "replace")
            return UnservedRoute(lambda _: unknown_version(name, version))
        return route
