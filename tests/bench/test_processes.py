"""Process trees and sockets, as /proc shows them."""

import os
from pathlib import Path

from bench.checks import uneven_percent
from bench.processes import Accounting, Stat, Tree, parse_stat, tree_of
from bench.sockets import parse_inodes
from support.processes import wait_until

STAT = "42 (a ) name) S 7 40 39 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 1 0 100 0 0"
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4E20 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1
   1: 0100007F:4E20 0100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 101 1
   2: 0100007F:8000 0100007F:4E20 01 00000000:00000000 00:00000000 00000000     0        0 102 1
   3: 0100007F:4E20 0100007F:8002 06 00000000:00000000 00:00000000 00000000     0        0 0 1
"""


def test_a_stat_is_read_whatever_the_name_is() -> None:
    assert parse_stat(STAT) == Stat(pid=42, parent=7, session=39, ticks=33, ended_ticks=77)


def test_zombies_are_known() -> None:
    assert parse_stat(STAT.replace(" S ", " Z ")).is_zombie


def test_a_tree_has_descendants_and_those_of_its_session() -> None:
    stats = [
        Stat(
            pid=5, parent=4, session=5, ticks=0, ended_ticks=0
        ),  # its own session, but a grandchild
        Stat(pid=4, parent=2, session=2, ticks=0, ended_ticks=0),
        Stat(pid=2, parent=1, session=2, ticks=0, ended_ticks=0),
        Stat(pid=6, parent=1, session=2, ticks=0, ended_ticks=0),  # its parent has ended
        Stat(pid=7, parent=1, session=7, ticks=0, ended_ticks=0),
    ]
    assert {stat.pid for stat in tree_of(2, stats)} == {2, 4, 5, 6}


def test_established_connections_to_a_port_are_found() -> None:
    assert parse_inodes(TABLE, 20000) == {"101"}


def test_shares_are_compared_with_the_mean() -> None:
    assert uneven_percent([20, 20]) == 0
    assert uneven_percent([30, 10]) == 50
    assert uneven_percent([0, 0]) == 0


def test_a_tree_is_counted_and_ended_as_a_whole(tmp_path: Path) -> None:
    for accounting in (Accounting(), Accounting(may_use_cgroups=False)):
        command = ["/bin/sh", "-c", "sleep 600 & sleep 600"]
        with Tree(command, accounting, tmp_path / "log", tmp_path) as tree:
            pids = wait_until(lambda tree=tree: _if_three(tree), 10, "three processes")
            assert tree.pss_kib() > 0
            assert tree.cpu_seconds() >= 0
            assert os.getpid() not in pids
        assert tree.has_ended()
        assert not [pid for pid in pids if Path(f"/proc/{pid}/fd/0").exists()]


def _if_three(tree: Tree) -> list[int] | None:
    pids = tree.pids()
    return pids if len(pids) == 3 else None
