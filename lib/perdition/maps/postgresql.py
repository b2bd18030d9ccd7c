"""postgresql: a table in PostgreSQL (reference: maps.md section 11)."""

import importlib.util

from sqlalchemy.engine import URL

from perdition.maps import MapSettings
from perdition.maps.database import Database
from perdition.maps.sql_engine import VERSION, new_engine
from perdition.maps.sql_map import TableMap
from perdition.maps.sql_options import Access
from perdition.maps.sql_statement import of_table

# The newer one first, which SQLAlchemy 1.4 does not know. That they are missing is said at once.
DRIVERS = ("psycopg", "psycopg2") if VERSION >= (2,) else ("psycopg2",)
DRIVER = next(filter(importlib.util.find_spec, DRIVERS), DRIVERS[0])
driver = importlib.import_module(DRIVER)


class Postgresql(TableMap):
    """The row of a user; one whose server is empty is not found."""

    NAME = "postgresql"
    NOTHING = None
    DATABASE = "dbperdition"

    @staticmethod
    def database(host: str, access: Access, settings: MapSettings, /) -> Database:
        # What is empty is libpq's to know.
        url = URL.create(
            f"postgresql+{DRIVER}",
            access.user or None,
            access.password or None,
            host or None,
            access.port_number or None,
            access.database or None,
        )
        engine = new_engine(url, settings)
        preparer = engine.dialect.identifier_preparer
        # As without quotes, that is in small letters; the user's column had them in 2.2.
        statement = of_table(
            access.table, lambda name: preparer.quote(name.lower()), preparer.quote_identifier
        )
        name = f"postgresql {access.place(host or 'on this host')}"
        return Database(name, engine, statement, settings, access.secrets)
