# Client libraries of other people; each test skips without its library.
CHECK_LONG_SCRIPTS += tests/clients/python.py
