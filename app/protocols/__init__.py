"""Floor 4: the wire protocols. No Flask, no SQL strings, no Redis."""
