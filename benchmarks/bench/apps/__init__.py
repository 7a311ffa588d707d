"""The apps that are measured. What is equal in them is equal on purpose: only the background task differs."""
