"""The servers that are compared: each file runs in a process of its own."""
