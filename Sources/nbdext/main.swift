print("nbdext")
