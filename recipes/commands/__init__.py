"""One file for each `suprank` command."""
