use std::fmt::Write as _;

use insta::assert_snapshot;
use serde_json::json;

use super::{call, files, host, host_with, load_or_panic, show_errors};
use crate::plugin::load;

const TOML: (&str, &str) = ("plugin.toml", "name = \"cat-lounge\"\nversion = \"1.2.0\"\n");

#[tokio::test]
async fn a_packs_scripts_share_functions_data_and_texts() {
    let pack = files(
        "plugins/cats",
        &[
            TOML,
            (
                "a.rhai",
                r#"import "lib/words" as words;
                   tool(#{ name: "t", description: "d", run: |args, ctx| [
                       words::greet("Tom"), ctx.data("cats.json").names, ctx.data("note.txt"),
                       ctx.t("hello", #{ name: "Ada" }), ctx.t("only.english"), ctx.t("missing"),
                   ] });"#,
            ),
            ("b.rhai", r#"import "a" as a; on("message", |event, ctx| ());"#),
            (
                "lib/words.rhai",
                "const MARK = \"!\";\nfn greet(name) { `hi ${name}` + mark() }\nfn mark() { MARK }",
            ),
            ("tests/x.rhai", "syntax error"),
            ("data/cats.json", r#"{"names":["Tom"]}"#),
            ("data/note.txt", "meow"),
            ("locales/de.toml", "hello = \"Hallo {name}\""),
            ("locales/en.json", r#"{"hello":"Hello {name}","only":{"english":"English"}}"#),
            ("card.widget", r#"{"template": ""}"#),
        ],
    );
    let plugin = load_or_panic(&pack, &host().await);
    assert_eq!(plugin.manifest().name, "cat-lounge");
    assert_eq!(plugin.registration().tools.len(), 1);
    assert_eq!(plugin.registration().hooks.len(), 1);
    assert_snapshot!(call(&plugin, json!({})).await, @r#"["hi Tom!",["Tom"],"meow","Hallo Ada","English","missing"]"#);
}

#[tokio::test]
async fn mistakes_in_packs_name_their_file() {
    let cases: &[&[(&str, &str)]] = &[
        &[TOML, ("a.rhai", "let x = ;"), ("b.rhai", "foo(1);")],
        &[TOML, ("a.rhai", "import \"b\" as b;"), ("b.rhai", "\nthrow \"no\"")],
        &[TOML, ("a.rhai", "import \"b\" as b;"), ("b.rhai", "import \"a\" as a;")],
        &[TOML, ("a.rhai", "import \"../other/x\" as x;")],
        &[TOML, ("a.rhai", "plugin(#{ name: \"x\" });")],
        &[
            TOML,
            ("a.rhai", "let n = 0; export const F = || { n += 1; n };"),
            ("b.rhai", "import \"a\" as a;"),
        ],
        &[TOML, ("locales/en.json", "{\n  \"a\": 1x\n}")],
        &[TOML, ("locales/en.toml", "a = 1")],
        &[("plugin.toml", "nme = \"x\"")],
        &[TOML, ("a.rhai", "route(\"GET\", \"/x\", #{ public: true }, || 1);")],
    ];
    let host = host().await;
    let mut report = String::new();
    for texts in cases {
        let errors = load(&files("plugins/cats", texts), &host).err().unwrap();
        writeln!(report, "{}", show_errors(&errors)).unwrap();
    }
    assert_snapshot!(report, @r#"
    plugins/cats/a.rhai:1:9: `;` is not expected here (look here and before for a bracket, comma or quote that is missing)
    plugins/cats/b.rhai:2:1: no
    plugins/cats/a.rhai:1:8: `b.rhai` imports itself, directly or through others
    plugins/cats/b.rhai:1:8: `a.rhai` imports itself, directly or through others
    plugins/cats/a.rhai:1:8: there is no script `../other/x` to import (name a .rhai file of the same pack, as `import "helpers" as helpers`)
    plugins/cats/a.rhai:1:1: `plugin` is for a single file, and this is a pack (state name and permissions in its plugin.toml)
    plugins/cats/b.rhai:1:8: `a.rhai` exports `F`, which holds a closure with variables of its own: export a `fn`
    plugins/cats/locales/en.json:2:9: expected `,` or `}`
    plugins/cats/locales/en.toml: `a` is neither a text nor a group of texts (put the text in quotes)
    plugins/cats/plugin.toml:1:1: unknown key `nme` (did you mean `name`?)
    plugins/cats/a.rhai:1:1: the plugin `cat-lounge` may not have public routes (add `public = true` under `[permissions]` in its plugin.toml)
    "#);
}

#[tokio::test]
async fn errors_inside_imports_name_the_file_they_are_in() {
    let pack = files(
        "plugins/cats",
        &[
            TOML,
            (
                "a.rhai",
                "import \"lib\" as lib;\ntool(#{ name: \"t\", description: \"d\", run: || lib::act() });",
            ),
            ("lib.rhai", "\nfn act() { [1][3] }"),
        ],
    );
    assert_snapshot!(call(&load_or_panic(&pack, &host().await), json!({})).await, @"thrown: plugins/cats/lib.rhai:2:16: there is no entry 3 in an array of 1");
}

#[tokio::test]
async fn nothing_runs_until_it_is_approved() {
    let host = host_with("[plugins]\ntrust = \"ask\"\n").await;
    let script = files(
        "plugins/x.rhai",
        &[("x.rhai", "tool(#{ name: \"t\", description: \"d\", run: || 1 });")],
    );
    let plugin = load_or_panic(&script, &host);
    assert!(plugin.registration().tools.is_empty());
    assert_snapshot!(call(&plugin, json!({})).await, @"thrown: the plugin `x` is not approved yet");
}
