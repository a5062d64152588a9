"""`python -m cli`: the command line where the program `fieldwarden` is not on the path."""

from cli.program import main

if __name__ == "__main__":
    main()
