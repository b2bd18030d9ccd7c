"""Which real servers a log-in may go to, in which order."""

from perdition.backends import Backends, SharedTurn
from perdition.net import ServerItem
from perdition.parameters import Parameters, parse_rule

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


SSL, NAMED = Parameters(tls="ssl"), Parameters(tls="ssl", name="x")


def told(
    rules: list[str], *destinations: ServerItem, servers: tuple[ServerItem, ...] = ()
) -> list[Parameters | None]:
    chosen = Backends(
        servers, "143", SharedTurn(), 0, keepalive=False, rules=[parse_rule(each) for each in rules]
    )
    return [each.options for each in chosen.candidates(destinations)]


def test_the_first_rule_that_matches_counts() -> None:
    rules = [".example.org;tls=ssl", "10.0.0.0/8;tls=ssl;name=x", "a.example.org;tls=none"]
    hosts = ("a.example.org", "example.org", "10.1.2.3", "11.1.2.3", "A.example.org.")
    found = told(rules, *(ServerItem("", host, "") for host in hosts))
    assert found == [SSL, None, NAMED, None, SSL]


def test_a_name_is_known_by_its_pattern_or_else_by_the_address_it_leads_to() -> None:
    rules = [parse_rule(each) for each in ("10.0.0.0/8;tls=ssl;name=x", "mail;tls=ssl")]
    chosen = Backends((), "143", SharedTurn(), 0, keepalive=False, rules=rules)
    mine = Parameters(tls="none")
    servers = [ServerItem("", "mail", ""), ServerItem("", "other", "", mine)]
    for address, expected in (("10.1.2.3", NAMED), ("11.1.2.3", None), ("", None)):
        named, other = (
            chosen.by_address(each, address).options for each in chosen.candidates(servers)
        )
        assert (named, other) == (SSL, mine.over(expected))


def test_what_a_destination_says_itself_goes_over_the_rules() -> None:
    mine = ServerItem("", "mail", "", Parameters(tls="starttls"))
    [found] = told(["mail;tls=ssl;name=x;client=id"], mine)
    assert found == Parameters(tls="starttls", name="x", client="id")


def test_default_servers_have_theirs_and_a_value_without_host_adds_to_them() -> None:
    server = ServerItem("", "mail", "143", Parameters(tls="ssl", ca="/x"))
    assert told([], servers=(server,)) == [server.options]
    bob = ServerItem("bob", "", "", Parameters(tls="none"))
    assert told([], bob, servers=(server,)) == [Parameters(tls="none", ca="/x")]
    assert told(["mail;name=x"], servers=(server,)) == [Parameters("ssl", "x", "/x")]


def test_nothing_is_said_where_nobody_says_anything() -> None:
    assert told([], ServerItem("", "mail", "")) == [None]
