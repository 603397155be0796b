"""A report of the tables: CSV, Markdown, one HTML page and small pictures."""
