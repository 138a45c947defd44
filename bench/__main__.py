"""`python -m bench`: the command line, with errors a person can act on."""

import sys

from bench.cli.main import main

sys.exit(main())
