"""Images and data sets on disk: the course's own, MVTec AD, and yours.

``sets`` and ``mvtec`` make and fetch the course's data sets; ``own`` turns a folder of yours into one, with a module
per layout; ``problems`` says what is wrong with one; ``images`` is the reader of images and masks.
"""

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
