"""Floor 2: database, state, keys, audit, sockets. Knows no domain model."""
