"""Files of text and of records, read and written."""
