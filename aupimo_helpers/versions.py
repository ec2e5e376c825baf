"""The versions a notebook ran with, for its last cell."""

import platform
from importlib.metadata import version

PACKAGES = (
    "aupimo-helpers",
    "anomalib",
    "torch",
    "torchvision",
    "torchmetrics",
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
)


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Look up installed versions without importing the packages.

    Args:
        packages: Names of installed distributions.

    Returns:
        Version by name, Python first.

    Raises:
        importlib.metadata.PackageNotFoundError: If one is not installed.

    Example:
        >>> list(versions(("numpy", "torch")))
        ['python', 'numpy', 'torch']
    """
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def print_versions() -> None:
    """Print Python's and the course's main packages' versions on one line.

    Example:
        >>> print_versions()
        python 3..., aupimo-helpers ..., anomalib ..., torch ...
    """
    print(", ".join(f"{name} {number}" for name, number in versions().items()))
