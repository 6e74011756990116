"""Where the shipped inputs are: `data/` and `scenarios/`, in a source checkout or inside an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """The folder `data` or `scenarios` that belongs to this copy of the code.

    A wheel carries both under `simulator/_shipped/`; a checkout has them beside the package.
    """
    packed = _PACKAGE / "_shipped" / folder
    return packed if packed.is_dir() else _PACKAGE.parent / folder
