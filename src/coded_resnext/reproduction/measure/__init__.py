"""What makes the records: the library's measurements on the runs of a preset."""
