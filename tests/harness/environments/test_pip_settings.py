"""An index that stands in pip's file only is used by uv too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.environments import builder, pip_settings, releases, variants
from harness.environments.framework_spec import load
from harness.environments.installer import uv_environment
from tests.wheels import publish


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """pip's file of a user who has set no variable; it is not there yet."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    # pip reads the file of the home folder where this one is not there.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    pip_settings._from_files.cache_clear()
    yield tmp_path / "pip.conf"
    pip_settings._from_files.cache_clear()


def test_what_pip_s_file_says_is_said_to_uv(file: Path) -> None:
    file.write_text(
        "[global]\nindex-url = https://one.example/simple\n"
        "extra-index-url =\n    https://two.example/simple\n    https://three.example/simple\n"
        "trusted-host = one.example\ntimeout = 60\n[install]\nfind-links = /wheels\n"
    )
    settings = uv_environment(pip_settings.user_environment())
    assert settings["UV_DEFAULT_INDEX"] == "https://one.example/simple"
    assert settings["UV_INDEX"] == "https://two.example/simple https://three.example/simple"
    assert settings["UV_FIND_LINKS"] == "/wheels"
    assert settings["UV_INSECURE_HOST"] == "one.example"
    assert "PIP_TIMEOUT" not in settings


def test_variables_count_more_than_files(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[global]\nindex-url = https://one.example/simple\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example")
    assert uv_environment(pip_settings.user_environment())["UV_DEFAULT_INDEX"].endswith(
        "variable.example"
    )
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example")
    assert uv_environment(pip_settings.user_environment())["UV_DEFAULT_INDEX"].endswith(
        "uv.example"
    )


@pytest.mark.parametrize("text", ["", "no section", "[global]\n", "[list]\nformat = columns\n"])
def test_a_file_that_says_nothing_adds_nothing(file: Path, text: str) -> None:
    before = pip_settings.user_environment()
    pip_settings._from_files.cache_clear()
    file.write_text(text)
    assert pip_settings.user_environment().items() <= before.items()


def test_an_environment_is_built_from_what_only_pip_s_file_names(
    versions_root: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish(wheels, "1.1")
    for name in ("PIP_NO_INDEX", "UV_FIND_LINKS"):
        monkeypatch.delenv(name)
    file = tmp_path / "pip.conf"
    file.write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    toy = load(versions_root / "frameworks" / "toy" / "environment.toml")
    assert list(map(str, releases.versions(toy))) == ["1.0", "1.1"]
    arm = variants.choose(["toy@1.1"], versions_root)["toy@1.1"]
    assert builder.prepare(arm, "cpu").version == "1.1"
    with pytest.raises(builder.Unavailable) as caught:
        builder.prepare(variants.choose(["toy@3"], versions_root)["toy@3"], "cpu")
    assert str(wheels) not in str(caught.value)
