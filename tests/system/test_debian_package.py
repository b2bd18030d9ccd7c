"""Our Debian package in the place of the original's: the same sessions, commands and files."""

import imaplib
import os
import re
import subprocess
from pathlib import Path

import pytest

import perdition
from support.debian_site import CONF, DEFAULT, NAMES, POPMAP, SCRIPT, SECONDS, Site
from support.dovecot import Dovecot
from support.processes import HOST, lacking, require, wait_until

LINT_SECONDS = 600
PROGRAMS = {
    *(f"/usr/sbin/perdition{each}" for each in ("", ".imap4", ".imap4s", ".imaps")),
    *(f"/usr/sbin/perdition{each}" for each in (".pop3", ".pop3s", ".managesieve")),
    *("/usr/bin/makegdbm", "/usr/bin/makebdb"),
}
STORES = ("ldap", "mysql", "odbc", "postgresql")
LETTER = b"Subject: greetings\r\n\r\nDear Ann, dear Bob\r\n"


def test_lintian_finds_nothing(packages: Path) -> None:
    (changes,) = packages.glob("*.changes")
    done = subprocess.run(
        [require("lintian"), "--allow-root", "--fail-on", "error,warning", str(changes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LINT_SECONDS,
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


def test_what_ran_runs_after_an_upgrade_though_it_is_not_started_at_boot(site: Site) -> None:
    site.configure()
    site.do("start")
    site.run("update-rc.d", "perdition", "disable")
    site.install()
    site.wait_serving()
    assert all(site.executable(each).startswith("/usr/bin/python3") for each in NAMES)


def test_an_upgrade_starts_nothing_where_the_machines_policy_forbids_it(site: Site) -> None:
    site.configure()
    site.do("start")
    site.write("/usr/sbin/policy-rc.d", "#!/bin/sh\n[ $2 = stop ] || exit 101\n", 0o755)
    site.install()
    assert site.serves_nothing()


def test_an_upgrade_names_what_it_cannot_restart(site: Site) -> None:
    site.configure()
    site.install()
    own = "/run/perdition.own/perdition.imap4.pid"
    site.path(own).parent.mkdir()
    where = ["-b", HOST, "--listen_port", str(site.ports["IMAP4"])]
    site.run("/usr/sbin/perdition.imap4", *where, "--pid_file", own)
    first = site.path(own).read_text().strip()
    told = site.install()
    assert site.path(own).read_text().strip() == first
    assert f"perdition.imap4 (process {first}) is still the version of before" in told
    # What is restarted is not named.
    site.run("sh", "-c", f"kill {first}")
    wait_until(site.serves_nothing, SECONDS, "it has ended")
    site.do("start")
    assert "is still the version of before" not in site.install()


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


def test_what_an_interrupted_installation_was_to_start_is_started_by_the_next_one(
    site: Site,
) -> None:
    site.configure()
    site.install()
    site.write("/run/perdition.start-only", f"{NAMES['IMAP4']}\n")
    site.install()
    wait_until(lambda: site.serves("IMAP4"), SECONDS, "what was to be started is served")
    assert not site.serves("POP3")
    assert not list(site.path("/run").glob("perdition.*-*"))


def test_a_script_that_could_not_be_run_since_a_removal_can_be_run_again(site: Site) -> None:
    site.configure()
    site.install()
    site.run("dpkg", "--remove", "perdition-ldap", "perdition")
    site.run("chmod", "a-x", SCRIPT)
    site.install()
    site.do("start")
    site.wait_serving()


def test_it_can_be_removed_whatever_the_sites_file_does(site: Site) -> None:
    site.configure()
    site.install()
    site.do("start")
    site.wait_serving()
    site.write(DEFAULT, site.path(DEFAULT).read_text() + "exit 1\n")
    site.run("dpkg", "--remove", "perdition-ldap", "perdition")
    assert site.serves_nothing()


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


@pytest.mark.parametrize("facility", ["local5", "/var/log/perdition"])
def test_what_pam_logs_has_our_name(site: Site, facility: str) -> None:
    site.configure()
    site.install()
    conf = site.path(CONF).read_text().replace("local5", facility)
    site.write(CONF, f"{conf}authenticate_in\nfailure_delay 0\n")
    site.do("start")
    with imaplib.IMAP4(HOST, site.ports["IMAP4"]) as client, pytest.raises(client.error):
        client.login("ann", "wrong")
    log: list[str] = []

    def has_told() -> bool:
        log.extend(site.logged())
        return any("pam_unix(perdition:auth)" in line for line in log)

    wait_until(has_told, SECONDS, "PAM has logged")
    lines = [line for line in log if "pam_unix" in line]
    assert all(re.match(r"<\d+>.{16}perdition\.imap4\[\d+\]: pam_unix", line) for line in lines)


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
    # As systemctl enables a unit.
    wants = "/etc/systemd/system/multi-user.target.wants"
    site.run("mkdir", "-p", wants)
    site.run(
        "ln", "-s", "/lib/systemd/system/perdition@.service", f"{wants}/perdition@pop3.service"
    )
    site.run("dpkg", "--purge", "perdition-ldap", "perdition")
    # What is the site's own stays: the databases that it made.
    databases = {f"{POPMAP}.gdbm.db", f"{POPMAP}.bdb.db"}
    left = set(site.files()) - set(without)
    assert {each for each in left if "/etc/systemd" not in each} == {"/etc/perdition", *databases}
    assert not any("perdition@" in each for each in left)
    assert set(without) - set(site.files()) == set()
    assert "/etc/fail2ban/filter.d/perdition-proxy.conf" in installed
