"""Measuring a work: the figures of one proxy, in one round."""

import time
from typing import Any

from bench import BenchError, Failure, Figures
from bench.peers import Peer
from bench.processes import busy_seconds
from bench.scenarios import Work
from bench.stage import Stage, Theatre

# For processes of the last sessions to end, and for memory to settle.
SETTLE_SECONDS = 0.3
GB = 1e9
KIB_PER_MIB = 1024


def measure(theatre: Theatre, peer: Peer, work: Work, seconds: float) -> Figures | Failure:
    """Measure one proxy once.

    Args:
        theatre: where.
        peer: the proxy.
        work: what it does.
        seconds: how long, if it does not last as long as it takes.
    """
    if work.tls in peer.lacks:
        return Failure(f"has no {work.tls}", is_missing=True)
    if peer.program() is None:
        return Failure("not installed", is_missing=True)
    try:
        with Stage(theatre, peer, work.protocol, work.tls) as stage:
            stage.warm_up()
            time.sleep(SETTLE_SECONDS)
            return _idle(stage, work) if work.mode == "idle" else _run(stage, work, seconds)
    except (BenchError, OSError, ValueError) as error:
        return Failure(str(error))


def _idle(stage: Stage, work: Work) -> Figures:
    """Memory of sessions that do nothing."""
    before = stage.proxy.pss_kib()
    with stage.load("idle", "--clients", str(work.clients)) as load:
        load.ready(work.clients)
        time.sleep(2 * SETTLE_SECONDS)
        after = stage.proxy.pss_kib()
        load.go()
        result = load.result(0)
    return {
        "pss_kib": (after - before) / work.clients,
        "pss_mib": after / KIB_PER_MIB,
        "alive": result["done"],
        "errors": result["errors"],
    }


def _run(stage: Stage, work: Work, seconds: float) -> Figures:
    """What work costs."""
    seconds *= work.scale
    options = ["--clients", str(work.clients), "--seconds", str(seconds)]
    with stage.load(work.mode, *options) as load:
        load.ready(work.clients if work.mode != "login" else 0)
        busy, stub, proxy = busy_seconds(), stage.stub.cpu_seconds(), stage.proxy.cpu_seconds()
        began = time.monotonic()
        load.go()
        result = load.result(seconds)
        if work.mode == "login":
            time.sleep(SETTLE_SECONDS)
        used = stage.proxy.cpu_seconds() - proxy
        others = busy_seconds() - busy - used - (stage.stub.cpu_seconds() - stub)
        took = time.monotonic() - began
    if not result["done"]:
        raise BenchError(f"nothing was done: {result['first_error']}; {stage.last_words()}")
    noise = max(0.0, others - result["load_cpu"]) / took
    return {**figures(work, result, used), "noise": noise}


def figures(work: Work, result: dict[str, Any], used: float) -> Figures:
    """Make figures of what the load generator says, and the CPU seconds that were used."""
    done, seconds = result["done"], max(result["seconds"], 1e-6)
    known = {
        "rate": done / seconds,
        "p50_ms": result["p50_us"] / 1e3,
        "p99_ms": result["p99_us"] / 1e3,
        "errors": result["errors"],
    }
    match work.mode:
        case "login":
            return {**known, "cpu_ms": used / done * 1e3}
        case "echo":
            return {**known, "cpu_us": used / done * 1e6}
        case _:
            octets = result["octets"] / GB
            return {**known, "cpu_s_gb": used / octets, "mb_s": octets / seconds * 1e3}
