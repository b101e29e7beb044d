"""The commands. They parse arguments and print; what they do stands in runtime and client."""
