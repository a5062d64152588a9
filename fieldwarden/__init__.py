"""One import package for all that is installed: `fieldwarden.engine`, `fieldwarden.rules` and so on.

In the tree these are links to the folders beside this one; a wheel holds the files themselves. Nothing imports the
folders by their own names, which other people's packages have too (`rules`, `engine`).
"""
