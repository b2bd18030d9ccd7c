"""ldap: what entries say, whatever the key, as long as the server is there."""

import threading
from collections.abc import Callable, Iterator

import pytest

from perdition.maps import Answer, Found, MapFailed, MapSettings, Query
from perdition.maps.choice import open_map
from perdition.maps.ldap_directory import Ldap
from perdition.net import ServerItem
from support.slapd import ADMIN, MAILBOXES, PASSWORD, SUFFIX, Slapd, mailbox

ENTRIES = "".join(
    [
        mailbox("ann", username="annb", mailhost="mail1", port="143"),
        mailbox("bob", mailhost="mail2"),
        mailbox("eve", username="anna@mail3:144"),
        mailbox("fay", username="fayb", port="imap"),
        mailbox("guy"),
        mailbox("hal", username="halb", mailhost="m1, m2:145, hal@[2001:db8::1]:146", port="143"),
        mailbox("müller", username="jürgen", mailhost="mail4"),
        mailbox("ida", username="ida", mailhost="mail5", port="99999"),
        mailbox("jan", username="jan", mailhost="mail 6"),
        mailbox("kim@x.org", mailhost="mail7"),
        mailbox("b*b", mailhost="star"),
        mailbox("twin1", username="twin", mailhost="mail8"),
        mailbox("twin2", username="twin", mailhost="mail8"),
        mailbox("twin3", username="twin", mailhost="mail8"),
    ]
)
HOSTILE = [
    *(b"' OR 1=1 --", b"*", b"*)(uid=*", b"ann)(uid=*", b"\\", b"\\2a", b"\0", b"ann\0", b"%s"),
    *(b"?", b"b*", b"", b" ", b"\xff\xfe", b"m\xfcller", b",", b"ann,ou=mailbox", b"#00", b"ann+x"),
    *(b"x" * 10_000, b"\xff" * 4096, b"x" * 1_000_000),
]
Open = Callable[..., Ldap]


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with Slapd(ENTRIES, more="sizelimit 1000") as server:
        yield server


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def opened(slapd: Slapd, told: list[str]) -> Iterator[Open]:
    """Opens the map with what follows host and port in the URL."""
    maps = []

    def opener(rest: str = "", url: str = "", connections: int = 8) -> Ldap:
        rest = rest or f"{MAILBOXES}?username,mailhost,port?one?(uid=%s)"
        option = f"3:{url or slapd.url}/{rest}"
        maps.append(Ldap(option, MapSettings("@", 10, connections, told.append)))
        return maps[-1]

    yield opener
    for each in maps:
        each.close()


def lookup(opened: Ldap, key: str) -> Found:
    return opened.lookup(Query(key.encode()))


def only(user: str, host: str, port: str) -> Answer:
    return Answer([ServerItem(user, host, port)])


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("ann", only("annb", "mail1", "143")),
        ("ANN", only("annb", "mail1", "143")),
        ("bob", only("", "mail2", "")),
        ("eve", only("anna", "mail3", "144")),
        ("fay", only("fayb", "", "imap")),
        ("guy", only("", "", "")),
        ("müller", only("jürgen", "mail4", "")),
        ("kim@x.org", only("", "mail7", "")),
        ("b*b", only("", "star", "")),
        ("nobody", None),
    ],
)
def test_what_an_entry_says(opened: Open, key: str, found: Found) -> None:
    assert lookup(opened(), key) == found


def test_a_server_may_be_a_list(opened: Open) -> None:
    assert lookup(opened(), "hal") == Answer(
        [
            ServerItem("halb", "m1", "143"),
            ServerItem("halb", "m2", "145"),
            ServerItem("hal", "2001:db8::1", "146"),
        ]
    )


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ("mailhost", only("", "mail1", "")),
        ("username,mailhost", only("annb", "mail1", "")),
        ("USERNAME,MailHost,PORT", only("annb", "mail1", "143")),
        ("uid,mailhost,port", only("ann", "mail1", "143")),
        ("nothing,mailhost,port", only("", "mail1", "143")),
        ("nothing,nothing2,port", only("", "", "143")),
        ("username,mailhost,port,uid", only("annb", "mail1", "143")),
        ("", only("annb", "mail1", "143")),
    ],
)
def test_attributes_mean_by_their_place(opened: Open, attributes: str, found: Found) -> None:
    assert lookup(opened(f"{MAILBOXES}?{attributes}?one?(uid=%s)"), "ann") == found


def test_the_key_may_stand_in_the_name(opened: Open) -> None:
    directory = opened(f"uid=%s,{MAILBOXES}?username,mailhost,port")
    assert lookup(directory, "ann") == only("annb", "mail1", "143")
    assert lookup(directory, "b*b") == only("", "star", "")
    assert lookup(directory, "nobody") is None


@pytest.mark.parametrize("key", HOSTILE, ids=lambda key: repr(key[:14]) + str(len(key)))
def test_hostile_keys_find_nothing_in_filter_and_name(
    opened: Open, told: list[str], key: bytes
) -> None:
    for rest in ("", f"uid=%s,{MAILBOXES}?username,mailhost,port", f"{SUFFIX}??sub?(uid=%s)"):
        directory = opened(rest)
        assert directory.lookup(Query(key)) is None
        assert lookup(directory, "ann") is not None
    assert told == []


@pytest.mark.parametrize(
    ("key", "trouble"),
    [
        ("ida", f"^ldap: uid=ida,{MAILBOXES}: not a port: "),
        ("jan", "not the name of a host: mail 6"),
    ],
)
def test_nonsense_is_out_of_order_and_says_where(opened: Open, key: str, trouble: str) -> None:
    with pytest.raises(MapFailed, match=trouble):
        lookup(opened(), key)


def test_of_several_entries_the_first_counts_and_it_is_told_once(
    opened: Open, told: list[str]
) -> None:
    directory = opened(f"{MAILBOXES}?uid,mailhost,port?one?(username=%s)")
    for _ in range(2):
        answer = lookup(directory, "twin")
        assert isinstance(answer, Answer)
        assert answer.destinations[0].host == "mail8"
        assert lookup(directory, "annb") == only("ann", "mail1", "143")
    assert told == [
        f"multiple entries returned by filter: base: {MAILBOXES}; scope: one; filter: (username=twin)"
    ]


def test_a_base_that_is_not_there_is_out_of_order(opened: Open) -> None:
    directory = opened(f"ou=nowhere,{SUFFIX}?username,mailhost,port?one?(uid=%s)")
    with pytest.raises(MapFailed, match=f"^ldap: there is no entry ou=nowhere,{SUFFIX}$"):
        lookup(directory, "ann")


@pytest.mark.parametrize("base", ["nonsense", "nonsense=%s,dc=nodomain", "uid=%s,,dc=nodomain"])
def test_a_base_that_is_no_name_is_out_of_order(opened: Open, base: str) -> None:
    with pytest.raises(MapFailed, match=r"^ldap: not a distinguished name: "):
        lookup(opened(f"{base}?username"), "ann")


def test_a_name_and_a_password_can_be_given(opened: Open, slapd: Slapd) -> None:
    bind = f"BINDNAME={ADMIN.replace(',', '%2c')},!X-BINDPW={PASSWORD}"
    directory = opened(f"{MAILBOXES}?username,mailhost,port?one?(uid=%s)?{bind}")
    assert lookup(directory, "ann") == only("annb", "mail1", "143")
    assert f'BIND dn="{ADMIN}" mech=SIMPLE' in slapd.log()


@pytest.mark.parametrize("password", ["wrong-4Ye8", ""])
def test_a_wrong_password_is_out_of_order_and_not_shown(
    opened: Open, slapd: Slapd, password: str
) -> None:
    bind = f"BINDNAME={ADMIN.replace(',', '%2c')},X-BINDPW={password}"
    directory = opened(f"{MAILBOXES}?username?one?(uid=%s)?{bind}")
    with pytest.raises(
        MapFailed, match=rf"^{slapd.url}: (Invalid credentials|Server is unwilling)"
    ) as caught:
        lookup(directory, "ann")
    assert "wrong" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_socket_of_this_machine_does_as_well(opened: Open, slapd: Slapd) -> None:
    assert lookup(opened(url=slapd.socket_url), "ann") == only("annb", "mail1", "143")


def test_the_old_version_is_tried_as_asked_and_told(slapd: Slapd) -> None:
    told: list[str] = []
    directory = Ldap(f"2:{slapd.url}/{MAILBOXES}", MapSettings(tell=told.append))
    for _ in range(2):
        with pytest.raises(MapFailed, match="historical protocol version requested"):
            lookup(directory, "ann")
    assert told == ["ldap: version 2 of LDAP, which servers of today refuse: write 3:ldap://..."]


def test_many_threads_share_a_few_connections(opened: Open, slapd: Slapd) -> None:
    directory = opened(connections=3)
    expected = {"ann": "mail1", "bob": "mail2", "müller": "mail4", "nobody": ""}
    before, wrong = slapd.log().count(" ACCEPT "), []

    def look(number: int) -> None:
        for turn in range(20):
            key = list(expected)[(number + turn) % len(expected)]
            found = lookup(directory, key)
            host = found.destinations[0].host if isinstance(found, Answer) else ""
            if host != expected[key]:
                wrong.append((key, found))

    threads = [threading.Thread(target=look, args=[number]) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert 1 <= slapd.log().count(" ACCEPT ") - before <= 3


def test_it_is_known_by_the_originals_file_name(slapd: Slapd) -> None:
    option = f"3:{slapd.url}/{MAILBOXES}?username,mailhost,port?one?(uid=%s)"
    opened = open_map("/usr/lib/libperditiondb_ldap.so.0", option, MapSettings())
    assert opened.by_key_alone
    assert opened.lookup(Query(b"bob")) == only("", "mail2", "")
    opened.close()
    # A session that is there already goes on with the map of before.
    assert opened.lookup(Query(b"bob")) == only("", "mail2", "")
