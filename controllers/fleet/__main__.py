"""`python -m controllers.fleet`."""

import sys

from controllers.fleet.main import main

sys.exit(main())
