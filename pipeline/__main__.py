"""``python -m pipeline`` is ``anomap``."""

import sys

from pipeline.cli import main

sys.exit(main())
