"""A local page to explore what a network draws: `stylegan-explore`."""
