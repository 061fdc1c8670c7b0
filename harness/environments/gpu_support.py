"""Whether a framework can use a card, known before anything is built or started: run and doctor ask."""

from __future__ import annotations

from harness.environments.framework_spec import FrameworkSpec
from harness.machine import devices
from harness.machine.devices import Card


def refusal(spec: FrameworkSpec, card: Card | None, has_interpreter: bool) -> str | None:
    """Return in one line why a framework cannot run on cuda here, or None.

    `card` is None where nothing is known of it; `has_interpreter` says that the user gave an
    interpreter, of whose libraries nothing is known before it starts.
    """
    if devices.CUDA not in spec.devices:
        return None if has_interpreter and devices.CUDA in spec.given else _no_build(spec, card)
    return None if has_interpreter else _old_driver(spec, card)


def lock_that_fits(spec: FrameworkSpec, card: Card) -> str | None:
    """Return the name of the first CUDA lock whose libraries run on the card's driver, or None."""
    if devices.CUDA not in spec.devices:
        return None
    names = [path.name for path in spec.lock_paths(devices.CUDA)]
    return next((name for name in names if _runs(spec, name, card)), None)


def _runs(spec: FrameworkSpec, lock: str, card: Card) -> bool:
    least, driver = spec.drivers.get(lock), card.get("driver")
    return not least or not driver or devices.version(driver) >= devices.version(least)


def _old_driver(spec: FrameworkSpec, card: Card | None) -> str | None:
    if card is None or lock_that_fits(spec, card):
        return None
    (lock, *_) = (path.name for path in spec.lock_paths(devices.CUDA))
    needed = f"the libraries of {lock} need an NVIDIA driver {spec.drivers[lock]} or later"
    return f"{needed}, here is {card['driver']}: update the driver, or give an --interpreter"


def _no_build(spec: FrameworkSpec, card: Card | None) -> str:
    # By agreement the first of a spec's limits says why a device is missing.
    why = f": {spec.limits[0].rstrip('.')}" if spec.limits else ""
    name, capability = (card or {}).get("name"), (card or {}).get("capability")
    if name and capability:
        why += f"; this card, {name}, has compute capability {capability}"
    if devices.CUDA in spec.given:
        why += f"; a build that knows the card can be given: --interpreter {spec.label}=PYTHON"
    return f"runs on {' and '.join(spec.devices)}, not on cuda{why}"
