"""What dpkg makes of a site that goes from the original to ours, and on or back, by any way."""

import shutil

import pytest

from perdition.tools import install
from support.debian_site import SCRIPT, Site
from support.program import ROOT

OPT = "/opt/perdition"
PROGRAM = f"""\
#!/usr/bin/python3
import sys
sys.path.insert(0, "{OPT}/lib")
from perdition.MODULE import main
sys.exit(main())
"""
ORIGINAL, OURS = "/usr/sbin/perdition.imap4", "/usr/bin/python3"


def bring_programs(site: Site) -> None:
    """Put them where pip would have put them."""
    site.path(f"{OPT}/bin").mkdir(parents=True)
    for name in ("lib", "conf", "init", "docs"):
        shutil.copytree(ROOT / name, site.path(f"{OPT}/{name}"))
    modules = {name: "cli" for names in install.LINKS.values() for name in names}
    modules |= {name: f"tools.{name}" for name in install.LINKS["/usr/bin"]}
    for name, module in {**modules, install.PROGRAM: "tools.install"}.items():
        site.write(f"{OPT}/bin/{name}", PROGRAM.replace("MODULE", module), 0o755)


def remove(site: Site, *more: str) -> None:
    site.run("dpkg", "--remove", *more, "perdition")
    assert site.serves_nothing()


def test_the_original_serves_again_after_our_package(site: Site) -> None:
    site.configure()
    site.install()
    site.do("start")
    remove(site, "perdition-ldap")
    site.install_original()
    # As ever it starts itself.
    site.wait_serving()
    assert site.executable("IMAP4") == ORIGINAL


@pytest.mark.parametrize("package", [ORIGINAL, OURS])
def test_a_package_serves_after_perdition_install(site: Site, package: str) -> None:
    bring_programs(site)
    remove(site, "perdition-ldap")
    before = site.path(SCRIPT).read_bytes()
    site.run(f"{OPT}/bin/{install.PROGRAM}")
    assert "is_daemon" in site.path(SCRIPT).read_text()
    site.configure()
    site.do("start")
    assert site.executable("IMAP4").startswith(OURS)
    site.do("stop")
    site.run(f"{OPT}/bin/{install.PROGRAM}", "--uninstall")
    assert site.path(SCRIPT).read_bytes() == before
    assert not site.path("/var/lib/perdition").exists()
    if package == ORIGINAL:
        site.install_original()
    else:
        site.install()
        site.do("start")
    site.wait_serving()
    assert site.executable("IMAP4").startswith(package)
    site.do("stop")
    assert site.serves_nothing()


def test_perdition_install_leaves_our_packages_configuration(site: Site) -> None:
    """After a package of ours that is removed, or before one that is installed over it."""
    site.configure()
    site.install()
    bring_programs(site)
    remove(site, "perdition-ldap")
    site.run(f"{OPT}/bin/{install.PROGRAM}")
    site.run(f"{OPT}/bin/{install.PROGRAM}", "--uninstall")
    site.install()
    site.do("start")
    assert site.executable("IMAP4").startswith(OURS)


def test_uninstalling_takes_nothing_from_a_package_that_came_afterwards(site: Site) -> None:
    bring_programs(site)
    remove(site, "perdition-ldap")
    site.run(f"{OPT}/bin/{install.PROGRAM}")
    site.install()
    site.run(f"{OPT}/bin/{install.PROGRAM}", "--uninstall")
    assert site.run("dpkg", "--verify", "perdition") == ""
