"""May we work now? The window, everybody else's load, the recorders' health, the disk."""
