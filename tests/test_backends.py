"""Which real servers a log-in may go to, in which order."""

from perdition.backends import Backends, SharedTurn
from perdition.net import ServerItem

SERVERS = [ServerItem("", name, "") for name in ("one", "two", "three")]


def backends(*servers: ServerItem) -> Backends:
    return Backends(servers, "143", SharedTurn(), 0, keepalive=False)


def test_servers_take_turns_and_the_others_follow() -> None:
    chosen = backends(*SERVERS)
    orders = [[each.host for each in chosen.candidates([])] for _ in range(6)]
    assert all(sorted(order) == ["one", "three", "two"] for order in orders)
    firsts = [order[0] for order in orders]
    assert firsts[:3] == firsts[3:]
    assert sorted(firsts[:3]) == ["one", "three", "two"]
    # Who does not answer is followed by the next one in the list.
    names = [each.host for each in SERVERS]
    assert all(names.index(b) == (names.index(a) + 1) % 3 for a, b, _ in orders)


def test_what_was_found_has_its_own_port_or_the_default() -> None:
    chosen = backends(*SERVERS)
    assert chosen.candidates([ServerItem("", "mail", "")]) == [ServerItem("", "mail", "143")]
    assert chosen.candidates([ServerItem("", "mail", "99")]) == [ServerItem("", "mail", "99")]


def test_a_server_without_a_host_is_none() -> None:
    assert backends().candidates([]) == []
    assert backends(ServerItem("", "", "99")).candidates([]) == []
    assert backends().candidates([ServerItem("bob", "", "")]) == []
