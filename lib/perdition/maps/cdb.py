"""cdb: a constant database, such as ``cdb -c`` makes (https://cr.yp.to/cdb/cdb.txt).

The file begins with an index of 256 hash tables; records come next, and the tables at its end. The
format is read here and not by a library: the one of PyPI takes a file that is cut short or damaged
for a whole one.
"""

import struct

from perdition.maps.files import BrokenFile, FileMap

PAIR = struct.Struct("<LL")
TABLES = 256
INDEX_SIZE = TABLES * PAIR.size
ASTRAY = "damaged: a record lies behind its end, or before its beginning"


class Cdb(FileMap):
    """What a constant database holds (reference: maps.md section 6)."""

    DEFAULT = "/etc/perdition/popmap.cdb"

    def read(self) -> "Records":
        return Records(self.path.read_bytes())


class Records:
    """The octets of such a file."""

    def __init__(self, octets: bytes) -> None:
        """Take them over.

        Raises:
            BrokenFile: they are not whole, or no such file.
        """
        if len(octets) < INDEX_SIZE:
            raise BrokenFile("not a constant database, or cut short")
        self._octets = octets
        # Of each table where it stands, and how many slots it has.
        self._index = tuple(PAIR.iter_unpack(octets[:INDEX_SIZE]))
        self._check()

    def _check(self) -> None:
        """Look whether index, records and tables fit to each other."""
        end = max(place + slots * PAIR.size for place, slots in self._index)
        if end > len(self._octets):
            raise BrokenFile("not a constant database, or cut short")
        first_table = min(place for place, _slots in self._index)
        place = INDEX_SIZE
        while place + PAIR.size <= first_table:
            key_size, value_size = PAIR.unpack_from(self._octets, place)
            place += PAIR.size + key_size + value_size
        # Whoever makes one writes the index last; until then it is of zeros.
        if place != first_table:
            raise BrokenFile("not a constant database, or a damaged one")

    def lookup(self, key: bytes, /) -> bytes | None:
        """The first value of a key, None where there is none.

        Raises:
            BrokenFile: the file is damaged.
        """
        wanted = hash_of(key)
        table, slots = self._index[wanted % TABLES]
        try:
            for number in range(slots):
                slot = table + (wanted // TABLES + number) % slots * PAIR.size
                stored, record = PAIR.unpack_from(self._octets, slot)
                if not record:
                    return None
                if stored == wanted:
                    key_size, value_size = PAIR.unpack_from(self._octets, record)
                    value = record + PAIR.size + key_size
                    if self._octets[record + PAIR.size : value] == key:
                        end = value + value_size
                        if record < INDEX_SIZE or end > len(self._octets):
                            break
                        return self._octets[value:end]
            else:
                return None
        except struct.error as error:
            raise BrokenFile(ASTRAY) from error
        raise BrokenFile(ASTRAY)

    def is_empty(self) -> bool:
        return not any(slots for _place, slots in self._index)

    def close(self) -> None:
        return


def hash_of(key: bytes) -> int:
    """The hash value of a key, of 32 bits."""
    value = 5381
    for octet in key:
        value = value * 33 & 0xFFFFFFFF ^ octet
    return value
