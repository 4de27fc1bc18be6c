"""The ways of showing who one is."""
