"""A closed batch: which requests, and their inputs joined along the row axis."""
