"""Which of the user's environment variables reach a worker, and which are left out.

A worker's environment holds what it needs from the machine: where programs, libraries and certificates
are, who the user is, how text is read. It holds nothing that changes what a framework computes or how
fast, unless `--keep-env` names it: the same command gives the same figures from any shell.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from workloads.errors import UserError

_OF_THE_MACHINE = """
    PATH HOME USER LOGNAME SHELL TMPDIR TEMP TMP
    LANG LANGUAGE LC_* LOCPATH LOCALE_ARCHIVE TZ TZDIR
    http_proxy https_proxy ftp_proxy all_proxy no_proxy
    HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY
    SSL_CERT_FILE SSL_CERT_DIR *_CA_BUNDLE *CA_CERTS* *_SSL_ROOTS_FILE_PATH NIX_SSL_CERT_FILE
    LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH
    CUDA_HOME CUDA_PATH CUDA_ROOT CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER
    CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
    CC CXX CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH SDKROOT DEVELOPER_DIR
    SAMESTEP_*
"""
ALLOWED = _OF_THE_MACHINE.split()
"""Names, and patterns of names, that are handed on."""

_OF_SHELLS = """
    _ PWD OLDPWD SHLVL PS? IFS HIST* BASH* ZSH* FISH* PROMPT* HOSTNAME HOST HOSTTYPE MACHTYPE OSTYPE
    UID EUID SUDO_* TERM* COLORTERM COLUMNS LINES LS_COLORS LESS* PAGER MANPATH INFOPATH EDITOR VISUAL
    NO_COLOR *FORCE_COLOR CLICOLOR* TMUX* STY WINDOW* MAIL MOTD_* DEBIAN_FRONTEND
    XDG_* DISPLAY WAYLAND_* XAUTHORITY DBUS_* DESKTOP* GTK* GNOME* QT_* KDE* SESSION* SSH_* GPG_*
    SYSTEMD_* INVOCATION_ID JOURNAL_STREAM VSCODE* JPY_* JUPYTER* PYCHARM* WSL* WT_* __CF* XPC_* Apple*
"""
_OF_SERVICES = """
    CI CI_* GITHUB_* GITLAB* RUNNER_* ACTIONS_* Agent* AGENT_* BUILD* JENKINS* CIRCLE* BUILDKITE* Image*
    ACCEPT_EULA DOTNET_* ANDROID_* ANT_* AZURE_* AWS_* container KUBERNETES_* *_SERVICE_HOST
    *_SERVICE_PORT* *_PORT *_PORT_* DOCKER_* CONTAINER_* SLURM* PBS_* NV_* NVIDIA_VISIBLE_DEVICES
    NVIDIA_DRIVER_CAPABILITIES NVIDIA_REQUIRE_* NVIDIA_PRODUCT_NAME
"""
_OF_OTHER_TOOLS = """
    PIP* UV_* VIRTUAL_ENV* CONDA* _CONDA* _CE_* MAMBA* PYENV* POETRY* GIT_* PYTEST_* COV_* COVERAGE_*
    PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONIOENCODING
    NVM_* NODE_* NPM_* npm_* GOPATH GOROOT* JAVA_* CARGO_* RUST* PERL* HOMEBREW_* CHROME* EDGE*
    GECKO* SELENIUM* GRADLE* PSModulePath SWIFT_PATH
"""
_PLACES_AND_SECRETS = """
    *_HOME *TOKEN* *SECRET* *PASSWORD* *PASSWD* *CREDENTIAL* *_KEY *_KEY_ID *_URL *_URI *_EMAIL *_USER
    *_USERNAME *_VERSION *_SHA256
"""
_OF_THIS_PROCESS = """
    KMP_DUPLICATE_LIB_OK KMP_INIT_AT_FORK NVPL_BLAS_DEBUG_CPU_TYPE
"""  # set by libraries that it imports itself
HARMLESS = [
    *(_OF_SHELLS + _OF_SERVICES + _OF_OTHER_TOOLS).split(),
    *(_PLACES_AND_SECRETS + _OF_THIS_PROCESS).split(),
]
"""Names, and patterns of names, of what is left out and makes no difference. Secrets are never named."""


def allowed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of `environ` every worker is given."""
    return {name: value for name, value in environ.items() if _any(ALLOWED, name)}


def left_out(environ: Mapping[str, str], exceptions: Iterable[str] = ()) -> list[str]:
    """Return the names of what is set and might have mattered, but for `exceptions`, sorted."""
    handed_on = {*allowed(environ), *exceptions}
    return sorted(name for name in environ if name not in handed_on and not _any(HARMLESS, name))


def by_name(
    names: Iterable[str], reserved: Iterable[str], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the variables that `--keep-env` names, with their values.

    `reserved` are those that samestep sets itself.

    Raises:
        UserError: one is not set, is reserved, or is handed on in any case.
    """
    variables = {}
    for name in names:
        if name in reserved:
            raise UserError(f"--keep-env {name}: samestep sets it itself, the same for all cells")
        if name not in environ:
            raise UserError(f"--keep-env {name}: it is not set in this environment")
        if _any(ALLOWED, name):
            raise UserError(f"--keep-env {name}: every worker is given it: leave the option out")
        variables[name] = environ[name]
    return variables


def _any(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
