"""Packaging: all metadata; pyproject.toml holds the build backend and the tools' settings."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).resolve().parent
# Those with a program that makes their database.
STORES = ("ldap", "mysql", "odbc", "postgresql")
SERVICES = ("imap4", "imap4s", "imaps", "pop3", "pop3s", "managesieve")


def version() -> str:
    """The version, from its one place in the package."""
    text = (ROOT / "lib/perdition/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("lib/perdition/__init__.py: no __version__")
    return found.group(1)


def shared() -> list[tuple[str, list[str]]]:
    """What a site uses beside the program, below share/perdition: perdition.tools.shipped."""
    files = [ROOT / "docs/maps.md"]
    files += [path for top in ("conf", "init") for path in (ROOT / top).rglob("*")]
    found: dict[str, list[str]] = {}
    for file in sorted(path.relative_to(ROOT) for path in files if path.is_file()):
        found.setdefault(f"share/perdition/{file.parent}", []).append(str(file))
    return list(found.items())


TLS = ["pyOpenSSL>=23"]
BENCH = ["matplotlib>=3.7"]
# What maps need beside the program, by the names of their extras.
SQLALCHEMY = "sqlalchemy>=1.4"
MAPS = {
    "bdb": ["berkeleydb>=18"],
    "http": ["urllib3>=1.26"],
    "ldap": ["python-ldap>=3.4"],
    "mysql": [SQLALCHEMY, "pymysql>=1.0"],
    "odbc": [SQLALCHEMY, "pyodbc>=4.0"],
    # SQLAlchemy knows psycopg 3 from its version 2 on.
    "postgresql": ["sqlalchemy>=2", "psycopg[binary]>=3.1"],
    "redis": ["redis>=4.3"],
    "sql": [SQLALCHEMY],
}
ALL_MAPS = sorted({each for needed in MAPS.values() for each in needed})
# It has wheels for these alone; elsewhere the tests with it are skipped.
FUZZ = [
    'atheris>=3; sys_platform == "linux" and platform_machine == "x86_64" '
    'and python_version < "3.14"'
]
DEMO = ["pymap[sieve]>=0.36", "cryptography>=42"]
TEST = [
    "build>=1",
    "check-manifest>=0.49",
    "coverage>=7.10",
    "cryptography>=42",
    *FUZZ,
    "hypothesis>=6",
    "mypy>=1.10",
    "packaging>=22",
    *TLS,
    "pytest>=8",
    "pytest-timeout>=2",
    "pytest-xdist>=3",
    "ruff>=0.5",
    "scramp>=1.5",
    # The first that makes wheels without a package of that name.
    "setuptools>=70.1",
    "twine>=5",
    "types-PyMySQL",
    "types-tqdm",
]

setup(
    name="perdition",
    version=version(),
    description="Mail retrieval proxy for POP3, IMAP4 and ManageSieve: Perdition 2.2's successor",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    keywords=["imap", "mail", "managesieve", "pop3", "proxy"],
    python_requires=">=3.11",
    package_dir={"": "lib"},
    packages=find_packages("lib"),
    package_data={"perdition": ["py.typed"]},
    data_files=shared(),
    install_requires=["configobj>=5.0.8", "python-daemon>=2.3", "setproctitle>=1.3", "tqdm>=4.64"],
    extras_require={
        **MAPS,
        "all": [*ALL_MAPS, *TLS],
        "bench": BENCH,
        "demo": DEMO,
        "fuzz": FUZZ,
        "test": [*TEST, *DEMO, *ALL_MAPS],
        "tls": TLS,
    },
    entry_points={
        "console_scripts": [
            "perdition=perdition.cli:main",
            "perdition-install=perdition.tools.install:main",
            *(f"perdition.{service}=perdition.cli:main" for service in SERVICES),
            "makebdb=perdition.tools.makebdb:main",
            "makegdbm=perdition.tools.makegdbm:main",
            *(
                f"perditiondb_{store}_makedb=perdition.tools.{store}_makedb:main"
                for store in STORES
            ),
        ]
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: No Input/Output (Daemon)",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Topic :: Communications :: Email :: Post-Office :: IMAP",
        "Topic :: Communications :: Email :: Post-Office :: POP3",
        "Topic :: Internet :: Proxy Servers",
        "Typing :: Typed",
    ],
)
