"""Floor 3: users, clients, grants, sessions, access. No protocol words, no HTTP."""
