"""``python -m graphscope`` is the shell command ``graphscope``."""

import sys

from graphscope.cli import main

sys.exit(main())
