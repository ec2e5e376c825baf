"""``python -m aupimo_helpers`` is ``aupimo``."""

import sys

from aupimo_helpers.commands import main

sys.exit(main())
