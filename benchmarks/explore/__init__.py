"""Long and large looks at the page of stylegan-explore: a soak, and its picture."""
