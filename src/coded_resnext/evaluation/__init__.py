"""What the paper measures on a trained network (sections 4.2 to 4.4): accuracy, branch removal, binary classifiers."""
