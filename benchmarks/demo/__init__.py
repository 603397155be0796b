"""README's demo, and what made the network that the package carries."""
