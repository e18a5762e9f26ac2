//! Rules about the code base itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

#[test]
fn modules_use_only_modules_below_them() {
    let ranks = ranks();
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        let own = module_of(&path);
        for used in crate_paths(&code) {
            if used == own || !ranks.contains_key(used.as_str()) {
                continue;
            }
            if ranks.get(own.as_str()) >= ranks.get(used.as_str()) {
                wrong.push(format!("{path}: `{own}` stands below or beside `crate::{used}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the order in src/lib.rs:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_place_in_the_order() {
    let ranks = ranks();
    let lib = read(&root().join("src/lib.rs"));
    let declared: Vec<&str> = lib
        .lines()
        .filter_map(|it| it.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .filter(|it| *it != "tests")
        .collect();
    assert!(declared.contains(&"chatkit"), "{declared:?}");
    for module in declared {
        assert!(ranks.contains_key(module), "`{module}` is missing in the order in src/lib.rs");
    }
}

#[test]
fn each_outside_crate_is_known_to_one_place() {
    // A folder is named without a slash at its end, so that it may become a file and back.
    let homes: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("axum", &["server"][..]),
        ("multer", &["server/attachments"]),
        ("jsonwebtoken", &["server/auth/jwt"]),
        ("moka", &["server/auth/jwt"]),
        ("ring", &["server/auth/jwt"]),
        ("sqlx", &["store"]),
        ("sqlx_core", &["store"]),
        ("object_store", &["store/blobs"]),
        ("async_openai", &["model"]),
        ("wasmtime", &["plugin/wasm"]),
        ("wasmtime_wasi", &["plugin/wasm"]),
        // plugin/mod.rs names its own module `rhai`, which reads the same.
        ("rhai", &["plugin/rhai", "plugin/mod"]),
        ("minijinja", &["prompt", "widget"]),
        ("minijinja_contrib", &["prompt", "widget"]),
        ("notify", &["app"]),
        ("rmcp", &["mcp", "server/mcp"]),
        ("opentelemetry", &["telemetry"]),
        ("opentelemetry_sdk", &["telemetry"]),
        ("opentelemetry_otlp", &["telemetry"]),
        ("metrics_exporter_prometheus", &["telemetry"]),
        ("tracing_subscriber", &["telemetry", "cli/doctor"]),
        // main.rs is where the command line begins.
        ("clap", &["cli", "main"]),
    ]);
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        let module = path.trim_start_matches("src/").trim_end_matches(".rs");
        for (outside, homes) in &homes {
            let at_home = homes.iter().any(|home| {
                module == *home || module.strip_prefix(home).is_some_and(|it| it.starts_with('/'))
            });
            if !at_home && names_crate(&code, outside) {
                wrong.push(format!("{path} names `{outside}`, which belongs to {homes:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_command_line_prints() {
    for (path, code) in sources() {
        if path.starts_with("src/cli") {
            continue;
        }
        for print in ["println!", "eprintln!", "print!", "eprint!", "dbg!"] {
            assert!(!code.contains(print), "{path} uses `{print}`: log with `tracing`");
        }
    }
}

#[test]
fn every_database_has_the_same_migrations() {
    let mut folders = BTreeMap::new();
    for folder in entries(&root().join("migrations")) {
        let names: BTreeSet<String> = entries(&folder).iter().map(|it| name_of(it)).collect();
        folders.insert(name_of(&folder), names);
    }
    let mut all = folders.iter();
    let Some((first, expected)) = all.next() else { return };
    for (folder, names) in all {
        assert_eq!(names, expected, "migrations/{folder} and migrations/{first} differ");
    }
}

#[test]
fn the_checks_of_this_file_see_what_they_look_for() {
    let code = code_of(
        "use crate::{a::{X, self}, b, c::*}; // crate::comment\n/* crate::block */\nlet x = crate::d::y(\"crate::text\", 'c', &'a str);\n#[cfg(test)]\nmod tests { use crate::test_only; }",
    );
    assert_eq!(crate_paths(&code), ["a", "b", "c", "d"]);
    assert!(names_crate("use axum::Router;", "axum"));
    assert!(names_crate("pub use axum;", "axum"));
    assert!(names_crate("let x: axum::Body", "axum"));
    assert!(!names_crate("use crate::plugin::rhai::Engine;", "rhai"));
    assert!(!names_crate("my_axum::x", "axum"));
    assert_eq!(module_of("src/chatkit/item.rs"), "chatkit");
    assert_eq!(module_of("src/config.rs"), "config");
}

/// How far down each module stands in the order that `src/lib.rs` states.
fn ranks() -> BTreeMap<String, usize> {
    let lib = read(&root().join("src/lib.rs"));
    let order: String = lib
        .lines()
        .map_while(|it| it.strip_prefix("//!"))
        .skip_while(|it| !it.contains('→'))
        .take_while(|it| !it.trim().is_empty())
        .collect();
    let ranks: BTreeMap<String, usize> = order
        .trim()
        .trim_matches('`')
        .split('→')
        .enumerate()
        .flat_map(|(rank, names)| names.split(',').map(move |it| (it.trim().to_owned(), rank)))
        .collect();
    assert!(ranks.len() > 5, "src/lib.rs states the order of the modules as `a → b, c → d`");
    ranks
}

/// The code of the program by its path, without comments, texts and tests.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() && name_of(&path) != "tests" {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && name_of(&path) != "tests.rs"
            {
                let code = code_of(&read(&path));
                let path = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                sources.push((path, code));
            }
        }
    }
    assert!(sources.len() > 20, "{sources:?}");
    sources
}

/// `text` without its comments, texts and the unit tests at its end.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut code = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |it| it + 2)
        } else if let Some(raw) = raw_string(rest) {
            raw
        } else if next == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|it| {
                let ends = it == '"' && !escaped;
                escaped = it == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |it| it + 2)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") {
            4
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        rest = &rest[skipped..];
    }
    code
}

/// How long the raw string is that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    let body = hashes[count..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(count));
    Some(2 + count + body.find(&end).map_or(body.len(), |it| it + end.len()))
}

/// The modules that `code` names as `crate::module`, or in `crate::{…}`.
fn crate_paths(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        if code[..at].ends_with(['$', '_']) {
            continue;
        }
        let rest = &code[at + found.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            modules.push(first_name(rest));
            continue;
        };
        let mut depth = 0_usize;
        let mut start = 0;
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' if depth == 0 => {
                    modules.push(first_name(&group[start..i]));
                    start = i + 1;
                }
                '}' => {
                    modules.push(first_name(&group[start..i]));
                    break;
                }
                _ => (),
            }
        }
    }
    modules.retain(|it| !it.is_empty());
    modules
}

fn first_name(path: &str) -> String {
    path.trim_start().chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
}

/// Whether `code` has a path that begins with this crate, or imports it.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let begins = !before.ends_with(|it: char| it.is_alphanumeric() || it == '_' || it == ':');
        let imported = before.ends_with("use ") && after.starts_with(';');
        begins && (after.starts_with("::") || imported)
    })
}

/// The top module that the file at `path` belongs to.
fn module_of(path: &str) -> String {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').next().unwrap_or(path).to_owned()
}

/// What a folder holds, in order; nothing if there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|it| it.unwrap().path()).collect();
    paths.sort();
    paths
}

#[expect(clippy::disallowed_methods, reason = "nothing else runs here that could be blocked")]
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
