"""One module per subcommand of ``streambox``; each is imported when it is asked for."""
