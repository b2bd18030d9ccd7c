"""The option strings of the maps in SQL databases."""

import pytest

from perdition.maps import MapFailed
from perdition.maps.sql_options import Access, Places, Table, read_access, read_places

TABLE = Table("tblPerdition", "user", "servername", "port")


def access(**given: object) -> Access:
    fields = {
        "hosts": ["localhost"],
        "port": "0",
        "database": "dbPerdition",
        "user": "perdition",
        "password": "perdition",
        "table": TABLE,
    }
    return Access(**{**fields, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("", access()),
        ("db1", access(hosts=["db1"])),
        ("db1,db2 , db3", access(hosts=["db1", "db2", "db3"])),
        ("db1:3307", access(hosts=["db1"], port="3307")),
        (":", access(hosts=[""])),
        ("db1:", access(hosts=["db1"])),
        ("db1::", access(hosts=["db1"], port="")),
        ("db1:::", access(hosts=["db1"], port="", database="")),
        ("h:1:mail:t", access(hosts=["h"], port="1", database="mail", table=TABLE._replace(name="t"))),
        ("h:1:d:", access(hosts=["h"], port="1", database="d")),
        ("h:1:d:t:::", access(hosts=["h"], port="1", database="d", table=TABLE._replace(name="t"), user="", password="")),
        (
            "h:1:d:t:u:p w:S:U:P",
            Access(["h"], "1", "d", "u", "p w", Table("t", "U", "S", "P")),
        ),
        # 2.2 drops one empty field at the end.
        ("h:1:d:t:u:p:S:U:", Access(["h"], "1", "d", "u", "p", Table("t", "U", "S", "port"))),
        ("h:1:d:t:u:p:S:U::", Access(["h"], "1", "d", "u", "p", Table("t", "U", "S", ""))),
        ("h:1:d:t:u:p:S:U:P:", Access(["h"], "1", "d", "u", "p", Table("t", "U", "S", "P"))),
        ("h:1:d:t:u:p:S:U", Access(["h"], "1", "d", "u", "p", Table("t", "U", "S", "port"))),
    ],
)  # fmt: skip
def test_fields_are_as_given_and_those_missing_have_defaults(option: str, expected: Access) -> None:
    assert read_access(option, "dbPerdition") == expected


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("h:1:d:t:u:pass:word:s:u:p", "10 fields .* use the map sql"),
        ("h:1:d::", "table is empty"),
        ("h:1:d:t:u:p::u", "server_col is empty"),
        ("h:1:d:t:u:p:s::", "user_col is empty"),
    ],
)
def test_what_cannot_be_is_told(option: str, complaint: str) -> None:
    with pytest.raises(MapFailed, match=complaint) as caught:
        read_access(option, "dbPerdition")
    assert "word:" not in str(caught.value).replace("password:", "")


@pytest.mark.parametrize(("port", "number"), [("", 0), ("0", 0), ("3306", 3306), ("65535", 65535)])
def test_a_port_is_a_number_and_0_where_there_is_none(port: str, number: int) -> None:
    assert access(port=port).port_number == number


@pytest.mark.parametrize("port", ["mysql", "65536", "-1", "\u0663", "1 "])
def test_a_port_that_is_none_is_told(port: str) -> None:
    with pytest.raises(MapFailed, match="not the number of a port"):
        _ = access(port=port).port_number


def test_a_password_is_in_no_repr() -> None:
    assert "sesame" not in repr(access(password="sesame"))
    assert "sesame" not in repr(read_places("mysql+pymysql://u:sesame@h/d"))


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("sqlite:////x", Places(["sqlite:////x"], TABLE, "")),
        ("  a://h/d?table=1  b://h/d ", Places(["a://h/d?table=1", "b://h/d"], TABLE, "")),
        ("a://h/d table=t", Places(["a://h/d"], TABLE._replace(name="t"), "")),
        (
            "a://h/d port_col= user_col=lower(u) server_col=s table=x.t",
            Places(["a://h/d"], Table("x.t", "lower(u)", "s", ""), ""),
        ),
        (
            "a://h/d b://h/d query= SELECT a FROM b WHERE c = :key\n AND d='x y' ",
            Places(["a://h/d", "b://h/d"], TABLE, "SELECT a FROM b WHERE c = :key\n AND d='x y'"),
        ),
    ],
)
def test_urls_come_first_and_then_the_table_or_a_query(option: str, expected: Places) -> None:
    assert read_places(option) == expected


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("", "needs the URL"),
        ("table=t", "needs the URL"),
        ("a://u:sesame@h/d tabel=t", "there is no tabel="),
        ("a://u:sesame@h/d table=", "table is empty"),
        ("a://u:sesame@h/d table=t query=SELECT :key", "names table and columns itself"),
    ],
)
def test_what_the_map_sql_cannot_read_is_told(option: str, complaint: str) -> None:
    with pytest.raises(MapFailed, match=complaint) as caught:
        read_places(option)
    assert "sesame" not in str(caught.value)
