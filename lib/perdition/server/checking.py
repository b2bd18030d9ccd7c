"""``--check_config``: what is looked at beyond what a start loads before it listens."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from perdition import net
from perdition.config.options import Options
from perdition.maps import MapFailed, MapSettings
from perdition.maps.choice import STORES, map_name, open_map
from perdition.maps.files import FileMap
from perdition.server import privileges
from perdition.server.listeners import ANY, BindFailed, parse_items

PAM_FOLDERS = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"))
LOOPBACK = "127.0.0.1"


def check_addresses(options: Options) -> None:
    """Check the addresses to listen on, and their ports.

    Raises:
        BindFailed: one of them is none; the text has the option.
    """
    for item in parse_items(options.bind_address) or [ANY]:
        try:
            net.resolve(item.host, item.port or options.listen_port)
        except net.ConnectFailed as error:
            what = str(error).removeprefix(f"{ANY.host}:")
            option = "bind_address" if options.bind_address else "listen_port"
            raise BindFailed(f"{option} {what}") from error


def troubles(options: Options, map_option: str, ids: privileges.Ids | None) -> Iterator[str]:
    """What does not keep the program from starting, but log-ins from their success.

    Args:
        options: the options in force.
        map_option: `map_library_opt`, with a whole path.
        ids: who the workers are to be: from now on this process is that too.
    """
    items = [net.parse_destination(each, net.DELIMITER) for each in options.outgoing_server]
    ports = [("outgoing_port", options.outgoing_port)]
    ports += [("outgoing_server", each.port) for each in items if each.port]
    for option, port in ports:
        try:
            net.resolve(LOOPBACK, port)
        except net.ConnectFailed as error:
            yield f"{option} {str(error).removeprefix(f'{LOOPBACK}:')}"
    if options.authenticate_in and not any(
        (folder / options.pam_service).exists() for folder in PAM_FOLDERS
    ):
        yield (
            f"pam_service {options.pam_service}: there is no /etc/pam.d/{options.pam_service}: "
            "PAM asks its service other, which refuses everybody as a rule"
        )
    try:
        check_file(options, map_option, ids)
    except MapFailed as error:
        reader = f", read by user {options.username}" if os.geteuid() else ""
        yield f"the map is out of order{reader}: {error}"


def check_file(options: Options, map_option: str, ids: privileges.Ids | None = None) -> None:
    """Read the map, if it is one in a file.

    Args:
        options: the options in force.
        map_option: `map_library_opt`, with a whole path.
        ids: who to become when it is open, as the workers do; None for nobody else.

    Raises:
        MapFailed: it cannot be used.
    """
    store = STORES.get(map_name(options.map_library))
    if store is None or not store.is_file:
        return
    opened = open_map(options.map_library, map_option, MapSettings())
    if ids is not None:
        privileges.drop(ids)
    if isinstance(opened, FileMap):
        with contextlib.closing(opened):
            opened.check()
