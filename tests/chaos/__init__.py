"""Breaks a real deployment on purpose while numbered messages flow, and accounts for every single one."""
