"""Speed against plain layers and against peers, as ratios measured in one run."""
