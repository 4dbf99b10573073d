"""Put the copy in place, and keep the original until that is safe."""
