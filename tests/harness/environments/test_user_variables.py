"""A worker sees the machine and not the user's shell; what was left out is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.environments import probe, user_variables
from harness.environments.framework_spec import discover
from harness.runner.process import worker_environment
from workloads.errors import UserError

OF_THE_ISSUE = {
    "TORCHDYNAMO_DISABLE": "1",
    "JAX_DISABLE_JIT": "1",
    "JAX_DEBUG_NANS": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "GOMP_CPU_AFFINITY": "0",
    "ONEDNN_VERBOSE": "1",
    "PYTHONWARNINGS": "error::DeprecationWarning",
    "LD_PRELOAD": "/usr/lib/libjemalloc.so.2",
}
NEIGHBOURS = {
    "OMP_NUM_THREADS": "1",
    "KMP_AFFINITY": "disabled",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "MKL_VERBOSE": "1",
    "OPENBLAS_CORETYPE": "Prescott",
    "ATEN_CPU_CAPABILITY": "default",
    "TORCH_LOGS": "+all",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "MXNET_ENGINE_TYPE": "NaiveEngine",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_CONF": "dirty_decay_ms:0",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": "/elsewhere",
    "PYTHONSTARTUP": "/rc.py",
    "CUDA_LAUNCH_BLOCKING": "1",
    "NVIDIA_TF32_OVERRIDE": "1",
    "NPY_DISABLE_CPU_FEATURES": "AVX2",
}
NEEDED = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "USER": "me",
    "LOGNAME": "me",
    "TMPDIR": "/scratch",
    "LANG": "de_DE.UTF-8",
    "LC_NUMERIC": "C",
    "TZ": "UTC",
    "https_proxy": "http://proxy:3128",
    "NO_PROXY": "localhost",
    "SSL_CERT_FILE": "/ca.pem",
    "REQUESTS_CA_BUNDLE": "/ca.pem",
    "HTTPLIB2_CA_CERTS": "/ca.pem",
    "LD_LIBRARY_PATH": "/opt/cuda/lib64",
    "CUDA_HOME": "/opt/cuda",
    "CUDA_VISIBLE_DEVICES": "1",
    "SAMESTEP_CACHE": "/cache",
    "CC": "clang",
    "CXX": "clang++",
}
HARMLESS = {
    "TERM": "xterm",
    "PS1": "$ ",
    "SHLVL": "2",
    "SSH_AUTH_SOCK": "/s",
    "GITHUB_SHA": "abc",
    "VIRTUAL_ENV": "/venv",
    "UV_CACHE_DIR": "/uv",
    "MY_API_TOKEN": "hush",
    "AWS_SECRET_ACCESS_KEY": "hush",
    "JAVA_HOME": "/java",
    "PYTHON_VERSION": "3.11.9",
    "PYTHONUNBUFFERED": "1",
}


@pytest.mark.parametrize(("name", "value"), [*OF_THE_ISSUE.items(), *NEIGHBOURS.items()])
def test_what_changes_a_computation_is_left_out_and_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert name not in worker_environment({})
    assert user_variables.left_out({**NEEDED, **HARMLESS, name: value}) == [name]


@pytest.mark.parametrize(("name", "value"), NEEDED.items())
def test_what_a_worker_needs_from_the_machine_is_handed_on(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert worker_environment({})[name] == value


@pytest.mark.parametrize(("name", "value"), HARMLESS.items())
def test_a_shell_s_own_variables_are_left_out_and_not_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert name not in worker_environment({})
    assert user_variables.left_out({name: value}) == []


def test_what_a_framework_sets_wins_over_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CXX", "clang++")
    environment = worker_environment({"OMP_NUM_THREADS": "4", "CXX": "g++"})
    assert environment["OMP_NUM_THREADS"] == "4"
    assert environment["CXX"] == "g++"


def test_the_program_that_a_mode_needs_is_found_where_the_user_says_it_is() -> None:
    named = {program.variable for spec in discover().values() for program in spec.programs}
    assert named - {None} and named - {None} <= {*user_variables.ALLOWED}


def test_a_kept_variable_is_handed_on_with_its_value_and_not_named() -> None:
    environ = {"XLA_FLAGS": "--x", "ONEDNN_VERBOSE": "1"}
    kept = user_variables.by_name(["XLA_FLAGS"], ["OMP_NUM_THREADS"], environ)
    assert kept == {"XLA_FLAGS": "--x"}
    assert user_variables.left_out(environ, kept) == ["ONEDNN_VERBOSE"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("OMP_NUM_THREADS", "samestep sets it itself"),
        ("XLA_FLAG", "it is not set"),
        ("PATH", "every worker is given it"),
    ],
)
def test_a_variable_that_cannot_be_kept_is_refused(name: str, says: str) -> None:
    environ = {"XLA_FLAGS": "--x", "OMP_NUM_THREADS": "1", "PATH": "/bin"}
    with pytest.raises(UserError, match=f"--keep-env {name}: {says}"):
        user_variables.by_name([name], ["OMP_NUM_THREADS"], environ)


def test_probes_and_first_imports_see_what_a_worker_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe with `PYTHONWARNINGS=error` fails where it says so; what is left out cannot reach it."""
    for name, value in (OF_THE_ISSUE | NEIGHBOURS).items():
        monkeypatch.setenv(name, value)
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nenv > {tmp_path}/seen\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    spec = discover()["reference"]
    assert "numpy" in probe.probe(spec, script).versions
    asked = (tmp_path / "seen").read_text()
    probe.first_import(spec, "cpu", script)
    imported = (tmp_path / "seen").read_text()
    assert "OMP_NUM_THREADS=1" in imported  # its own
    for name in OF_THE_ISSUE | NEIGHBOURS:
        assert f"\n{name}=" not in f"\n{asked}", name
        if name not in spec.variables:
            assert f"\n{name}=" not in f"\n{imported}", name
    assert f"PATH={os.environ['PATH']}" in imported
