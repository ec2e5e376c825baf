"""``python -m aupimo_helpers`` is ``aupimo``."""

import sys

from aupimo_helpers.cli import main

sys.exit(main())
