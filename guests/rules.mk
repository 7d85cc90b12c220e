# rules of guests/
