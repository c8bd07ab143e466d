"""Being here puts this folder on the import path: ``models_for_tests`` is found from any test."""
