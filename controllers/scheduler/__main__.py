"""`python -m controllers.scheduler`: see `main.py`."""

import sys

from controllers.scheduler.main import main

if __name__ == "__main__":
    sys.exit(main())
