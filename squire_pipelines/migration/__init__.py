"""Takes over what the old product left: its settings, its secrets in plain text, and its variables.

`places` says where its files lie, `old_files` and `dotenv` read them, `mapping` says what each entry is here, `plan`
what is to be done, `record` keeps the sealed originals and how far a migration came, `takeover` does and undoes it,
`leftovers` says what is left.
"""
