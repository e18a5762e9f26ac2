import assert from "node:assert/strict";
import { test } from "node:test";

import { calculate } from "./calculate.ts";

test("units are converted and go together", () => {
  for (const [expression, result] of [
    ["3 ft + 20 cm in inch", "43.87401575 inch"],
    ["60 mi/h * 90 min in km", "144.84096 km"],
    ["5 GB / (100 Mbit/s) in min", "6.666666667 min"],
    ["5 km / 2 h in km/h", "2.5 km/h"],
    ["2 L / (4 cm^2) in m", "5 m"],
    ["70 kg * (9.81 m/s^2) * 3 m", "2060.1 m^2 kg/s^2"],
    ["15% * 80", "12"],
    ["-(2 + 3)^2 / 4", "-6.25"],
    ["1 / 4 s", "0.25 1/s"],
    ["2500 kWh/d in kW", "104.1666667 kW"],
  ]) {
    assert.equal(calculate(expression), result, expression);
  }
});

test("what cannot be calculated says why", () => {
  for (const [expression, why] of [
    ["3 ft + 2 h", /a quantity in m cannot be added to one in s/],
    ["3 ft in kg", /a quantity in m cannot be converted to one in kg/],
    ["3 parsnips", /there is no unit `parsnips`/],
    ["(3 m", /a `\)` is missing/],
    ["3 m +", /missing at the end/],
    ["3 m ] 4", /`\] 4` is not understood/],
    ["3 m ^ x", /whole number/],
  ] as const) {
    assert.throws(() => calculate(expression), why, expression);
  }
});
