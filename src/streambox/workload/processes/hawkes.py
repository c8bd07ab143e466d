"""Arrivals that bring arrivals."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from msgspec import field

from streambox.workload.arrivals import NS_PER_S
from streambox.workload.parameters import RATE, RATE_OR_NONE
from streambox.workload.processes.base import Process, to_instants
from streambox.workload.processes.renewal import built_up

if TYPE_CHECKING:
    from streambox.workload.events import Int64s
    from streambox.workload.processes.base import Floats


class Hawkes(Process, frozen=True):
    """
    A self-exciting process: rate(t) = μ + Σ α exp(−β (t − t_i)) over the arrivals t_i before t.

    n = α/β < 1 is how many arrivals each one brings, directly, on average. The run starts
    with no past, so that the expected rate grows from μ to μ/(1−n) as exp(−(β−α)t) fades.

    Drawn exactly as clusters: immigrants of rate μ, each arrival with Poisson(n) children
    after Exp(β) each (Hawkes and Oakes, "A cluster process representation of a self-exciting
    process", Journal of Applied Probability 11, 1974), a generation at a time.
    """

    name: ClassVar[str] = "hawkes"
    mu_per_s: float = field(name="mu")
    alpha_per_s: float = field(name="alpha")
    beta_per_s: float = field(name="beta")

    def __post_init__(self) -> None:
        self._check(RATE, mu=self.mu_per_s, beta=self.beta_per_s)
        self._check(RATE_OR_NONE, alpha=self.alpha_per_s)
        if self.alpha_per_s >= self.beta_per_s:
            raise self._wrong("alpha", f"is {self.alpha_per_s:g}/s, not below beta: arrivals would never end")

    def mean_rate_per_s(self, duration_ns: int) -> float:
        """μ/(1−n) × (1 − n (1 − exp(−(β−α)T))/((β−α)T))."""
        children = self.alpha_per_s / self.beta_per_s
        grown = built_up((self.beta_per_s - self.alpha_per_s) * duration_ns / NS_PER_S)
        return self.mu_per_s * (1 + children / (1 - children) * grown)

    def idc(self, tau_s: float) -> float:
        """
        1 + α(2β−α)/(β−α)² × (1 − (1 − exp(−γτ))/(γτ)), γ = β−α, once the start is forgotten.

        From the covariance density mean × α(2β−α)/(2γ) × exp(−γs) of Hawkes, "Spectra of some
        self-exciting and mutually exciting point processes", Biometrika 58 (1971). Its limit
        is 1/(1−n)².
        """
        alpha, beta = self.alpha_per_s, self.beta_per_s
        limit = alpha * (2 * beta - alpha) / (beta - alpha) ** 2
        return 1 + limit * built_up((beta - alpha) * tau_s)

    def _draw(self, duration_ns: int, random: np.random.Generator) -> Int64s:
        duration_s = duration_ns / NS_PER_S
        generation = random.random(int(random.poisson(self.mu_per_s * duration_s))) * duration_s
        generations = [generation]
        total = len(generation)
        while len(generation):
            generation = self._children(generation, duration_s, random)
            generations.append(generation)
            total += len(generation)
            self.check_total(total)
        times_s = np.concatenate(generations)
        times_s.sort()
        return to_instants(times_s, duration_ns)

    def _children(self, parents_s: Floats, duration_s: float, random: np.random.Generator) -> Floats:
        """Those within the run: a child after its end has none within it."""
        counts = random.poisson(self.alpha_per_s / self.beta_per_s, len(parents_s))
        times_s = np.repeat(parents_s, counts)
        times_s += random.exponential(1 / self.beta_per_s, len(times_s))
        within: Floats = times_s[times_s < duration_s]
        return within
