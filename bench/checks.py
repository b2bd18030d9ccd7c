"""What is measured of this program alone: evenness, many sessions, growth, the start.

bounds.py says what is to be reached.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from bench import BenchError, Failure, Figures
from bench.peers import WORKERS, Peer
from bench.sockets import connections_by_process
from bench.stage import Stage, Theatre

FEW = 100
MANY = 10_000
# Where memory is looked at. The first ones take what was free anyway, and say little.
STEP = 4500
MORE = MANY - 2 * STEP, MANY - STEP, MANY
ACTIVE = 32
IDLE_SECONDS = 10
ECHO_SECONDS = 2.0
ROUNDS = 3
STARTS = 5
FIRST_LOGINS = 20_000
MORE_LOGINS = 85_000
LOGIN_DEADLINE = 600
RELAYING = 1000
SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """One of them.

    Attributes:
        title: in words.
        run: does it.
    """

    title: str
    run: Callable[[Theatre, Peer], Figures]


class Cost(NamedTuple):
    """What sessions cost: a round trip of one, the memory of all."""

    cpu_us: float
    pss_kib: float


def run_check(theatre: Theatre, peer: Peer, check: Check) -> Figures | Failure:
    """Run a check; one that comes to nothing ends no others."""
    try:
        return check.run(theatre, peer)
    except (BenchError, OSError, ValueError) as error:
        return Failure(str(error))


def _spread(theatre: Theatre, peer: Peer, *, sessions: int, at_a_time: int) -> Figures:
    """How far the workers' shares of long sessions are from even ones."""
    options = ["--clients", str(sessions), "--ramp", str(at_a_time)]
    with Stage(theatre, peer, "imap", "none") as stage, stage.load("idle", *options) as load:
        load.ready(sessions)
        counts = connections_by_process(stage.proxy.pids(), stage.port).values()
    shares = sorted(counts, reverse=True)[:WORKERS]
    return {
        "uneven_percent": uneven_percent(shares),
        "most": max(shares),
        "least": min(shares),
    }


def uneven_percent(shares: list[int]) -> float:
    """How far the share that is furthest from the mean is from it, in percent."""
    mean = sum(shares) / len(shares)
    return max(abs(share - mean) for share in shares) / mean * 100 if mean else 0


def _spread_40(theatre: Theatre, peer: Peer) -> Figures:
    return _spread(theatre, peer, sessions=40, at_a_time=1)


def _spread_1000(theatre: Theatre, peer: Peer) -> Figures:
    return _spread(theatre, peer, sessions=1000, at_a_time=32)


def _idle(theatre: Theatre, peer: Peer) -> Figures:
    """What many sessions cost that do nothing, and whether they live afterwards."""
    with Stage(theatre, peer, "imap", "none") as stage:
        stage.warm_up()
        with stage.load("idle", "--clients", str(MANY)) as load:
            load.ready(MANY)
            time.sleep(SETTLE_SECONDS)
            began, before = time.monotonic(), stage.proxy.cpu_seconds()
            time.sleep(IDLE_SECONDS)
            used = stage.proxy.cpu_seconds() - before
            share = used / (time.monotonic() - began)
            load.go()
            alive = load.result(0)["done"]
    return {"cpu_percent": share * 100, "alive": alive, "dead": MANY - alive}


def _login_while_relaying(theatre: Theatre, peer: Peer) -> Figures:
    """How long log-ins take, one each 5 ms, while others relay as fast as they can."""
    relays = ["--clients", str(RELAYING), "--seconds", "7"]
    logins = ["--clients", "16", "--pace", "5", "--seconds", "5"]
    with (
        Stage(theatre, peer, "imap", "none") as stage,
        stage.load("echo", *relays) as echo,
        stage.load("login", *logins) as load,
    ):
        echo.ready(RELAYING)
        load.ready()
        echo.go()
        time.sleep(SETTLE_SECONDS)
        load.go()
        result = load.result(5)
        errors = result["errors"] + echo.result(5)["errors"]
    if not result["done"]:
        raise BenchError(f"no log-in came to its end: {result['first_error']}")
    return {
        "p50_ms": result["p50_us"] / 1e3,
        "p99_ms": result["p99_us"] / 1e3,
        "logins": result["done"],
        "errors": errors,
    }


def _cost(theatre: Theatre, peer: Peer, sessions: int) -> Cost:
    """What a round trip costs, and what all sessions do, with so many of them open."""
    options = ["--clients", str(sessions), "--active", str(ACTIVE), "--seconds", str(ECHO_SECONDS)]
    with Stage(theatre, peer, "imap", "none") as stage:
        stage.warm_up()
        empty = stage.proxy.pss_kib()
        with stage.load("echo", *options) as load:
            load.ready(sessions)
            time.sleep(SETTLE_SECONDS)
            memory, before = stage.proxy.pss_kib(), stage.proxy.cpu_seconds()
            load.go()
            done = load.result(ECHO_SECONDS)["done"]
            used = stage.proxy.cpu_seconds() - before
    return Cost(used / done * 1e6, memory - empty)


def _cost_of_many(theatre: Theatre, peer: Peer) -> Figures:
    """Whether a session costs more the more there are."""
    numbers = FEW, *MORE
    rounds = [[_cost(theatre, peer, number) for number in numbers] for _ in range(ROUNDS)]
    few, some, half, many = (
        Cost(*map(median, zip(*costs, strict=True))) for costs in zip(*rounds, strict=True)
    )
    first, last = (
        (above.pss_kib - below.pss_kib) / STEP for below, above in ((some, half), (half, many))
    )
    return {
        "cpu_us_few": few.cpu_us,
        "cpu_us_many": many.cpu_us,
        "pss_kib_first": first,
        "pss_kib_last": last,
        "pss_kib_all": many.pss_kib / MANY,
        "cpu_growth": many.cpu_us / few.cpu_us,
        "pss_growth": last / first,
    }


def _start(theatre: Theatre, peer: Peer) -> Figures:
    """How long it takes from the start to the first greeting."""
    times = []
    for _ in range(STARTS):
        with Stage(theatre, peer, "imap", "none") as stage:
            times.append(stage.seconds_to_greeting)
    return {"seconds": median(times), "slowest": max(times)}


def _memory_after(stage: Stage, logins: int) -> float:
    options = ["--clients", "32", "--count", str(logins), "--seconds", "0"]
    with stage.load("login", *options, "--deadline", str(LOGIN_DEADLINE)) as load:
        load.ready()
        load.go()
        result = load.result(LOGIN_DEADLINE)
    if result["done"] < logins:
        raise BenchError(f"{result['done']} of {logins} log-ins: {result['first_error']}")
    time.sleep(SETTLE_SECONDS)
    return stage.proxy.pss_kib()


def _growth(theatre: Theatre, peer: Peer) -> Figures:
    """How much memory grows while sessions come and go."""
    with Stage(theatre, peer, "imap", "none") as stage:
        first = _memory_after(stage, FIRST_LOGINS)
        last = _memory_after(stage, MORE_LOGINS)
    return {
        "percent": (last / first - 1) * 100,
        "pss_kib_first": first,
        "pss_kib_last": last,
    }


CHECKS: dict[str, Check] = {
    "start": Check("start to first greeting", _start),
    "spread-40": Check("40 sessions over 2 workers, furthest from even", _spread_40),
    "spread-1000": Check("1,000 sessions over 2 workers, furthest from even", _spread_1000),
    "login-while-relaying": Check("log-in while 1,000 sessions relay", _login_while_relaying),
    "idle-10000": Check("10,000 idle sessions", _idle),
    "cost-of-many": Check("10,000 sessions, cost of each", _cost_of_many),
    "growth": Check("memory after 105,000 log-ins instead of 20,000", _growth),
}
