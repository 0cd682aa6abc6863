"""One page in a browser that looks into a network: which branches light up, and where the class is known already."""
