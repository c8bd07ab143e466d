"""
The serving system as a library: models, scheduler and workers behind one object.

    async with Serving(load_config(path)) as serving:
        outputs = await serving.infer("digits", {"image": images})

Nothing starts before ``async with``; nothing of it is process-wide, so several may live
in one process.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, cast

import structlog

from streambox.batcher.batch import signature
from streambox.batcher.interface import QueueSettings
from streambox.batcher.policies import make_policy
from streambox.batcher.request import PendingRequest
from streambox.batcher.scheduler import Scheduler
from streambox.batcher.served_model import ServedModel
from streambox.batcher.streambox import StreamBoxBatcher
from streambox.clock import LoopClock
from streambox.config import BatcherSection, Config, ModelSection
from streambox.errors import ConfigError, UnknownModel
from streambox.executor.base import LoadFailed, ModelSpec, TensorSpec
from streambox.executor.model import located
from streambox.executor.options import WorkerOptions
from streambox.executor.process import WorkerExecutor
from streambox.inputs import check_inputs
from streambox.models import BUILTIN
from streambox.roster import Roster

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    import numpy as np

    from streambox.batcher.interface import Batcher
    from streambox.executor.base import Executor

    Array = np.ndarray[Any, np.dtype[Any]]

log = structlog.get_logger("streambox.serving")

# What is served when the configuration names no models. resnet50 is generated at its first request.
BUILTIN_MODELS: Final[Mapping[str, ModelSection]] = {
    "digits": ModelSection(builtin="digits"),
    "resnet50": ModelSection(builtin="resnet50", preprocess="tile"),
}
# A lazy model's requests are checked before it is loaded, so its spec is known beforehand.
_SPEC_BEFORE_LOAD: Final[Mapping[str, ModelSpec]] = {
    "resnet50": ModelSpec(
        inputs=(TensorSpec("data", "FP32", (-1, 3, 224, 224)),),
        outputs=(TensorSpec("logits", "FP32", (-1, 1000)),),
        platform="onnx_onnxv1",
        tile=True,
    )
}
_RETRY_LOAD_NS: Final = 1_000_000_000


class Serving:
    """
    Models in worker processes, and the scheduler that batches for them.

    *make_scheduler*: what makes it in place of ``Scheduler`` itself; one that keeps a record, say.

    Raises, on entering: LoadFailed when a model cannot be loaded, ConfigError when the
    configured ``Batcher`` class cannot be made.
    """

    roster: Roster
    scheduler: Scheduler
    clock: LoopClock

    def __init__(self, config: Config, make_scheduler: Callable[..., Scheduler] = Scheduler) -> None:
        self.config = config
        self._make_scheduler = make_scheduler
        self.models: dict[str, ServedModel] = {}
        self._executors: dict[str, WorkerExecutor] = {}
        self._loads: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.clock = LoopClock(loop)
        try:
            self.roster = Roster(self.config.tenants, self.clock.now_ns())
            shared = len(self.roster) > 1
            self.scheduler = self._make_scheduler(self.clock, batcher_factory(self.config), shared=shared)
            self.scheduler.on_unloaded = self._load_later
            await self._add_models()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    # ---- use -------------------------------------------------------------------------------------

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        timeout_ns: int | None = None,
        tenant: str | None = None,
    ) -> dict[str, Array]:
        """
        Run *inputs*, arrays of shape (rows, ...) by input name, batched with whatever else waits.

        *tenant* names whose request it is, where tenants are configured; a caller in the same
        process needs no key.

        Returns each output as (rows, ...). Cancelling the caller takes the request out
        of its queue. Raises the request's StreamBoxError.
        """
        whose = self.roster.named(tenant)
        request, answer = self._request(model, inputs)
        request.tenant = whose
        if timeout_ns is None and whose is not None:
            timeout_ns = whose.slo_ns
        request.timeout_ns = timeout_ns
        self.scheduler.submit(request)
        try:
            await answer
        except asyncio.CancelledError:
            self.scheduler.cancel(request)
            raise
        if request.error is not None:
            raise request.error
        batch = request.batch
        assert batch is not None  # noqa: S101 - a completed request has run
        rows = slice(request.first_row, request.first_row + request.rows)
        return {name: output[rows] for name, output in batch.outputs.items()}

    @property
    def batcher(self) -> Batcher:
        return self.scheduler.batcher

    def set_time_window(self, ms: float, model: str | None = None) -> None:
        """Change the batching time window, of one model or of all, from the next decision on."""
        self.batcher.set_time_window(ms, model)

    def set_batch_size(self, rows: int, model: str | None = None) -> None:
        """
        Change the maximum batch size, of one model or of all; a model's own cap still holds.

        It holds for what comes: a request, or part of one, accepted before with more rows runs by itself.
        """
        if rows < 1:
            raise ValueError(f"the maximum batch size is at least 1 row, got {rows}")
        for served in [self.models[model]] if model is not None else self.models.values():
            cap = served.spec.max_rows
            size = rows if cap is None else min(rows, cap)
            self.scheduler.change(served.name, served.settings._replace(max_batch_size=size))
            self.batcher.set_batch_size(size, served.name)

    def set_policy(self, policy: str, model: str | None = None) -> None:
        """
        Change the policy, of one model or of all; what waits is decided by it from now on.

        Raises ConfigError where there is no such policy, or the configured ``Batcher`` has none.
        """
        self._own_batcher().set_policy(policy, self._known(model))

    def set_preferred_batch_size(self, sizes: Sequence[int], model: str | None = None) -> None:
        """
        Change the sizes that batches should have, of one model or of all; none: any will do.

        Raises ConfigError where the configured ``Batcher`` has no use for them.
        """
        self._own_batcher().set_preferred_batch_size(sizes, self._known(model))

    def _own_batcher(self) -> StreamBoxBatcher:
        if isinstance(self.batcher, StreamBoxBatcher):
            return self.batcher
        raise ConfigError(
            f"batcher.class: {self.config.batcher.class_!r} decides by itself: it has no policy"
        )

    def _known(self, model: str | None) -> str | None:
        if model is not None and model not in self.models:
            raise UnknownModel(f"no model {model!r}: there are {', '.join(sorted(self.models)) or 'none'}")
        return model

    async def drain(self, timeout_s: float) -> int:
        """
        Refuse new requests and answer those that are in. Idempotent.

        Returns how many had to be failed because *timeout_s* ran out; 0 when all is well.
        """
        idle = asyncio.Event()
        self.scheduler.on_idle = idle.set
        self.scheduler.drain()
        try:
            async with asyncio.timeout(timeout_s):
                await idle.wait()
        except TimeoutError:
            return self._fail_all()
        return 0

    def hurry(self) -> None:
        """Let closing, under way or to come, wait for no worker: what one still runs is lost."""
        for executor in self._executors.values():
            executor.hurry()

    # ---- models ----------------------------------------------------------------------------------

    async def _add_models(self) -> None:
        sections = BUILTIN_MODELS if self.config.models is None else self.config.models
        lazy = [name for name in sections if self.config.models is None and BUILTIN[name].lazy]
        executors = {name: self._executor(name, section) for name, section in sections.items()}
        eager = [name for name in sections if name not in lazy]
        self._executors = executors
        loaded = await asyncio.gather(*(executors[name].load() for name in eager), return_exceptions=True)
        specs = dict(zip(eager, loaded, strict=True))
        for spec in loaded:
            if isinstance(spec, BaseException):
                raise spec
        for name, section in sections.items():
            ready = name in specs
            spec = specs[name] if ready else _SPEC_BEFORE_LOAD[name]
            self._serve(name, section, executors[name], cast("ModelSpec", spec), ready=ready)

    def _executor(self, name: str, section: ModelSection) -> WorkerExecutor:
        limit_ns = section.request_timeout or self.config.batcher.request_timeout
        return WorkerExecutor(worker_options(name, section, Path(self.config.folder), limit_ns))

    def _serve(
        self, name: str, section: ModelSection, executor: Executor, spec: ModelSpec, *, ready: bool
    ) -> None:
        defaults = self.config.batcher
        rows = section.max_batch_size or defaults.max_batch_size
        window = defaults.time_window if section.time_window is None else section.time_window
        timeout_ns = section.request_timeout or defaults.request_timeout
        served = ServedModel(
            name,
            executor,
            spec,
            QueueSettings(
                window,
                rows if spec.max_rows is None else min(rows, spec.max_rows),
                section.policy or defaults.policy,
                tuple(sorted(set(section.preferred_batch_size))),
                tuple(size for size in sorted(set(section.pad_to)) if size <= (spec.max_rows or size)),
            ),
            max_queue_size=section.max_queue_size or defaults.max_queue_size,
            preserve_ordering=section.preserve_ordering,
            max_request_rows=section.max_request_rows or defaults.max_request_rows,
            timeout_ns=min(section.slo or timeout_ns, timeout_ns),
            ready=ready,
            idempotent=section.idempotent,
            quarantine_ns=section.quarantine,
        )
        if ":" in served.settings.policy:
            _add_search_path(self.config.folder)
        try:
            make_policy(served.settings, served)
        except ConfigError as error:
            raise ConfigError(f"models.{name}.{error}") from None
        self.models[name] = served
        self.scheduler.add_model(served)
        log.info(
            "model ready" if ready else "model loads at its first request", model=name, platform=spec.platform
        )

    def _load_later(self, name: str) -> None:
        if name not in self._loads:
            self._loads[name] = asyncio.get_running_loop().create_task(self._load(name))

    async def _load(self, name: str) -> None:
        served = self.models[name]
        try:
            served.spec = await served.executor.load()
            cap = served.spec.max_rows
            if cap is not None and cap < served.settings.max_batch_size:
                self.set_batch_size(cap, name)
        except LoadFailed as error:
            log.error("model failed to load", model=name, cause=str(error))
            served.admission.fail(str(error))
            self.clock.call_at(self.clock.now_ns() + _RETRY_LOAD_NS, served.admission.open)
            self.scheduler.model_failed(name, str(error))
        else:
            log.info("model ready", model=name, platform=served.spec.platform)
            self.scheduler.model_ready(name)
        finally:
            del self._loads[name]

    # ---- inside ------------------------------------------------------------------------------------

    def _request(
        self, model: str, inputs: Mapping[str, Array]
    ) -> tuple[PendingRequest, asyncio.Future[None]]:
        self._known(model)
        served = self.models[model]
        arrays = check_inputs(served.spec, inputs)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_done(_: PendingRequest) -> None:
            if not answer.done():
                answer.set_result(None)

        rows = len(next(iter(arrays.values())))
        request = PendingRequest(model, on_done, inputs=arrays, rows=rows)
        request.signature = signature(served.spec, arrays)
        return request, answer

    def _fail_all(self) -> int:
        """End what is still unfinished; returns how many requests that were."""
        why = "the server shut down before the request could be answered"
        return self.scheduler.fail_all(why) if self.models else 0

    async def _close(self) -> None:
        for served in self.models.values():
            served.admission.drain()
        self._fail_all()
        for task in list(self._loads.values()):
            task.cancel()
        await asyncio.gather(*self._loads.values(), return_exceptions=True)
        await asyncio.gather(*(executor.unload() for executor in self._executors.values()))
        self.clock.close()


def worker_options(name: str, section: ModelSection, folder: Path, execution_limit_ns: int) -> WorkerOptions:
    """What the workers of model *name* are told; relative paths resolve from *folder*."""
    preprocess = section.preprocess
    if section.builtin is not None and preprocess is None:
        preprocess = BUILTIN[section.builtin].options.preprocess
    return WorkerOptions(
        name=name,
        runtime=section.executor,
        path=str(folder / section.path) if section.path else "",
        builtin=section.builtin or "",
        callable=section.callable or "",
        search_path=str(folder.resolve()),
        inputs=tuple(TensorSpec(t.name, t.datatype, t.shape) for t in section.inputs),
        outputs=tuple(TensorSpec(t.name, t.datatype, t.shape) for t in section.outputs),
        preprocess=preprocess,
        finite_outputs=section.finite_outputs,
        threads=section.threads,
        instances=section.instances,
        execution_limit_ns=int(execution_limit_ns),
    )


def batcher_factory(config: Config) -> Callable[[Scheduler], Batcher]:
    """What makes the class named by ``batcher.class``. It and what it returns raise ConfigError."""
    target = config.batcher.class_
    if target == BatcherSection().class_:
        return StreamBoxBatcher
    found = _load_class(target, config.folder)
    missing = [
        name for name in ("set_time_window", "set_batch_size", "add_one", "batch") if not hasattr(found, name)
    ]
    if missing:
        raise ConfigError(f"batcher.class: {target!r} lacks {', '.join(missing)}")

    def make(engine: Scheduler) -> Batcher:
        try:
            return cast("Batcher", found(engine))
        except Exception as error:  # noqa: BLE001 - a user's class may raise anything
            raise ConfigError(f"batcher.class: cannot make {target!r}: {located(error)}") from None

    return make


def _add_search_path(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _load_class(target: str, folder: str) -> Any:
    module_name, _, class_name = target.partition(":")
    _add_search_path(folder)
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's module may raise anything
        raise ConfigError(f"batcher.class: cannot load {target!r}: {located(error)}") from None
