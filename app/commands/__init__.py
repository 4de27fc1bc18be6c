"""The command line, one subject per file. What is heavy is imported when a command runs, so that help is quick."""
