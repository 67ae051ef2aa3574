"""The one command, `ubi`; each subcommand imports its stage only when called."""
