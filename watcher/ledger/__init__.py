"""What happened, and what was decided."""
