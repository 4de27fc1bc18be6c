"""How a person signs in and allows access, page by page, whatever protocol asked for it."""
