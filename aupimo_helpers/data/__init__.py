"""Images and data sets on disk: the course's own, MVTec AD, and yours.

``images`` is the reader of images, masks and maps, and says which mask is whose; ``sets`` and ``mvtec`` make and
fetch the course's data sets; ``own`` turns a folder of yours into one, with a module per layout; ``problems`` says
what is wrong with one.

The names below are imported when they are first used: who only reads maps and masks needs neither pandas nor SciPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aupimo_helpers.data.own import import_folder, locate
    from aupimo_helpers.data.problems import check
    from aupimo_helpers.data.sets import MVTEC_CATEGORIES, available, datamodule, defects, folder, make
    from aupimo_helpers.synthesis.defects import DEFECT_TYPES

__all__ = [
    "DEFECT_TYPES",
    "MVTEC_CATEGORIES",
    "available",
    "check",
    "datamodule",
    "defects",
    "folder",
    "import_folder",
    "locate",
    "make",
]

_ELSEWHERE = {
    "DEFECT_TYPES": "aupimo_helpers.synthesis.defects",
    "check": "aupimo_helpers.data.problems",
    "import_folder": "aupimo_helpers.data.own",
    "locate": "aupimo_helpers.data.own",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "aupimo_helpers.data.sets")), name)
