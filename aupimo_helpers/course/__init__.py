"""The course's notebooks: find and execute them, show them as pages, refresh them for publication."""
