"""What of a framework is meant: as it stands here, another release, or its adapter at another commit.

A word is ``NAME``, ``NAME@2.9.1`` or ``NAME@git:REF``. Each gives a spec of its own, known by its
label, so that a run holds several of them side by side as it holds several frameworks.
"""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from harness import protocol, selection
from harness.environments import git
from harness.environments.framework_spec import (
    FILE_NAME,
    FrameworkSpec,
    FrameworkSpecError,
    Release,
    discover,
    load,
)
from harness.paths import cache_folder
from workloads.reading import SpecError, nearest

GIT = "git:"
_SHORT = 7
_ROOMS = ("frameworks", "harness", "workloads")
_SPEAKS = re.compile(r"^VERSION = (\d+)$", re.MULTILINE)


def choose(names: Iterable[str], root: Path) -> dict[str, FrameworkSpec]:
    """Return the framework specs asked for by label, in the order of the frameworks' names.

    Each of `names` may hold several words with commas between them; "all" is every framework as it
    stands here.

    Raises:
        SpecError: a name is unknown, a version is none, or git does not know the commit.
        FrameworkSpecError: a framework spec, here or at that commit, is wrong.
    """
    specs = discover(root)
    words = selection.words(names, "framework")
    plain = selection.choose([word for word in words if "@" not in word], list(specs), "framework")
    chosen = [specs[name] for name in plain]
    chosen += [_arm(word, specs, root) for word in words if "@" in word]
    chosen.sort(key=lambda spec: list(specs).index(spec.name))
    return {spec.label: spec for spec in chosen}


def _arm(word: str, specs: Mapping[str, FrameworkSpec], root: Path) -> FrameworkSpec:
    name, _, variant = word.partition("@")
    if name not in specs:
        raise SpecError(
            f'"{word}": no framework "{name}"{nearest(name, list(specs))}; known: {", ".join(specs)}'
        )
    if variant.startswith(GIT):
        return _at_commit(name, variant.removeprefix(GIT), root)
    try:
        version = Version(variant)
    except InvalidVersion:
        raise SpecError(
            f'"{word}": "{variant}" is no version; give a release, as {name}@1.2.3, or a commit of'
            f" this project, as {name}@{GIT}main"
        ) from None
    if version.local:
        raise SpecError(
            f'"{word}": give the release alone, {name}@{version.public}: the device'
            " decides which build is taken"
        )
    return at_release(specs[name], version)


def at_release(spec: FrameworkSpec, version: Version) -> FrameworkSpec:
    """Return the framework spec with the framework's own packages at another release.

    Its locks are made on the fly, unless the release is the one that is locked here.
    """
    variant = replace(spec, variant=str(version), title=f"{spec.title} {version}")
    locked = _locked(spec)
    if version == locked:
        return variant
    changes = [change for change in spec.releases if change.concerns(version)]
    names = {name: f"{variant.label}-{name}" for name in spec.requirements}
    return replace(
        variant,
        python=next((change.python for change in reversed(changes) if change.python), spec.python),
        requirements={
            names[name]: _pinned(spec, _changed(name, lines, changes), version, locked)
            for name, lines in spec.requirements.items()
        },
        locks={
            device: tuple(f"{names[file.removesuffix('.txt')]}.txt" for file in files)
            for device, files in spec.locks.items()
        },
        drivers={},  # what another release's libraries need is unknown
        lock_folder=cache_folder() / "locks",
    )


def _locked(spec: FrameworkSpec) -> Version | None:
    """Return the release of the framework that the requirements here pin, or None."""
    lines = [Requirement(line) for lines in spec.requirements.values() for line in lines]
    pins = [_pin(line) for line in lines if _own(spec, line)]
    return next((Version(pin[1].public) for pin in pins if pin), None)


def _own(spec: FrameworkSpec, requirement: Requirement) -> bool:
    names = map(canonicalize_name, spec.packages)
    return canonicalize_name(requirement.name) in names


def _pin(requirement: Requirement) -> tuple[str, Version] | None:
    """Return the operator and the version of a requirement that allows one only."""
    for clause in requirement.specifier:
        if clause.operator in ("==", "===") and not clause.version.endswith("*"):
            return clause.operator, Version(clause.version)
    return None


def _changed(name: str, lines: Sequence[str], changes: Iterable[Release]) -> list[str]:
    """Put a release's own requirements in the place of those on the same packages."""
    changed = {canonicalize_name(Requirement(line).name): line for line in lines}
    for change in changes:
        if not change.locks or name in change.locks:
            changed |= {canonicalize_name(Requirement(r).name): r for r in change.requirements}
    return list(changed.values())


def _pinned(
    spec: FrameworkSpec, lines: Iterable[str], version: Version, locked: Version | None
) -> tuple[str, ...]:
    """Pin the framework's packages to `version`; one that went along with them may be no newer."""
    pinned = []
    for line in lines:
        wanted = Requirement(line)
        operator, old = _pin(wanted) or ("==", None)
        if _own(spec, wanted):
            build = f"+{old.local}" if old and old.local else ""
            bound = f"{operator}{version}{build}"
        elif old is not None and old == locked:
            bound = f"<={version}"
        else:
            bound = str(wanted.specifier)
        extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
        marker = f" ; {wanted.marker}" if wanted.marker else ""
        pinned.append(f"{wanted.name}{extras}{bound}{marker}")
    return tuple(pinned)


def _at_commit(name: str, ref: str, root: Path) -> FrameworkSpec:
    word = f"{name}@{GIT}{ref}"
    if not ref:
        raise SpecError(f"{word}: name a commit, a tag or a branch, as {name}@{GIT}main")
    try:
        commit = git.commit(root, ref)
    except git.GitError as error:
        hint = f"{error.hint}; or compare releases, as {name}@1.2.3"
        raise SpecError(f"{word}: {error}", hint) from error
    short = GIT + commit[:_SHORT]
    tree = _tree(commit, root, word)
    try:
        spec = load(tree / "frameworks" / name / FILE_NAME)
    except FileNotFoundError:
        raise SpecError(f"{word}: the tree at {short} has no framework {name}") from None
    except FrameworkSpecError as error:
        raise FrameworkSpecError(
            f"{word}: the tree at {short} cannot be compared: {error}"
        ) from error
    title = f"{spec.title} ({short})"
    return replace(spec, variant=short, title=title, commit=commit)


def _tree(commit: str, root: Path, word: str) -> Path:
    """Return the folder with the rooms of a commit that workers run from; made once, and whole.

    Raises SpecError where it is no tree of this project, or its workers speak another protocol.
    """
    folder = cache_folder() / "refs" / commit
    if not folder.is_dir():
        try:
            packed = git.git(root, "archive", "--format=tar", commit, *_ROOMS)
        except git.GitError as error:
            needs = f"its tree needs {', '.join(_ROOMS)}"
            raise SpecError(f"{word}: {needs}: {error}", error.hint) from error
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as partial:
            aside = Path(partial, "tree")
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(aside, filter="data")
            if not folder.is_dir():
                aside.rename(folder)
    try:
        spoken = _SPEAKS.search((folder / "harness" / "protocol.py").read_text(encoding="utf-8"))
    except OSError:
        spoken = None
    version = spoken[1] if spoken else "none"
    if version != str(protocol.VERSION):
        raise SpecError(
            f"{word}: the tree at {GIT}{commit[:_SHORT]} speaks protocol {version}, this one"
            f" {protocol.VERSION}: it cannot be compared; take a newer commit"
        )
    return folder
