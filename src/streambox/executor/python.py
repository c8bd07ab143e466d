"""A user's own function or class as a model, inside a worker."""

from __future__ import annotations

import importlib
import inspect
import operator
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.errors import RowError
from streambox.executor.base import LoadFailed, ModelSpec, TensorSpec
from streambox.executor.model import RowsFailed, bad_output, check_rows, located, one_line
from streambox.protocol.datatypes import NUMPY_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from streambox.executor.options import WorkerOptions

    Array = np.ndarray[Any, np.dtype[Any]]

# What a callable written for {name: array} raises first when it is given a plain array.
_ARRAY_IS_NOT_A_MAPPING: Final = (IndexError, AttributeError, TypeError, ValueError, KeyError)


class PythonModel:
    """
    Calls ``module:callable`` with ``{input name: array [rows, …]}``, expecting the like for outputs.

    A class is instantiated once and its instance called. A model with one input and one output may
    work on plain arrays instead; which of the two the callable was written for is learnt from the
    first call that succeeds, unless its parameter is annotated.
    """

    def __init__(self, options: WorkerOptions) -> None:
        """Raises LoadFailed."""
        if not options.inputs or not options.outputs:
            raise LoadFailed("a python model needs inputs and outputs in the config")
        for spec in (*options.inputs, *options.outputs):
            _check_spec(spec)
        self._call = load_callable(options.callable, options.search_path)
        self.spec = ModelSpec(options.inputs, options.outputs, "python")
        alone = len(options.inputs) == len(options.outputs) == 1
        self._plain: bool | None = _annotated_plain(self._call) if alone else False

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        rows = len(next(iter(inputs.values())))
        try:
            outputs = self._answer(inputs)
        except RowError as refusal:
            raise _refused([refusal], rows) from None
        except ExceptionGroup as group:
            refusals = [error for error in group.exceptions if isinstance(error, RowError)]
            if len(refusals) < len(group.exceptions):
                raise
            raise _refused(refusals, rows) from None
        return self._checked(outputs, rows)

    def _answer(self, inputs: dict[str, Array]) -> object:
        if self._plain is False:
            return self._call(inputs)
        (plain,) = inputs.values()
        try:
            outputs = self._call(plain)
        except _ARRAY_IS_NOT_A_MAPPING as error:
            if self._plain:
                raise
            return self._answer_by_name(inputs, error)
        self._plain = True
        return outputs

    def _answer_by_name(self, inputs: dict[str, Array], error: Exception) -> object:
        try:
            outputs = self._call(inputs)
        except RowError:
            self._plain = False
            raise
        except Exception:  # noqa: BLE001 - then the name was not the trouble: the first error tells more
            raise error from None
        self._plain = False
        return outputs

    def _checked(self, outputs: object, rows: int) -> dict[str, Array]:
        specs = self.spec.outputs
        if not isinstance(outputs, dict):
            if len(specs) > 1:
                raise bad_output(
                    f"the model returned {type(outputs).__name__}, not a dict of {len(specs)} outputs"
                )
            outputs = {specs[0].name: outputs}
        missing = [spec.name for spec in specs if spec.name not in outputs]
        if missing or len(outputs) > len(specs):
            raise bad_output(
                f"the model returned outputs {sorted(map(str, outputs))}; declared: {_names(specs)}"
            )
        checked = {spec.name: _cast(outputs[spec.name], spec) for spec in specs}
        check_rows(checked, rows)
        for spec in specs:
            _check_shape(checked[spec.name], spec)
        return checked


def load_callable(target: str, search_path: str = "") -> Callable[[Any], Any]:
    """
    Import ``module:name``; a class is instantiated.

    *search_path*, where given, is looked in before PYTHONPATH. Raises LoadFailed in one line that
    names the module and, for an error inside it, the file and line.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise LoadFailed(f"callable '{target}' is not of the form module:name")
    if search_path:
        sys.path.insert(0, str(Path(search_path).resolve()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # noqa: BLE001 - a user's module may raise anything
        raise LoadFailed(f"cannot import module '{module_name}': {located(error)}") from None
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise LoadFailed(f"module '{module_name}' has no callable '{attribute}'")
    return _instance(found, target) if inspect.isclass(found) else found


def _instance(found: Callable[[], Any], target: str) -> Callable[[Any], Any]:
    try:
        made = found()
    except Exception as error:  # noqa: BLE001
        raise LoadFailed(f"cannot make '{target}': {located(error)}") from None
    if not callable(made):
        raise LoadFailed(f"class '{target}' has no __call__ method")
    return made  # type: ignore[no-any-return]


def _annotated_plain(call: Callable[..., Any]) -> bool | None:
    """Whether the first parameter's annotation asks for an array (True) or a mapping (False)."""
    try:
        parameter = next(iter(inspect.signature(call).parameters.values()))
    except (ValueError, TypeError, StopIteration):
        return None
    if parameter.annotation is parameter.empty:
        return None
    asked = str(parameter.annotation).lower()
    if "dict" in asked or "mapping" in asked:
        return False
    return True if "array" in asked else None


def _check_spec(spec: TensorSpec) -> None:
    if spec.datatype not in NUMPY_BY_NAME:
        raise LoadFailed(f"'{spec.name}' has datatype {spec.datatype}; known: {', '.join(NUMPY_BY_NAME)}")


def _refused(refusals: list[RowError], rows: int) -> Exception:
    messages: dict[int, str] = {}
    for refusal in refusals:
        try:
            index = operator.index(refusal.index)  # numpy's integers, too
        except TypeError:
            index = -1
        if not 0 <= index < rows:
            return bad_output(f"the model refused row {refusal.index!r} of a batch of {rows} rows")
        messages[index] = one_line(refusal.message)
    return RowsFailed(messages)


def _names(specs: tuple[TensorSpec, ...]) -> list[str]:
    return sorted(spec.name for spec in specs)


def _cast(output: object, spec: TensorSpec) -> Array:
    """
    *output* as a C-contiguous array of the declared datatype.

    A float may lose precision (numpy computes in FP64 by default); an integer may not lose its value.
    """
    try:
        array = np.asarray(output)
    except Exception as error:  # noqa: BLE001 - __array__ is the model's own code
        raise bad_output(f"output '{spec.name}' is not an array: {one_line(error)}") from None
    dtype = NUMPY_BY_NAME[spec.datatype]
    if array.dtype == dtype:
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise bad_output(f"output '{spec.name}' is of type {array.dtype}; declared {spec.datatype}")
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(array, dtype)
    if dtype.kind in "iu" and not np.array_equal(cast, array):
        raise bad_output(f"output '{spec.name}' has values that {spec.datatype} cannot hold")
    return cast


def _check_shape(array: Array, spec: TensorSpec) -> None:
    fits = array.ndim == len(spec.shape) and all(
        want in (-1, have) for want, have in zip(spec.dims, array.shape[1:], strict=True)
    )
    if not fits:
        raise bad_output(f"output '{spec.name}' has shape {list(array.shape)}; declared {list(spec.shape)}")
