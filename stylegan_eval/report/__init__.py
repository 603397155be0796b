"""Reports as one HTML page that needs no other file and asks nothing of the network."""
