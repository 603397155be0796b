"""Images as files: found, decoded, labelled and identified."""
