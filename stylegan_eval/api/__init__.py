"""The Python interface; `import stylegan_eval as se` reaches all of it."""
