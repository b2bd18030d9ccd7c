"""Our Debian package in the place of the original's: the same sessions, commands and files."""

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

import perdition
from support.debian_machine import Machine, install_base, require_machines
from support.dovecot import PASSWORD, Dovecot
from support.processes import HOST, free_port, is_listening, lacking, require, wait_until
from support.program import ROOT
from support.scripted import read_line

BUILD_SECONDS = 600
SECONDS = 60
SCRIPT = "/etc/init.d/perdition"
NAMES = {"IMAP4": "perdition.imap4", "POP3": "perdition.pop3"}
PROGRAMS = {
    *(f"/usr/sbin/perdition{each}" for each in ("", ".imap4", ".imap4s", ".imaps")),
    *(f"/usr/sbin/perdition{each}" for each in (".pop3", ".pop3s", ".managesieve")),
    *("/usr/bin/makegdbm", "/usr/bin/makebdb"),
}
STORES = ("ldap", "mysql", "odbc", "postgresql")
# What a client says, and how the last line of the answer begins.
IMAP = (
    ("", "* OK"),
    ("a CAPABILITY", "a OK"),
    ("b LOGIN ann wrong", "b NO"),
    (f"c LOGIN ann {PASSWORD}", "c OK"),
    ("d EXAMINE INBOX", "d OK"),
    ("e FETCH 1 BODY[]", "e OK"),
    ("f LOGOUT", "f OK"),
)
POP3 = (
    ("", "+OK"),
    ("CAPA", "."),
    ("USER bob", "+OK"),
    ("PASS wrong", "-ERR"),
    ("USER bob", "+OK"),
    (f"PASS {PASSWORD}", "+OK"),
    ("STAT", "+OK"),
    ("RETR 1", "."),
    ("QUIT", "+OK"),
)
SAYS = {"IMAP4": IMAP, "POP3": POP3}
LETTER = b"Subject: greetings\r\n\r\nDear Ann, dear Bob\r\n"
POPMAP = "/etc/perdition/popmap"
CONF = "/etc/perdition/perdition.conf"
DEFAULT = "/etc/default/perdition"


# How long it took, and what the original calls its tag of a session.
SOMETHING = re.compile(r"[(][0-9.]+ [+].* secs[)]|(?<= )[0-9a-f]{8}$")


class Heard(NamedTuple):
    """What a session was to the client, and in the log; with what is different each time left out."""

    transcript: list[str]
    log: list[str]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where our packages are."""
    for program in ("dpkg-buildpackage", "dh", "pybuild"):
        require(program)
    folder = tmp_path_factory.mktemp("deb")
    done = subprocess.run(
        ["make", "deb", f"DEB_BUILD={folder}/build", f"DIST={folder}/dist"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if "Unmet build dependencies" in done.stderr:
        lacking(done.stderr)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return folder / "dist"


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A Debian with the original."""
    require_machines()
    # Not one of pytest's, which are kept for a while: it is large.
    with tempfile.TemporaryDirectory(prefix="debian-") as folder:
        install_base(Path(folder) / "base")
        yield Path(folder) / "base"


class Site(Machine):
    """A machine whose administrator wants IMAP4 and POP3, with users in a GDBM file."""

    def __init__(
        self, base: Path, packages: Path, ports: Mapping[str, int], real: Mapping[str, int]
    ) -> None:
        super().__init__(base)
        self._packages = packages
        self.ports = ports
        self._real = real

    def configure(self) -> None:
        self.write(CONF, "# The site's own\nlog_facility local5\nno_lookup\n")
        self.write(POPMAP, f"ann:{HOST}:{self._real['imap']}\nbob:{HOST}:{self._real['pop3']}\n")
        self.run("make", "--silent", "--directory=/etc/perdition")
        lines = ["# The site's own", "RUN_PERDITION=yes", "POP3S=no", "IMAP4S=no", "MANAGESIEVE=no"]
        lines += [f'{each}_FLAGS="-b {HOST}:{port}"' for each, port in self.ports.items()]
        self.write(DEFAULT, "\n".join(lines) + "\n")

    def install(self) -> str:
        """Install ours as an administrator would who keeps what has been changed."""
        names = []
        for path in self._packages.glob("perdition*.deb"):
            if path.name.startswith(("perdition_", "perdition-ldap_")):
                names.append(f"/tmp/{path.name}")
                self.path(names[-1]).write_bytes(path.read_bytes())
        assert len(names) == 2
        return self.run("dpkg", "--force-confdef", "--force-confold", "--install", *names)

    def do(self, verb: str, status: int = 0) -> str:
        """Call the init script; the original returns before it listens, so we wait for that."""
        told = self.run(SCRIPT, verb, status=status)
        if verb in {"start", "restart"}:
            self.wait_serving()
        return told

    def wait_serving(self) -> None:
        wait_until(lambda: all(map(self.serves, NAMES)), SECONDS, "both protocols are served")

    def serves(self, protocol: str) -> bool:
        return is_listening(self.ports[protocol])

    def serves_nothing(self) -> bool:
        return not any(map(self.serves, NAMES))

    def pid_file(self, protocol: str) -> str:
        name = NAMES[protocol]
        return f"/run/{name}/{name}.pid"

    def pid(self, protocol: str) -> str:
        """The number of its daemon, on that machine."""
        return self.path(self.pid_file(protocol)).read_text()

    def executable(self, protocol: str) -> str:
        return self.run("readlink", f"/proc/{self.pid(protocol)}/exe").strip()

    def heard(self, protocol: str) -> Heard:
        """Hold a session."""
        self.logged()
        transcript = []
        with socket.create_connection((HOST, self.ports[protocol]), SECONDS) as sock:
            ours = sock.getsockname()[1]
            for command, last in SAYS[protocol]:
                if command:
                    sock.sendall(f"{command}\r\n".encode())
                    transcript.append(f"C: {command}")
                line = ""
                while not line.startswith(last):
                    line = read_line(sock).decode().removesuffix("\r\n")
                    transcript.append(f"S: {SOMETHING.sub('...', line)}")
            assert sock.recv(1) == b""
        log: list[str] = []

        def is_closed() -> bool:
            log.extend(self.logged())
            return any(": Clos" in line for line in log)

        wait_until(is_closed, SECONDS, "the end of the session is logged")
        found = [re.fullmatch(r"(<\d+>)[A-Z].{14} (\S+)\[\d+\]: (.*)\n?\0?", each) for each in log]
        lines = ["{} {} {}".format(*each.groups()) for each in found if each]
        assert len(lines) == len(log), log
        # A daemon serves before it says that it listens.
        lines = [each for each in lines if "Listening with" not in each]
        # Dovecot says how long it took in more or fewer octets.
        lines = [re.sub(r"(?<= sent=)\d+$", "...", each) for each in lines]
        return Heard(transcript, [each.replace(f":{ours}", ":PORT") for each in lines])

    def files(self) -> dict[str, str]:
        """The files there are, with what tells that they have changed; not those of dpkg itself."""
        left_out = ["/proc", "/dev", "/tmp", "/var/lib/dpkg", "/var/log", "/var/cache"]
        pruned = " -o ".join(f"-path {each}" for each in left_out)
        told = self.run(
            "sh", "-c", f"find / -xdev \\( {pruned} \\) -prune -o -printf '%p\\t%y %m %U %G %l\\n'"
        )
        return dict(line.split("\t") for line in told.splitlines())


@pytest.fixture
def site(base: Path, packages: Path, dovecot: Dovecot) -> Iterator[Site]:
    with ExitStack() as stack:
        ports = {each: stack.enter_context(free_port()) for each in NAMES}
        yield stack.enter_context(Site(base, packages, ports, dovecot.ports))


def test_lintian_finds_nothing(packages: Path) -> None:
    (changes,) = packages.glob("*.changes")
    done = subprocess.run(
        [require("lintian"), "--allow-root", "--fail-on", "error,warning", str(changes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_its_version_is_the_programs(packages: Path) -> None:
    versions = {path.name.split("_")[1].rpartition("-")[0] for path in packages.glob("*.deb")}
    assert versions == {perdition.__version__}
    assert {path.name.split("_")[0] for path in packages.glob("*.deb")} == {
        "perdition",
        *(f"perdition-{store}" for store in STORES),
    }


def test_nobody_notices_that_it_has_taken_the_place_of_the_original(
    site: Site, dovecot: Dovecot
) -> None:
    for user in ("ann", "bob"):
        dovecot.deliver(user, LETTER)
    site.configure()
    site.do("start")
    before = {each: site.heard(each) for each in NAMES}
    assert all(site.executable(each) == f"/usr/sbin/{NAMES[each]}" for each in NAMES)
    owned = set(site.run("dpkg", "--listfiles", "perdition", "perdition-ldap").split("\n"))
    kept = {each: site.path(each).read_text() for each in (CONF, POPMAP, DEFAULT)}
    database = site.path(f"{POPMAP}.gdbm.db").read_bytes()

    site.install()

    # It ran, so it runs again; and was not told to.
    site.wait_serving()
    assert all(site.executable(each).startswith("/usr/bin/python3") for each in NAMES)
    for protocol in NAMES:
        assert site.heard(protocol).log == before[protocol].log
    assert {each: site.path(each).read_text() for each in kept} == kept
    assert site.path(f"{POPMAP}.gdbm.db").read_bytes() == database
    # What is announced has grown, unless it is not to.
    site.write(CONF, kept[CONF] + "compat 2.2\n")
    site.do("restart")
    assert {each: site.heard(each) for each in NAMES} == before
    # What the package of before had is there, but for libraries and what is said about it.
    of_c = re.compile(r"/usr/(lib(/.*)?|share/(doc|man)/.*)|/?\.?")
    now = set(site.run("dpkg", "--listfiles", "perdition", "perdition-ldap").split("\n"))
    assert {each for each in owned - now if not of_c.fullmatch(each)} == set()
    assert owned >= PROGRAMS | {"/usr/sbin/perditiondb_ldap_makedb"}
    manuals = {each for each in owned if "/man/" in each}
    assert manuals <= now
    for program in PROGRAMS:
        assert site.run(program, "--help")


def test_an_upgrade_starts_nothing_that_did_not_run(site: Site) -> None:
    site.configure()
    # From 2.2, which has stopped.
    site.do("start")
    site.do("stop")
    site.install()
    assert site.serves_nothing()
    assert not list(site.path("/run").glob("perdition*/*.pid"))
    assert not site.path("/run/perdition.was-running").exists()
    # From our own version, of which one daemon has stopped.
    site.do("start")
    first = site.pid("IMAP4")
    site.run("sh", "-c", f"kill {site.pid('POP3')}")
    wait_until(lambda: not site.serves("POP3"), SECONDS, "one of them has ended")
    site.install()
    assert site.pid("IMAP4") != first
    assert site.serves("IMAP4")
    assert not site.serves("POP3")
    # From our own version, which has stopped.
    site.do("stop")
    site.install()
    assert site.serves_nothing()


def test_an_upgrade_starts_those_alone_that_ran(site: Site) -> None:
    site.configure()
    site.do("start")
    site.run("sh", "-c", f"kill {site.pid('POP3')}")
    wait_until(lambda: not site.serves("POP3"), SECONDS, "one of them has ended")
    site.install()
    wait_until(lambda: site.serves("IMAP4"), SECONDS, "the other one is served")
    assert not site.serves("POP3")
    site.do("start")


@pytest.mark.parametrize("command", [("chmod", "a-x"), ("rm",)])
def test_what_ran_before_an_upgrade_is_forgotten_without_a_script_too(
    site: Site, command: tuple[str, ...]
) -> None:
    site.configure()
    site.do("start")
    site.run("sh", "-c", f"kill {site.pid('POP3')}")
    site.run(*command, SCRIPT)
    site.install()
    assert not list(site.path("/run").glob("perdition.*-*"))


def test_what_ran_before_an_upgrade_that_broke_off_is_nobodys_later(site: Site) -> None:
    site.configure()
    site.install()
    for name in "was-running", "start-only":
        site.write(f"/run/perdition.{name}", f"{NAMES['IMAP4']}\n")
    site.install()
    assert not list(site.path("/run").glob("perdition.*-*"))
    site.do("stop")
    # Not set up yet, with the package's scripts that have not come to their end.
    site.write("/run/perdition.was-running", f"{NAMES['IMAP4']}\n")
    site.do("start")
    site.run("dpkg", "--purge", "perdition-ldap", "perdition")
    assert not list(site.path("/run").glob("perdition*"))


def test_removed_and_ours_installed_it_serves_as_before(site: Site) -> None:
    site.configure()
    site.do("start")
    site.run("dpkg", "--remove", "perdition-ldap", "perdition")
    assert site.serves_nothing()
    site.install()
    site.wait_serving()
    assert all(site.executable(each).startswith("/usr/bin/python3") for each in NAMES)


def test_a_changed_init_script_of_the_original_leaves_nothing_running(site: Site) -> None:
    site.configure()
    script = site.path(SCRIPT).read_text() + "# The site's own\n"
    site.write(SCRIPT, script, 0o755)
    site.do("start")
    told = site.install()
    site.wait_serving()
    assert site.path(SCRIPT).read_text() == script
    assert all(site.executable(each).startswith("/usr/bin/python3") for each in NAMES)
    assert "does not find them: stop, restart and reload do nothing" in told
    # It does not find them, but the package does.
    first = {each: site.pid(each) for each in NAMES}
    site.install()
    site.wait_serving()
    assert not {site.pid(each) for each in NAMES} & set(first.values())
    site.run("dpkg", "--remove", "perdition-ldap", "perdition")
    assert site.serves_nothing()


def test_its_daemons_obey_the_init_script(site: Site) -> None:
    site.configure()
    site.install()
    assert "perdition.imap4 is not running\n" in site.do("status", status=3)
    site.do("start")
    first = {each: site.pid(each) for each in NAMES}
    site.do("start")
    assert {each: site.pid(each) for each in NAMES} == first
    assert f"perdition.pop3 is running, pid {first['POP3']}\n" in site.do("status")
    site.logged()
    site.do("reload")
    log: list[str] = []

    def have_reloaded() -> bool:
        log.extend(site.logged())
        return all(
            any(f" {name}[" in line and "Reopened" in line for line in log) for name in names
        )

    names = list(NAMES.values())
    wait_until(have_reloaded, SECONDS, "both have reloaded")
    assert {each: site.pid(each) for each in NAMES} == first
    site.do("restart")
    assert not {site.pid(each) for each in NAMES} & set(first.values())
    site.do("stop")
    assert site.serves_nothing()
    # The machine has crashed, and the number is somebody else's by now.
    site.path(site.pid_file("POP3")).write_text("1")
    assert "perdition.pop3 is not running, but there is" in site.do("status", status=1)
    site.do("start")
    assert site.pid("POP3") != "1"


def test_it_starts_and_ends_with_the_machine(site: Site, tmp_path: Path) -> None:
    site.configure()
    site.install()
    links = {path.parent.name: path.name for path in site.path("/etc").glob("rc?.d/*perdition")}
    assert {level: name[0] for level, name in links.items()} == {
        **{f"rc{level}.d": "K" for level in "016"},
        **{f"rc{level}.d": "S" for level in "2345"},
    }
    site.run(f"/etc/rc2.d/{links['rc2.d']}", "start")
    site.wait_serving()
    site.run(f"/etc/rc6.d/{links['rc6.d']}", "stop")
    assert site.serves_nothing()
    # systemd makes a unit of the script, after those that LSB's names mean, and it is a good one.
    generator = "/lib/systemd/system-generators/systemd-sysv-generator"
    if not Path(generator).exists():
        lacking(f"{generator} is not there")
    folders = [tmp_path / each for each in ("normal", "early", "late")]
    for folder in folders:
        folder.mkdir()
    etc = site.path("/etc")
    subprocess.run(
        [generator, *map(str, folders)],
        env=os.environ
        | {"SYSTEMD_SYSVINIT_PATH": f"{etc}/init.d", "SYSTEMD_SYSVRCND_PATH": str(etc)},
        check=True,
    )
    unit = folders[2] / "perdition.service"
    assert (folders[2] / "multi-user.target.wants/perdition.service").exists()
    text = unit.read_text()
    assert {"After=remote-fs.target", "After=nss-lookup.target"} <= set(text.splitlines())
    assert f"ExecReload={etc}/init.d/perdition reload" in text
    done = subprocess.run(
        [require("systemd-analyze"), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_removed_and_purged_it_leaves_nothing(site: Site) -> None:
    # The original's perdition-ldap starts everything when it is removed.
    site.write(DEFAULT, "RUN_PERDITION=no\n")
    site.run("dpkg", "--purge", "perdition", "perdition-ldap")
    without = site.files()
    site.install()
    # A first installation starts nothing.
    assert not list(site.path("/run").glob("perdition*"))
    installed = site.files()
    site.configure()
    site.do("start")
    site.run("dpkg", "--remove", "perdition-ldap", "perdition")
    assert site.serves_nothing()
    left = set(site.files()) - set(without)
    assert left
    assert {each for each in left if not each.startswith(("/etc/", "/run/"))} == set()
    assert site.path(DEFAULT).read_text().startswith("# The site's own")
    # Installed again, it has its configuration, and the script works.
    site.install()
    assert site.serves_nothing()
    site.do("start")
    site.run("dpkg", "--purge", "perdition-ldap", "perdition")
    # What is the site's own stays: the databases that it made.
    databases = {f"{POPMAP}.gdbm.db", f"{POPMAP}.bdb.db"}
    assert set(site.files()) - set(without) == {"/etc/perdition", *databases}
    assert set(without) - set(site.files()) == set()
    assert "/etc/fail2ban/filter.d/perdition-proxy.conf" in installed
