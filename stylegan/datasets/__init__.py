"""Image archives, the embedded data set and the pyramid that training reads."""
