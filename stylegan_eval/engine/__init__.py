"""What every measurement runs on: blocks of work, processes, files, random streams."""
