"""Which recordings are there? The index, and the events that keep it true."""
