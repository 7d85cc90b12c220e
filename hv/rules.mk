# rules of hv/
