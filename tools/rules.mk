# rules of tools/
