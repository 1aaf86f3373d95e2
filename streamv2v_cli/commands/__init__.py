"""The subcommands: one short module each, imported when the command is called."""
