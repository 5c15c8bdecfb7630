"""Texts as everything that stores or compares them wants them."""


def well_formed(text: str) -> str:
    """A text that UTF-8 can hold: halves of surrogate pairs become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
