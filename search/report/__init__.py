"""What a search found, in files, tables and pictures."""
