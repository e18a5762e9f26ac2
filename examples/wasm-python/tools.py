"""The tools of the plugin, from Python's own library: what differs between texts, and what numbers have in common."""

import difflib
import statistics


class Refusal(Exception):
    """What is told to the model, which may mend it."""


def compare_texts(ctx, before, after):
    old, new = before.splitlines(), after.splitlines()
    diff = list(difflib.unified_diff(old, new, "before", "after", lineterm="", n=1))
    alike = difflib.SequenceMatcher(None, before, after, autojunk=False).ratio()
    return {
        "alike_percent": round(100 * alike),
        "lines_added": sum(line.startswith("+") for line in diff[2:]),
        "lines_removed": sum(line.startswith("-") for line in diff[2:]),
        "diff": "\n".join(diff),
    }


def describe_numbers(ctx, numbers):
    if len(numbers) < 2:
        raise Refusal("give two numbers or more")
    low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
    described = {
        "count": len(numbers),
        "sum": sum(numbers),
        "mean": statistics.fmean(numbers),
        "deviation": statistics.stdev(numbers),
        "minimum": min(numbers),
        "quartiles": [low, median, high],
        "maximum": max(numbers),
        # Those beyond one and a half of the distance between the quartiles, as in a box plot.
        "outliers": [it for it in numbers if not 2.5 * low - 1.5 * high <= it <= 2.5 * high - 1.5 * low],
    }
    return {name: rounded(value) for name, value in described.items()}


def rounded(value):
    if isinstance(value, list):
        return [rounded(it) for it in value]
    return round(value, 6)


ALL = {
    "compare_texts": {
        "description": "Compares two versions of a text line by line: what was added and removed, and how alike they are.",
        "parameters": {"before": {"type": "string"}, "after": {"type": "string"}},
        "examples": ["compare {before} with {after}"],
        "run": compare_texts,
    },
    "describe_numbers": {
        "description": "Count, sum, mean, deviation, quartiles and outliers of numbers, exactly.",
        "parameters": {"numbers": {"type": "array", "items": {"type": "number"}}},
        "examples": ["describe the numbers {numbers}"],
        "run": describe_numbers,
    },
}
