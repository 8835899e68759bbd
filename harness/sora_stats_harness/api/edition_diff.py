"""What changed from one edition to another, field by field."""

from __future__ import annotations

from .edition import Edition, FieldDefinition, FieldPath


def field_differences(before: Edition, after: Edition) -> list[dict[str, str]]:
    """
    List the changes: `renamed`, `moved`, `added`, `removed` and `changed`, in the later edition's order, removals last.

    A field counts as renamed if an edition says so. It counts as moved if its name has disappeared from one group and
    appeared in exactly one other group.
    """
    old = {field.path: field for field in before.fields}
    new = {field.path: field for field in after.fields}
    gone = {path: field for path, field in old.items() if path not in new}
    came = {path: field for path, field in new.items() if path not in old}
    renamed = _match_renamed(gone, came)
    changes = []
    for path, field in new.items():
        if path in old:
            was, now = _field_rule_text(old[path]), _field_rule_text(field)
            if was != now:
                changes.append(_change_entry("changed", field, was, now))
            continue
        if path in renamed:
            changes.append(_change_entry("renamed", field, gone.pop(renamed[path]).dotted, field.dotted))
            continue
        same = [other for other in gone if other[-1] == field.name and other not in renamed.values()]
        if len(same) == 1 and sum(other.name == field.name for other in came.values()) == 1:
            changes.append(_change_entry("moved", field, gone.pop(same[0]).dotted, field.dotted))
        else:
            changes.append(_change_entry("added", field, "", _field_rule_text(field)))
    return changes + [_change_entry("removed", field, _field_rule_text(field), "") for field in gone.values()]


def _match_renamed(
    gone: dict[FieldPath, FieldDefinition], came: dict[FieldPath, FieldDefinition]
) -> dict[FieldPath, FieldPath]:
    """Each renamed field's new path with its old one, whichever of the two editions extends the other."""
    found = {path: former for path, field in came.items() for former in field.former if former in gone}
    return found | {former: path for path, field in gone.items() for former in field.former if former in came}


def _change_entry(change: str, field: FieldDefinition, was: str, now: str) -> dict[str, str]:
    return {"change": change, "path": field.dotted, "was": was, "is": now, "standing": field.standing.value}


def _field_rule_text(field: FieldDefinition) -> str:
    """What the edition demands of a field, in a few words."""
    parts = [field.type.value, field.kind.value, field.unit.value, field.presence.value]
    if field.minimum is not None or field.maximum is not None:
        parts.append(
            f"{'' if field.minimum is None else field.minimum}..{'' if field.maximum is None else field.maximum}"
        )
    if field.max_bytes is not None:
        parts.append(f"{field.max_bytes} bytes")
    if field.values is not None:
        parts.append("|".join(field.values))
    if field.form is not None:
        parts.append(field.form)
    return " ".join(parts)
