"""Amounts of money as whole cents."""


def split(total, parts):
    """Share `total` cents between `parts`, as evenly as whole cents allow. No cent is lost."""
    if parts < 1:
        raise ValueError("parts must be at least 1")
    share = total // parts
    return [share] * parts


def format_cents(cents):
    """`123456` as `1,234.56`."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100:,}.{abs(cents) % 100:02}"
