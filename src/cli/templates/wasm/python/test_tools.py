import unittest

import tools


def ctx(member, *arguments):
    return {"kv.user.get": 2, "kv.user.compare_and_set": True}.get(member)


class Greet(unittest.TestCase):
    def test_it_greets_and_counts(self):
        greeted = tools.ALL["TOOL"]["run"](ctx, who="Ada")
        self.assertEqual(greeted, {"greeting": "Hello, Ada!", "times": 3})

    def test_it_asks_whom_to_greet(self):
        with self.assertRaisesRegex(tools.Refusal, "^say whom to greet$"):
            tools.ALL["TOOL"]["run"](ctx, who="")


if __name__ == "__main__":
    unittest.main()
