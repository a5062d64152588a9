"""`python -m fieldwarden` is the command."""

from fieldwarden.cli import main

main()
