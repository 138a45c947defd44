"""`python -m bench`: the command line, with errors a person can act on."""

import sys

from bench.cli import main

sys.exit(main())
