"""May we work now? The window, the load of others, the recorders' health, the disk."""
