"""Where secrets come from and how text is kept free of them."""
