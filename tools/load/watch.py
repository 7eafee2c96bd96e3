"""What the product's processes need while they are used: memory, open files and CPU, sampled to the end."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]  # it ships no types

from tools.bench.processes import MIB

EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """`at` in seconds since the watch began, `memory` in MiB that are this process's alone, `cpu` in seconds."""

    at: float
    memory: float
    files: int
    cpu: float


@dataclass(slots=True)
class Curve:
    """One process, sample by sample."""

    samples: list[Sample] = field(default_factory=list[Sample])

    def since(self, warm_up: float) -> "Curve":
        return Curve([sample for sample in self.samples if sample.at >= warm_up])

    @property
    def seconds(self) -> float:
        return self.samples[-1].at - self.samples[0].at if self.samples else 0.0

    @property
    def slope(self) -> float:
        """MiB per minute of the straight line that fits best."""
        if len(self.samples) < 2:
            return 0.0
        at = [sample.at for sample in self.samples]
        return statistics.linear_regression(at, [sample.memory for sample in self.samples]).slope * 60

    @property
    def growth(self) -> float:
        """MiB that this line rises over the samples."""
        return self.slope * self.seconds / 60

    @property
    def busy(self) -> float:
        """Share of one core."""
        return (self.samples[-1].cpu - self.samples[0].cpu) / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Watch:
    """`pids` by name. A process that is gone gets no more samples."""

    pids: Mapping[str, int]
    curves: dict[str, Curve] = field(default_factory=dict[str, Curve])
    _began: float = field(default_factory=time.monotonic)

    async def look(self) -> None:
        """For ever; reading a process's memory takes a millisecond or two."""
        while True:
            for name, pid in self.pids.items():
                with contextlib.suppress(psutil.Error):
                    self.curves.setdefault(name, Curve()).samples.append(self._sample(pid))
            await asyncio.sleep(EVERY_SECONDS)

    def _sample(self, pid: int) -> Sample:
        process = psutil.Process(pid)
        times = process.cpu_times()
        memory = process.memory_full_info().uss / MIB
        return Sample(time.monotonic() - self._began, memory, process.num_fds(), times.user + times.system)
