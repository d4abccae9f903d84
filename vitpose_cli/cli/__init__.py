"""The terminal: the only importer of typer, rich and tqdm."""
