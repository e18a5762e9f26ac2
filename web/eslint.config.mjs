import js from "@eslint/js";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", ".build", "plain", "node_modules", "shots"] },
  { files: ["**/*.ts"], extends: [js.configs.recommended, tseslint.configs.strict, tseslint.configs.stylistic], rules: { "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }] } },
  {
    files: ["**/*.mjs", "**/*.js"],
    extends: [js.configs.recommended],
    // Tests speak for node and for the page at once; which names there are, the run shows.
    rules: { "no-undef": "off" },
  },
);
