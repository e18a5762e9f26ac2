import unittest

import tools


class Texts(unittest.TestCase):
    def test_what_was_added_and_removed_is_shown(self):
        compared = tools.compare_texts(None, before="a\nb\nc", after="a\nB\nc\nd")
        self.assertEqual((compared["lines_added"], compared["lines_removed"]), (2, 1))
        self.assertEqual(compared["diff"].splitlines()[3:], [" a", "-b", "+B", " c", "+d"])

    def test_equal_texts_have_no_diff(self):
        compared = tools.compare_texts(None, before="a", after="a")
        self.assertEqual((compared["alike_percent"], compared["diff"]), (100, ""))


class Numbers(unittest.TestCase):
    def test_numbers_are_described(self):
        described = tools.describe_numbers(None, numbers=[1, 2, 3, 4, 100])
        self.assertEqual(described["mean"], 22)
        self.assertEqual(described["quartiles"], [2, 3, 4])
        self.assertEqual(described["outliers"], [100])

    def test_one_number_is_not_enough(self):
        with self.assertRaisesRegex(tools.Refusal, "two numbers or more"):
            tools.describe_numbers(None, numbers=[1])


if __name__ == "__main__":
    unittest.main()
