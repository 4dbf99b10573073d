"""`python -m watcher`: the commands, without their console script."""

import sys

from watcher.cli import main

sys.exit(main())
