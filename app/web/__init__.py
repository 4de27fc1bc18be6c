"""Floor 5: HTTP. The edge in front, Flask behind it."""
