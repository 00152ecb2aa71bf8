"""The subcommands of `dln`: one module each, with a click command `command`, imported when it is asked for."""
