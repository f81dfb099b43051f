"""What all commands share: options, errors in one line, interruption. Nothing here loads a large library."""
