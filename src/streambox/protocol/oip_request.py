"""Open Inference Protocol v2 requests over HTTP: parsed, and checked against their model (see ``oip``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from streambox.errors import BadRequest
from streambox.protocol.diagnose import DECODE_ERRORS, describe, quoted
from streambox.protocol.tensors import from_binary, from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

    from streambox.executor.base import ModelSpec, TensorSpec

    Array = np.ndarray[Any, np.dtype[Any]]

Scalar = bool | int | float | str

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_NOT_YET: Final = ("BYTES", "BF16")
_SHARED_MEMORY: Final = "shared_memory_region"


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output the caller wants; ``binary``: as raw bytes behind the JSON."""

    name: str
    binary: bool


class InferCall(msgspec.Struct, frozen=True):
    """
    A decoded request that fits its model.

    Each of ``inputs`` has shape (rows, *dims), rows >= 1 alike. ``outputs`` is what to
    reply, in this order: what was asked for, else all. ``timeout_us`` is the caller's
    own limit, None: the model's.
    """

    id: str | None
    parameters: dict[str, Scalar]
    outputs: tuple[RequestedOutput, ...]
    inputs: dict[str, Array]
    rows: int
    timeout_us: int | None


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Any] | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] | None = None


_decode = msgspec.json.Decoder(_Request).decode


def decode_infer(
    body: bytes, spec: ModelSpec, model_name: str, binary_header_length: int | None
) -> InferCall:
    """
    Parse one inference request and check it against the model's *spec*.

    Args:
        binary_header_length: How many bytes of *body* are its JSON; None: all of it.

    Returns:
        The call; inputs that came as raw bytes are read-only views into *body*, and
        may hold NaN or infinities.

    Raises:
        BadRequest: Anything about the body that is not right, naming the field or
            the input.

    Cost: one msgspec decode, then one per JSON input and an ``isfinite`` if of floats.
    """
    header = _header(body, binary_header_length)
    try:
        request = _decode(header)
    except DECODE_ERRORS as error:
        raise BadRequest(describe(bytes(header), error)) from None
    parameters = _scalars(request.parameters, "parameters")
    binary = _flag(parameters, "binary_data_output", "parameters")
    tensors = _match(request.inputs, spec, model_name)
    inputs = _arrays(tensors, body, binary_header_length)
    return InferCall(
        request.id or None,
        parameters,
        _requested(request.outputs or (), spec, model_name, binary),
        inputs,
        _rows(inputs),
        _timeout_us(parameters),
    )


def _header(body: bytes, length: int | None) -> bytes | memoryview:
    if length is None:
        return body
    if length > len(body):
        raise BadRequest(f"{HEADER_LENGTH} is {length}, but the body has only {len(body)} bytes")
    return memoryview(body)[:length]


def _scalars(parameters: dict[str, Any] | None, where: str) -> dict[str, Scalar]:
    for key, value in (parameters or {}).items():
        if not isinstance(value, Scalar):
            raise BadRequest(f"{where}[{quoted(key)}]: expected a string, a number or a boolean")
    return parameters or {}


def _flag(parameters: dict[str, Scalar], key: str, where: str, default: bool = False) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise BadRequest(f"{where}.{key}: expected true or false, got {quoted(str(value))}")
    return value


def _timeout_us(parameters: dict[str, Scalar]) -> int | None:
    """0 means the model's own limit, as not giving one does."""
    value = parameters.get("timeout", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRequest(
            f"parameters.timeout: expected a whole number of microseconds, got {quoted(str(value))}"
        )
    return value or None


def _match(tensors: Iterable[_Tensor], spec: ModelSpec, model_name: str) -> list[tuple[_Tensor, TensorSpec]]:
    """Pair each tensor with the model's of that name: each exactly once, of its datatype and shape."""
    wanted = {tensor.name: tensor for tensor in spec.inputs}
    pairs = []
    for tensor in tensors:
        match = wanted.pop(tensor.name, None)
        if match is None:
            raise _unexpected(tensor.name, spec, model_name)
        _check_datatype(tensor, match)
        _check_shape(tensor, match)
        pairs.append((tensor, match))
    if wanted:
        raise BadRequest(f"input {next(iter(wanted))!r} is missing: model {model_name!r} needs it")
    return pairs


def _unexpected(name: str, spec: ModelSpec, model_name: str) -> BadRequest:
    if any(tensor.name == name for tensor in spec.inputs):
        return BadRequest(f"input {quoted(name)} is given twice")
    return BadRequest(f"input {quoted(name)} is unknown: model {model_name!r} takes {_names(spec.inputs)}")


def _check_datatype(tensor: _Tensor, wanted: TensorSpec) -> None:
    if tensor.datatype == wanted.datatype:
        return
    if tensor.datatype in _NOT_YET:
        raise BadRequest(
            f"input {tensor.name!r}: datatype {tensor.datatype} is not supported yet by this model, "
            f"expected {wanted.datatype}"
        )
    raise BadRequest(
        f"input {tensor.name!r}: datatype is {quoted(tensor.datatype)}, expected {wanted.datatype}"
    )


def _check_shape(tensor: _Tensor, wanted: TensorSpec) -> None:
    shape = tensor.shape
    fits = len(shape) == len(wanted.shape) and all(
        given == size if size >= 0 else given >= 1 for given, size in zip(shape, wanted.shape, strict=True)
    )
    if not fits:
        raise BadRequest(
            f"input {tensor.name!r}: shape is {_short(shape)}, expected {list(wanted.shape)} "
            "where -1 stands for any number from 1"
        )


def _short(shape: Sequence[int]) -> str:
    sizes = [str(size) for size in shape[:8]]
    text = ", ".join(size if len(size) <= 20 else size[:20] + "…" for size in sizes)
    return f"[{text}, …]" if len(shape) > 8 else f"[{text}]"


def _arrays(
    pairs: Iterable[tuple[_Tensor, TensorSpec]], body: bytes, header_length: int | None
) -> dict[str, Array]:
    """The values of each input; raw ones follow the header back to back and end where the body does."""
    inputs: dict[str, Array] = {}
    end = len(body) if header_length is None else header_length
    for tensor, wanted in pairs:
        size_bytes = _binary_size(tensor)
        shape = tuple(tensor.shape)
        if size_bytes is None:
            inputs[tensor.name] = from_json(tensor.name, _values(tensor), wanted.datatype, shape)
            continue
        if header_length is None:
            raise BadRequest(f"input {tensor.name!r}: binary_data_size needs the HTTP header {HEADER_LENGTH}")
        span = slice(end, end + size_bytes)
        inputs[tensor.name] = from_binary(tensor.name, body, span, wanted.datatype, shape)
        end = span.stop
    if end != len(body):
        raise BadRequest(f"body: {len(body) - end} bytes are left over behind its header and binary data")
    return inputs


def _binary_size(tensor: _Tensor) -> int | None:
    """The input's binary_data_size; None where its values are JSON."""
    if not tensor.parameters:
        return None
    where = f"input {tensor.name!r} parameters"
    parameters = _scalars(tensor.parameters, where)
    if _SHARED_MEMORY in parameters:
        raise BadRequest(f"{where}.{_SHARED_MEMORY}: shared memory is not supported")
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise BadRequest(f"{where}.binary_data_size: expected a number of bytes, got {quoted(str(size))}")
    if _has_values(tensor):
        raise BadRequest(f"input {tensor.name!r}: data and binary_data_size exclude each other")
    return size


def _has_values(tensor: _Tensor) -> bool:
    return isinstance(tensor.data, msgspec.Raw) and bytes(memoryview(tensor.data)[:4]) != b"null"


def _values(tensor: _Tensor) -> msgspec.Raw:
    if isinstance(tensor.data, msgspec.Raw) and _has_values(tensor):
        return tensor.data
    raise BadRequest(f"input {tensor.name!r}: neither data nor binary_data_size is given")


def _rows(inputs: Mapping[str, Array]) -> int:
    (first, array), *others = inputs.items()
    for name, other in others:
        if len(other) != len(array):
            raise BadRequest(
                f"input {name!r} has {len(other)} rows, expected {len(array)}, as input {first!r} has"
            )
    return len(array)


def _requested(
    outputs: Sequence[_Output], spec: ModelSpec, model_name: str, binary: bool
) -> tuple[RequestedOutput, ...]:
    """What to reply: *outputs*, else all of the model's; *binary* where one does not say."""
    available = {tensor.name for tensor in spec.outputs}
    requested: dict[str, RequestedOutput] = {}
    for output in outputs:
        name = output.name
        if name not in available:
            raise BadRequest(
                f"output {quoted(name)} is unknown: model {model_name!r} gives {_names(spec.outputs)}"
            )
        if name in requested:
            raise BadRequest(f"output {name!r} is requested twice")
        requested[name] = RequestedOutput(name, _binary_output(output, binary))
    if not requested:
        return tuple(RequestedOutput(tensor.name, binary) for tensor in spec.outputs)
    return tuple(requested.values())


def _binary_output(output: _Output, default: bool) -> bool:
    where = f"output {output.name!r} parameters"
    parameters = _scalars(output.parameters, where)
    for key in ("classification", _SHARED_MEMORY):
        if key in parameters:
            raise BadRequest(f"{where}.{key}: not supported, expected the output as a tensor")
    return _flag(parameters, "binary_data", where, default)


def _names(tensors: Iterable[TensorSpec]) -> str:
    return ", ".join(repr(tensor.name) for tensor in tensors)
