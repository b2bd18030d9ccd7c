"""perdition-install, below roots of the tests' own."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pytest

from perdition.tools import install, shipped
from perdition.tools.placing import BESIDE, DEBIAN, RECORD, Piece, Place
from support.processes import lacking, open_to_all
from support.program import ROOT

NOBODY = 65534
INIT = "etc/init.d/perdition"
DEFAULT = "etc/default/perdition"
UNITS = "usr/local/lib/systemd/system"
Tree = dict[str, tuple[int, int, bytes]]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the programs, as pip makes it; this one is in it too."""
    folder = tmp_path / "venv/bin"
    folder.mkdir(parents=True)
    open_to_all(folder)
    for name in [name for names in install.LINKS.values() for name in names]:
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/perdition.py "$@"\n')
        program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(folder / install.PROGRAM)])
    return folder


@pytest.fixture
def root(tmp_path: Path, programs: Path) -> Path:
    assert programs.is_dir()
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def tree(folder: Path) -> Tree:
    """All that is there, with modes, times and contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, content)
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def do(root: Path, *arguments: str) -> None:
    assert install.main(["--root", str(root), *arguments]) == 0


@contextmanager
def as_nobody() -> Iterator[None]:
    """Lose root's rights, where these are ours, for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_fresh_root_gets_everything(
    root: Path, programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    do(root)
    said = capsys.readouterr().out
    assert f"new        /{INIT}\n" in said
    assert "update-rc.d perdition defaults" in said
    assert "systemctl enable --now perdition@imap4" in said
    for path, source in {
        DEFAULT: "conf/default/perdition",
        INIT: "init/perdition",
        "etc/pam.d/perdition": "conf/pam.d/perdition",
        "etc/perdition/perdition.conf": "conf/perdition/perdition.conf",
        "etc/perdition/popmap.re": "conf/perdition/popmap.re",
        f"{UNITS}/perdition@.service": "init/systemd/perdition@.service",
        f"{UNITS}/perdition@pop3.socket.d/listen.conf": (
            "init/systemd/perdition@pop3.socket.d/listen.conf"
        ),
    }.items():
        assert (root / path).read_bytes() == (ROOT / source).read_bytes()
        assert mode(root / path) == (0o755 if path == INIT else 0o644)
    assert (root / "etc/perdition/Makefile").readlink() == Path("Makefile.popmap")
    subprocess.run(["/bin/sh", "-n", root / INIT], check=True)
    for folder, names in install.LINKS.items():
        for name in names:
            place = root / folder.lstrip("/") / name
            assert place.is_symlink()
            assert place.resolve() == programs / name


def test_a_program_runs_through_its_link(root: Path) -> None:
    do(root)
    said = subprocess.run(
        [root / "usr/sbin/perdition.imap4", "--version"], check=True, capture_output=True
    )
    assert said.stdout.startswith(b"perdition ")


def test_no_service_is_led_away_from_its_configuration_file(root: Path) -> None:
    """While perdition.imap4.conf is there, perdition.conf is not read."""
    do(root)
    assert [path.name for path in (root / "etc/perdition").glob("*.conf")] == ["perdition.conf"]


def test_the_umask_takes_nothing_away(root: Path) -> None:
    before = os.umask(0o077)
    try:
        do(root)
    finally:
        os.umask(before)
    assert mode(root / INIT) == mode(root / "etc/perdition") == 0o755
    assert mode(root / DEFAULT) == 0o644


def test_a_second_run_changes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    do(root)
    (root / DEFAULT).write_text("RUN_PERDITION=no\n")
    do(root)
    before = tree(root)
    capsys.readouterr()
    do(root)
    said = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in said[:-1]} <= {"unchanged", "kept", "skipped"}
    assert said[-1] == "Nothing to do."
    assert tree(root) == before


def test_a_changed_file_stays_and_the_new_one_goes_beside_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = root / INIT
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n# my own\n")
    do(root)
    assert script.read_text() == "#!/bin/sh\n# my own\n"
    beside = script.with_name(script.name + BESIDE)
    assert beside.read_bytes() == (ROOT / "init/perdition").read_bytes()
    # systemd makes a service of whatever can be run in /etc/init.d.
    assert mode(beside) == 0o755
    assert f"kept       /{INIT}: it was changed; the new one is /{INIT}{BESIDE}" in (
        capsys.readouterr().out
    )


def test_a_changed_file_beside_it_stays_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(root)
    of_site = root / DEFAULT
    of_site.parent.mkdir(parents=True)
    of_site.write_text("RUN_PERDITION=no\n")
    beside = of_site.with_name(of_site.name + BESIDE)
    # One that an earlier version put there goes.
    place.put(Piece(PurePosixPath("/", DEFAULT), b"RUN_PERDITION=yes\n"))
    place.save()
    do(root)
    assert beside.read_bytes() == (ROOT / "conf/default/perdition").read_bytes()
    beside.write_text("half merged\n")
    capsys.readouterr()
    do(root)
    assert beside.read_text() == "half merged\n"
    assert (
        f"kept       /{DEFAULT}: it was changed; so was /{DEFAULT}{BESIDE}: "
        "move it to have the new one there\n"
    ) in capsys.readouterr().out


def test_what_an_earlier_version_put_there_is_replaced_with_owner_and_mode_kept(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(root)
    place.put(Piece(PurePosixPath("/", DEFAULT), b"RUN_PERDITION=yes\n"))
    place.save()
    (root / DEFAULT).chmod(0o640)
    if os.geteuid() == 0:
        os.chown(root / DEFAULT, 0, NOBODY)
    do(root)
    assert f"replaced   /{DEFAULT}\n" in capsys.readouterr().out
    assert (root / DEFAULT).read_bytes() == (ROOT / "conf/default/perdition").read_bytes()
    assert mode(root / DEFAULT) == 0o640
    assert os.geteuid() != 0 or (root / DEFAULT).stat().st_gid == NOBODY


def test_debians_files_are_replaced_unless_they_were_changed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/var/lib/dpkg/info/perdition.list").exists():
        lacking("Debian's perdition is not installed")
    for path in DEBIAN:
        (root / path.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / path.relative_to("/")).write_bytes(Path(path).read_bytes())
    changed = root / "etc/perdition/popmap"
    changed.write_bytes(b"ann:mail1\n")
    do(root)
    assert capsys.readouterr().out.count(": it was Debian's, of 2.2\n") == len(DEBIAN) - 1
    assert (root / INIT).read_bytes() == (ROOT / "init/perdition").read_bytes()
    assert changed.read_bytes() == b"ann:mail1\n"


def test_a_dry_run_touches_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    do(root, "--dry-run")
    assert tree(root) == {}
    assert f"new        /{INIT}\n" in capsys.readouterr().out
    do(root)
    (root / DEFAULT).write_text("RUN_PERDITION=no\n")
    (root / INIT).unlink()
    before = tree(root)
    capsys.readouterr()
    do(root, "--dry-run")
    said = capsys.readouterr().out
    assert f"new        /{INIT}\n" in said
    assert f"kept       /{DEFAULT}: it was changed" in said
    assert said.endswith("Nothing was touched: that is what would be done.\n")
    do(root, "--dry-run", "--uninstall")
    assert tree(root) == before


def test_no_link_leads_out_of_the_root(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "etc").mkdir()
    (root / "etc/perdition").symlink_to(outside)
    assert install.main(["--root", str(root)]) == 1
    assert f"leads out of {root}, to {outside}: remove that link" in capsys.readouterr().err
    assert tree(outside) == {}


@pytest.mark.parametrize("name", [DEFAULT, f"{DEFAULT}{BESIDE}", str(RECORD)[1:]])
def test_no_file_is_written_through_a_link(root: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("somebody's\n")
    trap = root / name
    trap.parent.mkdir(parents=True)
    trap.symlink_to(outside)
    if name.endswith(BESIDE):
        (root / DEFAULT).write_text("RUN_PERDITION=no\n")
    do(root)
    assert outside.read_text() == "somebody's\n"
    assert trap.is_symlink() == (name != str(RECORD)[1:])


def test_links_within_the_root_are_followed(root: Path) -> None:
    (root / "etc/rc.d/init.d").mkdir(parents=True)
    (root / "etc/init.d").symlink_to("rc.d/init.d")
    do(root)
    assert (root / "etc/rc.d/init.d/perdition").is_file()


def test_links_in_a_circle_are_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "etc").symlink_to("etc")
    assert install.main(["--root", str(root)]) == 1
    assert f"{root}/etc" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_stays(root: Path, kind: str) -> None:
    place = root / DEFAULT
    place.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    do(root)
    assert not place.is_file()
    assert place.with_name(place.name + BESIDE).is_file()


def test_the_program_of_another_package_ends_it_before_anything_is_done(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = root / "usr/sbin/perdition"
    program.parent.mkdir(parents=True)
    program.write_text("of 2.2\n")
    before = tree(root)
    assert install.main(["--root", str(root)]) == 1
    assert "apt-get remove perdition first" in capsys.readouterr().err
    assert tree(root) == before


def test_somebodys_link_in_the_place_of_one_stays(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = root / "usr/sbin/perdition.pop3"
    place.parent.mkdir(parents=True)
    place.symlink_to("/opt/another")
    do(root)
    assert place.readlink() == Path("/opt/another")
    assert "kept       /usr/sbin/perdition.pop3: it is not from here\n" in capsys.readouterr().out
    assert not place.with_name(place.name + BESIDE).exists()


def test_programs_below_the_root_are_named_as_they_will_be(
    root: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "opt").mkdir()
    programs.parent.rename(root / "opt/perdition")
    monkeypatch.setattr(sys, "argv", [str(root / "opt/perdition/bin" / install.PROGRAM)])
    do(root)
    assert (root / "usr/bin/makegdbm").readlink() == Path("/opt/perdition/bin/makegdbm")


def test_programs_that_others_cannot_reach_are_warned_of(
    root: Path, programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.parent.chmod(0o700)
    do(root)
    assert f"warning    {programs}: not everybody may go there: " in capsys.readouterr().out


def test_without_its_programs_there_is_nothing_to_install(
    root: Path, programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (programs / "makebdb").unlink()
    monkeypatch.setattr(install.sysconfig, "get_path", lambda _: str(programs))
    assert install.main(["--root", str(root)]) == 1
    assert "pip install perdition first" in capsys.readouterr().err
    assert tree(root) == {}


def test_fail2ban_gets_its_filter_where_it_is(root: Path) -> None:
    do(root)
    assert not (root / "etc/fail2ban").exists()
    (root / "etc/fail2ban/filter.d").mkdir(parents=True)
    do(root)
    assert (root / "etc/fail2ban/filter.d/perdition-proxy.conf").is_file()


def test_manual_pages_go_to_their_sections(root: Path) -> None:
    do(root)
    pages = {path.name for path in (root / "usr/local/share/man/man8").iterdir()}
    assert {"perdition.8", "perdition.imap4.8"} <= pages
    assert (root / "usr/local/share/man/man5/perditiondb.5").is_file()


def test_both_shells_find_their_completion(root: Path) -> None:
    do(root)
    bash = root / "usr/local/share/bash-completion/completions"
    assert (bash / "perdition.imap4").resolve() == bash / "perdition"
    assert (root / "usr/local/share/zsh/site-functions/_perdition").is_file()


def test_uninstall_removes_what_was_not_changed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "etc").mkdir()
    (root / "etc/passwd").touch()
    do(root)
    (root / DEFAULT).write_text("RUN_PERDITION=no\n")
    (root / "etc/perdition/popmap.gdbm.db").touch()
    capsys.readouterr()
    do(root, "--uninstall")
    said = capsys.readouterr().out
    assert f"removed    /{INIT}\n" in said
    assert f"kept       /{DEFAULT}: it was changed\n" in said
    left = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    assert "update-rc.d perdition remove" in said
    assert left == {DEFAULT, "etc/passwd", "etc/perdition/popmap.gdbm.db"}
    assert not (root / UNITS / "perdition@pop3.socket.d").exists()
    do(root, "--uninstall")
    assert capsys.readouterr().out == "Nothing to do.\n"


def test_an_error_names_the_file_and_the_reason_and_what_was_done_is_on_record(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "usr").mkdir()
    (root / "usr/local").touch()
    assert install.main(["--root", str(root)]) == 1
    captured = capsys.readouterr()
    assert captured.err == (
        f"{install.PROGRAM}: {root}/{UNITS}/perdition@.service: Not a directory: "
        "what stands above is done; mend that and run this again\n"
    )
    assert f"/{INIT}\n" in (root / RECORD.relative_to("/")).read_text()
    (root / "usr/local").unlink()
    do(root)


def test_a_root_that_may_not_be_written_to_is_left_as_it_is(root: Path) -> None:
    root.chmod(0o555)
    with as_nobody(), pytest.raises(PermissionError) as caught:
        Place(root).put(Piece(PurePosixPath("/", DEFAULT), b"text"))
    assert caught.value.filename == str(root / DEFAULT)
    assert tree(root) == {}


def test_only_root_installs_into_the_system(capsys: pytest.CaptureFixture[str]) -> None:
    with as_nobody():
        assert install.main([]) == 1
    assert "only root may write to /: run it as root, or give --root DIR" in capsys.readouterr().err


def test_a_root_that_is_not_there_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install.main(["--root", str(tmp_path / "nothing")]) == 1
    assert "nothing is not a directory: make it first" in capsys.readouterr().err


def test_files_that_this_installation_lacks_are_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CHECKOUT", "PACKAGED"):
        monkeypatch.setattr(shipped, name, root)
    monkeypatch.setattr(shipped, "wheel", lambda: None)
    assert install.main(["--root", str(root)]) == 1
    assert "conf/default/perdition is neither" in capsys.readouterr().err


def test_wrong_usage_is_another_status() -> None:
    with pytest.raises(SystemExit, match="2"):
        install.main(["--nonsense"])
