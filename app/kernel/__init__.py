"""Floor 1: what everything else stands on. Standard library only."""
