"""Groundbreak's simulator: policies, hyperscalers, clusters. Start at `simulator.model.Expansion.develop`.

>>> from simulator import load_scenario
>>> load_scenario("diffusion-framework").policy.diverges_on
datetime.date(2025, 1, 13)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.experiments import compare as compare
    from simulator.experiments import run as run
    from simulator.scenario import load_scenario as load_scenario
    from simulator.sweeps import sweep as sweep
    from simulator.world import load_world as load_world

__all__ = ["compare", "load_scenario", "load_world", "run", "sweep"]
_HOME = {
    "compare": "simulator.experiments",
    "run": "simulator.experiments",
    "load_scenario": "simulator.scenario",
    "load_world": "simulator.world",
    "sweep": "simulator.sweeps",
}


def __getattr__(name: str) -> Any:
    """Public names, imported when first used."""
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'simulator' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
