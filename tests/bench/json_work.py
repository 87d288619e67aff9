"""A Python program that does what many do: builds dicts, dumps and parses JSON, joins and splits strings.

Run with PYTHONMALLOC=malloc each object is a malloc: about 8 million allocation events in 1.5 s untraced.
Deterministic: the output is a digest, the same on every run, so that a traced run can be checked against it.

usage: PYTHONMALLOC=malloc /usr/bin/python3 json_work.py [ROUNDS]
"""
import hashlib
import json
import sys


def make_record(number):
    return {
        "id": number,
        "name": "user-%d" % number,
        "tags": ["t%d" % (number % 7), "group-%d" % (number % 13), "x" * (number % 29)],
        "score": number * 1.25,
        "address": {"street": "Street %d" % (number % 101), "zip": str(10000 + number % 899), "geo": [number, -number]},
        "active": number % 3 == 0,
    }


def summarize(records):
    by_group = {}
    for record in records:
        group = record["tags"][1]
        by_group.setdefault(group, []).append((record["name"].upper(), record["score"]))
    return {group: {"count": len(rows), "sum": sum(score for _, score in rows), "first": rows[0][0]}
            for group, rows in sorted(by_group.items())}


def count_words(pieces):
    """Looks each word up many times: dict work that allocates little, as a program's own logic does."""
    words = {}
    for piece in pieces:
        words[piece] = words.get(piece, 0) + 1
    hits = 0
    for _ in range(20):
        for piece in pieces:
            if words[piece] is hits:
                hits = words[piece]
    return words


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    digest = hashlib.sha256()
    for round_number in range(rounds):
        records = [make_record(round_number * 1000 + i) for i in range(2600)]
        text = json.dumps(records)
        parsed = json.loads(text)
        words = count_words(text.replace('"', " ").split(" "))
        digest.update(json.dumps(summarize(parsed), sort_keys=True).encode())
        digest.update(str(len(words)).encode())
    print(digest.hexdigest())


main()
