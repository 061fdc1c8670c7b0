"""What git says of a checkout, and what mends it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import doctor
from harness.environments import git, variants
from workloads.reading import SpecError


def run(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Three commits of a project."""
    root = tmp_path / "origin"
    root.mkdir()
    run(root, "init", "-q")
    for text in ("one", "two", "three"):
        (root / "pyproject.toml").write_text(f"# {text}\n")
        run(root, "add", ".")
        run(root, "commit", "-qm", text)
    return root


def test_a_ref_is_a_commit_in_full(checkout: Path) -> None:
    assert git.commit(checkout, "HEAD~1") == run(checkout, "rev-parse", "HEAD~1")
    assert git.commit(checkout, "main") == run(checkout, "rev-parse", "main")


def test_a_shallow_clone_says_how_to_get_the_rest(checkout: Path, tmp_path: Path) -> None:
    clone = tmp_path / "shallow"
    run(tmp_path, "clone", "-q", "--depth", "1", f"file://{checkout}", str(clone))
    with pytest.raises(git.GitError, match='no commit "HEAD~1"') as caught:
        git.commit(clone, "HEAD~1")
    assert "git fetch --unshallow" in caught.value.hint
    run(clone, "fetch", "-q", "--unshallow", "--tags")
    assert git.commit(clone, "HEAD~1") == run(checkout, "rev-parse", "HEAD~1")


def test_a_whole_clone_is_not_told_to_unshallow(checkout: Path) -> None:
    with pytest.raises(git.GitError, match='no commit "nope"') as caught:
        git.commit(checkout, "nope")
    assert "git fetch" in caught.value.hint and "shallow" not in caught.value.hint


def test_another_owner_s_checkout_is_told_with_git_s_own_mend(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(git.GitError, match="dubious ownership") as caught:
        git.commit(checkout, "HEAD")
    assert caught.value.hint == f"git config --global --add safe.directory {checkout}"
    (finding,) = [item for item in doctor.examine(checkout, tmp_path) if "commit" in item.what]
    assert (finding.level, finding.mend) == ("warning", caught.value.hint)
    subprocess.run(caught.value.hint.split(), check=True)
    assert git.commit(checkout, "HEAD")


def test_a_word_with_a_commit_passes_the_reason_on(versions_root: Path) -> None:
    with pytest.raises(SpecError, match="toy@git:main: git has no checkout there") as caught:
        variants.choose(["toy@git:main"], versions_root)
    assert "clone" in caught.value.hint and "toy@1.2.3" in caught.value.hint


def test_a_hook_s_variables_do_not_lead_to_another_repository(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = run(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert git.commit(checkout, "HEAD") == expected


def test_git_that_is_not_there_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(git.GitError, match="git is not on the path"):
        git.commit(checkout, "HEAD")


def test_a_copy_in_another_project_s_repository_is_not_that_project(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q")
    packages = tmp_path / "site-packages"
    packages.mkdir()
    with pytest.raises(git.GitError, match="is an installed copy"):
        git.git(packages, "describe", "--always")
