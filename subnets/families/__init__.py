"""The networks that the papers compare with, as plain static modules; one family per file."""
