from pathlib import Path

import pytest

from perdition.tools import shipped


def test_a_checkout_has_its_files_at_its_top():
    assert shipped.shipped("init/perdition").read_text().startswith("#!/bin/sh")
    assert shipped.shipped("conf") == Path(shipped.CHECKOUT) / "conf"


def test_what_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "CHECKOUT", tmp_path)
    monkeypatch.setattr(shipped, "PACKAGED", tmp_path / "packaged")
    with pytest.raises(FileNotFoundError, match="conf/perdition is neither"):
        shipped.shipped("conf/perdition")
