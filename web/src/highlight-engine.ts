/** Colours for code, in the languages that chats are written about: a script of its own, loaded with the first code. */
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import ini from "highlight.js/lib/languages/ini";

const LANGUAGES = { bash, diff, go, java, json, python, rust, sql, typescript, xml, yaml, ini };
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);
hljs.registerAliases(["js", "jsx", "mjs", "cjs", "javascript"], { languageName: "typescript" });
hljs.registerAliases(["rhai"], { languageName: "rust" });
hljs.registerAliases(["console", "shellsession", "powershell"], { languageName: "bash" });
hljs.registerAliases(["csharp", "cs", "kotlin", "scala"], { languageName: "java" });

/** The code as HTML with classes, or nothing for a language that is not known. */
export function highlighted(code: string, language: string): string | undefined {
  if (!hljs.getLanguage(language)) return undefined;
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}
