# rules of boot/
