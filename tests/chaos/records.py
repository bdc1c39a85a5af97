"""PostgreSQL's text form of a row, read and compared without any help of the engine that is being tested."""


def read_record(text: str) -> tuple[str | None, ...]:
    """Return the fields of the text form of a row: an empty field is null, doubled quotes and backslashes are one."""
    assert text.startswith("(") and text.endswith(")"), text
    values: list[str | None] = []
    value, is_null, is_quoted, previous = "", True, False, ""
    characters = iter(text[1:-1] + ",")
    for character in characters:
        if character == "\\":
            value, is_null = value + next(characters), False
        elif character == '"':
            if not is_quoted and previous == '"':
                value += '"'
            is_quoted, is_null = not is_quoted, False
        elif character == "," and not is_quoted:
            values.append(None if is_null else value)
            value, is_null = "", True
        else:
            value, is_null = value + character, False
        previous = character
    return tuple(values)
