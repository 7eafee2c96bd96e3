"""How much of each is measured: enough to judge the aims, or a look."""

from dataclasses import dataclass

USUAL_ACCOUNTS = 50


@dataclass(frozen=True, slots=True)
class Saturation:
    """`servers` whose jobs take one step of `step` seconds; `jobs` for each of them wait from the start."""

    servers: int
    step: float
    jobs: int


@dataclass(frozen=True, slots=True)
class Depth:
    """A queue of `jobs` of `accounts` that need `requirements` different sets, of as many lanes at most."""

    jobs: int
    requirements: int = 1
    accounts: int = USUAL_ACCOUNTS

    @property
    def name(self) -> str:
        sets = f"{self.requirements:,} requirement set{'s' if self.requirements > 1 else ''}"
        return f"{self.jobs:,} jobs of {self.accounts:,} accounts, {sets}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds. `claims` are taken from each depth in each of `rounds` turns.

    `split` is the fleet that one dispatcher has, and then two. `crowd` are the servers of the dispatcher whose
    memory is measured, beside one that has two; `idle` is how long its CPU is counted.
    """

    scaling: tuple[Saturation, ...]
    busy: tuple[Saturation, ...]
    depths: tuple[Depth, ...]
    rounds: int
    claims: int
    split: Saturation
    crowd: int
    idle: float


MANY = Depth(100_000, accounts=2_000)

FULL = Plan(
    scaling=tuple(Saturation(servers, 1.0, 25) for servers in (1, 2, 4, 8, 16, 32)),
    busy=(Saturation(8, 1.0, 30), Saturation(4, 0.1, 200)),
    depths=(Depth(1_000), Depth(100_000), Depth(1_000_000), Depth(1_000, 1_000), Depth(100_000, 5_000), MANY),
    rounds=10,
    claims=50,
    split=Saturation(8, 0.25, 60),
    crowd=100,
    idle=30.0,
)
QUICK = Plan(
    scaling=tuple(Saturation(servers, 1.0, 6) for servers in (1, 4, 16)),
    busy=(Saturation(4, 1.0, 6), Saturation(4, 0.1, 50)),
    depths=(Depth(1_000), Depth(20_000), Depth(20_000, 5_000)),
    rounds=4,
    claims=20,
    split=Saturation(8, 0.25, 20),
    crowd=40,
    idle=5.0,
)
