# SPDX-License-Identifier: Apache-2.0
"""Reads OTLP's protobuf, as far as records of logs go."""


def records(body):
    """The records that OTLP's ExportLogsServiceRequest has, with their resource's attributes."""
    for of_resource in all_of(body, 1):
        (resource,) = all_of(of_resource, 1)
        for record in all_of(of_resource, 2, 2):
            (at,), (name,), (severity,) = (all_of(record, number) for number in (1, 12, 2))
            yield (
                attributes_of(resource, 1),
                {
                    "timeUnixNano": str(int.from_bytes(at, "little")),
                    "severityNumber": severity,
                    "eventName": name.decode(),
                    "attributes": attributes_of(record, 6),
                },
            )


def attributes_of(message, number):
    """What a message's attributes are, as OTLP's JSON has it."""
    found = []
    for pair in all_of(message, number):
        (key,), (value,) = all_of(pair, 1), all_of(pair, 2)
        found.append({"key": key.decode(), "value": any_value(value)})
    return found


def any_value(message):
    ((number, value),) = fields_of(message)
    if number == 1:
        return {"stringValue": value.decode()}
    if number == 3:
        return {"intValue": str(value)}
    assert number == 5
    return {"arrayValue": {"values": [any_value(one) for one in all_of(value, 1)]}}


def all_of(message, *path):
    """The values at such a path of field numbers."""
    found = [value for number, value in fields_of(message) if number == path[0]]
    return found if len(path) == 1 else [one for value in found for one in all_of(value, *path[1:])]


def fields_of(message):
    """Yields the numbers and values of a protobuf message's fields."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            value |= (message[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 128:
                return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or varint()
            at += size
            yield number, message[at - size : at]
