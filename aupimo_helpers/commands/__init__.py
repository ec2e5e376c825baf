"""The sub-commands of ``aupimo``: each module has ``add_parser(subparsers)`` and imports heavy packages late."""
