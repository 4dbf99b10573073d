"""Make a proven copy: probe, encode, verify."""
