"""`python -m dln` is the command `dln`."""

from .runtime.command_line import main

main()
