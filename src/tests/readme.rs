//! What the README, the examples and the repository's own project promise.

use std::{collections::BTreeSet, path::Path};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    config::{Config, Environment},
    model::ScriptedResponse,
    tests::harness::{Server, get_request, text},
};

const README: &str = include_str!("../../README.md");

/// The first block of README.md in this language.
fn block(language: &str) -> &str {
    let begin = format!("```{language}\n");
    let (_, rest) = README.split_once(&begin).expect("there is such a block");
    rest.split_once("```").expect("it ends").0
}

fn read(path: &Path) -> String {
    String::from_utf8(std::fs::read(path).unwrap()).unwrap()
}

/// The repository's own project, but for titles, which would ask the model as well.
async fn own_project() -> Server {
    project(Path::new(env!("CARGO_MANIFEST_DIR"))).await
}

async fn project(root: &Path) -> Server {
    let mut files = Vec::new();
    let mut folders = vec![root.join("prompts"), root.join("plugins")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                let text = read(&path).replacen("name: Kit\n", "name: Kit\ntitles: false\n", 1);
                files.push((name, text));
            }
        }
    }
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Server::start(&files).await
}

async fn call(server: &Server, tool: &str, arguments: Value) -> String {
    server.model.push(ScriptedResponse::call(tool, arguments));
    server.model.push(ScriptedResponse::text("done"));
    server.create("ada", "go").await;
    server.last_input().lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn the_first_script_of_the_readme_works_beside_the_demo() {
    let server = own_project().await;
    assert_eq!(server.errors(), "");
    server.save("plugins/hello.rhai", block("rhai")).await;
    assert_eq!(server.errors(), "");
    let output = call(&server, "hello", json!({ "who": "Ada" })).await;
    assert!(output.starts_with(r#"output "Hello, Ada! The page says it is 20"#), "{output}");
}

#[tokio::test]
async fn the_demo_tools_do_what_they_say() {
    let server = own_project().await;
    let miles = json!({ "value": 26.2, "from": "miles", "to": "km" });
    assert_eq!(
        call(&server, "convert_units", miles).await,
        r#"output "26.2 miles are 42.1648 km.""#
    );
    let mixed = json!({ "value": 1, "from": "kg", "to": "km" });
    assert!(call(&server, "convert_units", mixed).await.contains("kg is a weight and km a length"));
    call(&server, "add_note", json!({ "text": "the fox is fed" })).await;
    assert_eq!(call(&server, "list_notes", json!({})).await, r#"output "1. the fox is fed""#);
    assert!(
        call(&server, "delete_note", json!({ "number": 2 })).await.contains("there is no note 2")
    );
    let event = json!({ "title": "Feed, again; soon", "date": "2026-12-24" });
    assert_eq!(
        call(&server, "add_event", event).await,
        r#"output "Added Feed, again; soon on Thursday, 24 December 2026.""#
    );
    let agenda = text(server.send(get_request("ada", "/x/calendar/agenda.ics")).await).await;
    assert!(agenda.contains("DTSTART;VALUE=DATE:20261224\r\n"), "{agenda}");
    assert!(agenda.contains("SUMMARY:Feed\\, again\\; soon\r\n"), "{agenda}");
}

#[tokio::test]
async fn the_showcase_shows_every_kind_of_item() {
    let server = project(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/showcase")).await;
    assert_eq!(server.errors(), "");
    let tools: Vec<String> = server.app.generation().tools.0.keys().cloned().collect();
    let mut kinds = BTreeSet::new();
    for tool in tools {
        let arguments = if tool == "count" { json!({ "what": "foxes" }) } else { json!({}) };
        server.model.push(ScriptedResponse::call(&tool, arguments));
        if !["ask_page", "get_selection", "order_pizza", "refund"].contains(&tool.as_str()) {
            server.model.push(ScriptedResponse::text("done"));
        }
        let (_, events) = server.create("ada", "go").await;
        assert!(!server.last_input().contains("error:"), "{}", server.last_input());
        for event in events {
            let kind = event.pointer("/item/type").unwrap_or(&event["type"]);
            kinds.insert(kind.as_str().unwrap().to_owned());
        }
    }
    let kinds = kinds.into_iter().collect::<Vec<_>>().join(" ");
    assert_snapshot!(kinds, @"assistant_message client_effect client_tool_call generated_image notice progress_update stream_options structured_input task thread.created thread.item.updated thread.updated user_message widget workflow");
}

#[test]
fn every_configuration_of_the_readme_and_the_examples_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![
        ("README.md".to_owned(), block("toml").to_owned()),
        ("kitfox.toml".to_owned(), read(&root.join("kitfox.toml"))),
    ];
    for example in std::fs::read_dir(root.join("examples")).unwrap() {
        let path = example.unwrap().path().join("kitfox.toml");
        files.push((path.display().to_string(), read(&path)));
    }
    for (file, text) in files {
        if let Err(errors) = Config::parse(Some(&text), &Environment::default(), root) {
            panic!("{file}: {errors:?}");
        }
    }
}

#[test]
fn every_configuration_of_the_page_on_identity_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = read(&root.join("docs/identity.md"));
    let blocks: Vec<_> = page.split("```toml\n").skip(1).collect();
    assert!(blocks.len() > 5);
    for block in blocks {
        let text = block.split("```").next().unwrap();
        let variables = ["KITFOX_CLIENT_SECRET", "OPENAI_API_KEY"];
        let variables = variables.map(|it| (it.to_owned(), "secret".to_owned()));
        if let Err(errors) = Config::parse(Some(text), &Environment(variables.into()), root) {
            panic!("{text}: {errors:?}");
        }
    }
}

/// But for Rust, where it names its modules.
#[test]
fn what_makes_components_of_the_examples_is_what_new_writes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (language, file) in [
        ("ts", "plugin.ts"),
        ("ts", "kitfox.d.ts"),
        ("ts", "tsconfig.json"),
        ("ts", "test.sh"),
        ("python", "plugin.py"),
        ("python", "test.sh"),
        ("c", "kitfox.h"),
        ("c", "json.c"),
        ("c", "component.c"),
        ("c", "test.sh"),
        ("rust", "test.sh"),
    ] {
        let example = root.join(format!("examples/wasm-{language}")).join(file);
        let template = root.join("src/cli/templates/wasm").join(language).join(file);
        assert!(read(&example) == read(&template), "{file} differs from the template");
    }
}
