//! Generations: what a change of files puts in force, and what it does not disturb.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::json;

use crate::{
    app::{App, Generation, Options},
    config::Environment,
    model::{ScriptedResponse, ScriptedStep},
    tests::harness::{Server, get_request, input, json_body, text, write},
};

fn tool(name: &str, answer: &str) -> String {
    format!(
        "tool(#{{ name: \"{name}\", description: \"Test.\", run: |args, ctx| \"{answer}\" }});\n"
    )
}

async fn answer_of(server: &Server, name: &str) -> String {
    server.model.push(ScriptedResponse::call(name, json!({})));
    server.model.push(ScriptedResponse::text("done"));
    server.create("ada", "go").await;
    server.last_input().lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_script_and_an_edited_prompt_are_in_force_in_the_next_turn() {
    let server = Server::start(&[]).await;
    let before = server.app.generation().id.clone();
    server.save("plugins/hello.rhai", &tool("hello", "one")).await;
    server.save("prompts/assistant.md", "---\ntitles: false\n---\nYou are new.\n").await;
    assert_ne!(server.app.generation().id, before);
    assert_eq!(answer_of(&server, "hello").await, r#"output "one""#);
    assert_eq!(server.model.requests()[0].instructions, "You are new.");
    server.remove("plugins/hello.rhai").await;
    assert_eq!(answer_of(&server, "hello").await, r#"output "error: there is no tool `hello`""#);
}

#[tokio::test]
async fn what_does_not_load_keeps_its_last_good_version_and_says_why() {
    let server = Server::start(&[("plugins/hello.rhai", &tool("hello", "good"))]).await;
    let before = server.app.generation().id.clone();
    server.save("plugins/hello.rhai", "tool(#{ name: \"hello\",\n  description: }").await;
    server.save("prompts/assistant.md", "---\ntitles: false\n---\nHi {{ user.name \n").await;
    assert_eq!(answer_of(&server, "hello").await, r#"output "good""#);
    assert_eq!(server.model.requests()[0].instructions, "You are a test.");
    assert_eq!(server.app.generation().id, before);
    let errors = &server.app.generation().errors;
    let places: Vec<_> = errors.iter().map(|err| (err.file.as_str(), err.line)).collect();
    assert_eq!(places, [("plugins/hello.rhai", Some(2)), ("prompts/assistant.md", Some(4))]);
    server.save("plugins/hello.rhai", &tool("hello", "mended")).await;
    server.save("prompts/assistant.md", "---\ntitles: false\n---\nMended.\n").await;
    assert_eq!(server.errors(), "");
    assert_eq!(answer_of(&server, "hello").await, r#"output "mended""#);
}

#[tokio::test]
async fn a_turn_keeps_the_generation_that_it_began_with() {
    let server = Server::start(&[("plugins/hello.rhai", &tool("hello", "old"))]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::Gate("held".to_owned()),
        ScriptedStep::call("hello", &json!({})),
    ]));
    server.model.push(ScriptedResponse::text("done"));
    let body = json!({ "type": "threads.create", "params": { "input": input("hi") } });
    let running = server.post("ada", &body).await;
    server.model.reached("held").await;
    server.save("plugins/hello.rhai", &tool("hello", "new")).await;
    server.model.open("held");
    text(running).await;
    assert!(server.last_input().ends_with(r#"output "old""#), "{}", server.last_input());
    assert_eq!(answer_of(&server, "hello").await, r#"output "new""#);
}

#[tokio::test]
async fn a_name_in_use_is_refused_and_the_one_in_force_stays() {
    let server = Server::start(&[("plugins/a.rhai", &tool("hello", "a"))]).await;
    server.save("plugins/b.rhai", &tool("hello", "b")).await;
    assert_snapshot!(server.errors(), @"plugins/b.rhai: the tool `hello` is offered by plugins/a.rhai as well (rename it in one of the two files)");
    assert_eq!(answer_of(&server, "hello").await, r#"output "a""#);
    server.remove("plugins/a.rhai").await;
    assert_eq!(server.errors(), "");
    assert_eq!(answer_of(&server, "hello").await, r#"output "b""#);
}

#[tokio::test]
async fn at_start_two_plugins_of_one_name_are_refused_both() {
    let (a, b) = (tool("hello", "a"), tool("hello", "b"));
    let server = Server::start(&[("plugins/a.rhai", &a), ("plugins/b.rhai", &b)]).await;
    assert_snapshot!(server.errors(), @r"
    plugins/a.rhai: the tool `hello` is offered by plugins/b.rhai as well (rename it in one of the two files)
    plugins/b.rhai: the tool `hello` is offered by plugins/a.rhai as well (rename it in one of the two files)
    ");
    assert_eq!(answer_of(&server, "hello").await, r#"output "error: there is no tool `hello`""#);
}

#[tokio::test]
async fn the_same_files_make_the_same_generation() {
    let files = [("plugins/hello.rhai", "on(\"message\", |event, ctx| ());")];
    let (one, two) = (Server::start(&files).await, Server::start(&files).await);
    assert_eq!(one.app.generation().id, two.app.generation().id);
}

#[tokio::test]
async fn a_broken_configuration_changes_nothing_and_is_named() {
    let server = Server::start(&[("plugins/hello.rhai", &tool("hello", "good"))]).await;
    server.save("kitfox.toml", "[server]\nlisten_on = 1\n").await;
    let errors = server.errors();
    assert!(errors.starts_with("kitfox.toml:2:"), "{errors}");
    assert!(errors.contains("`listen`"), "{errors}");
    assert_eq!(answer_of(&server, "hello").await, r#"output "good""#);
}

#[tokio::test]
async fn a_plugin_that_waits_for_approval_runs_nothing_until_it_is_given() {
    let script = format!(
        "plugin(#{{ permissions: #{{ http: [\"api.example.com\"] }} }});\n{}",
        tool("hello", "hi")
    );
    let config = "[plugins]\ntrust = \"ask\"\n";
    let server =
        Server::start(&[("plugins/hello.rhai", script.as_str()), ("kitfox.toml", config)]).await;
    assert_snapshot!(server.errors(), @"plugins/hello.rhai: plugin `hello` waits for approval: it asks for http (api.example.com) (read it, then let it run with `kitfox plugins approve hello`)");
    assert_eq!(answer_of(&server, "hello").await, r#"output "error: there is no tool `hello`""#);
    let generation = server.app.generation();
    let mut approvals = crate::plugin::Approvals::default();
    approvals.approve("hello", &generation.plugins["hello"].manifest().requested);
    server.save("approvals.toml", &approvals.to_toml()).await;
    assert_eq!(server.errors(), "");
    assert_eq!(answer_of(&server, "hello").await, r#"output "hi""#);
}

#[tokio::test]
async fn the_operator_sees_what_is_in_force_and_what_is_not() {
    let server = Server::start(&[("plugins/hello.rhai", &tool("hello", "hi"))]).await;
    server.save("plugins/broken.rhai", "tool(").await;
    let generation = json_body(server.send(get_request("ada", "/api/generation")).await).await;
    assert_eq!(generation["id"], *server.app.generation().id);
    assert_eq!(generation["tools"][0]["name"], "hello");
    assert_eq!(generation["agents"][0]["id"], "assistant");
    assert_eq!(generation["errors"][0]["file"], "plugins/broken.rhai");
    let tools = json_body(server.send(get_request("ada", "/api/tools")).await).await;
    assert_eq!(tools[0]["origin"], "plugins/hello.rhai");
}

#[tokio::test]
async fn a_prompt_that_names_no_model_of_the_configuration_is_an_error() {
    let config = "[models.default]\nprovider = \"demo\"\nmodel = \"demo\"\n[providers.demo]\napi = \"demo\"\n";
    let prompt = "---\nmodel: slow\n---\nTest.\n";
    let server = Server::start(&[("prompts/helper.md", prompt), ("kitfox.toml", config)]).await;
    assert_snapshot!(server.errors(), @"prompts/helper.md:2:8: there is no model `slow` (use `default`, or add `[models.slow]` to kitfox.toml)");
    let more = "[models.slow]\nprovider = \"demo\"\nmodel = \"demo\"\n";
    server.save("kitfox.toml", &format!("{config}{more}")).await;
    assert_eq!(server.errors(), "");
}

#[tokio::test]
async fn a_file_that_grows_too_large_keeps_its_last_good_version() {
    let server = Server::start(&[("plugins/hello.rhai", &tool("hello", "good"))]).await;
    server.save("plugins/hello.rhai", &" ".repeat(1024 * 1024 + 1)).await;
    assert_snapshot!(server.errors(), @"plugins/hello.rhai: the file has 1048577 bytes, more than 1048576 (make it smaller)");
    assert_eq!(answer_of(&server, "hello").await, r#"output "good""#);
}

#[tokio::test]
async fn a_prompt_that_is_not_utf8_keeps_its_last_good_version() {
    let server = Server::start(&[]).await;
    let path = server.folder.path().join("prompts/assistant.md");
    std::fs::write(path, b"You are\n\xff\n").unwrap();
    server.app.reload().await;
    assert_snapshot!(server.errors(), @"prompts/assistant.md:2: the file is not UTF-8 (save it as UTF-8 text)");
    server.model.push(ScriptedResponse::text("hi"));
    server.create("ada", "hi").await;
    assert_eq!(server.model.requests()[0].instructions, "You are a test.");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_not_taken_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[plugins]\ntrust = \"ask\"\n{}", " ".repeat(1024 * 1024));
    write(folder.path(), "kitfox.toml", &config);
    let started = App::start(Options {
        project: folder.path().to_owned(),
        environment: Environment::default(),
        models: None,
        store: Some("sqlite::memory:".to_owned()),
        watch: false,
    });
    let errors = started.await.err().expect("it does not start");
    assert!(errors[0].to_string().starts_with("kitfox.toml: the file has "), "{errors:?}");
}

#[tokio::test]
async fn what_the_operator_takes_back_is_taken_from_the_last_good_version_too() {
    let script = tool("hello", "hi");
    let config = "[plugins]\ntrust = \"ask\"\n";
    let approvals = {
        let server =
            Server::start(&[("plugins/hello.rhai", &script), ("kitfox.toml", config)]).await;
        let mut approvals = crate::plugin::Approvals::default();
        let generation = server.app.generation();
        approvals.approve("hello", &generation.plugins["hello"].manifest().requested);
        approvals.to_toml()
    };
    let files = [
        ("plugins/hello.rhai", script.as_str()),
        ("kitfox.toml", config),
        ("approvals.toml", &approvals),
    ];
    let server = Server::start(&files).await;
    server.save("plugins/hello.rhai", "tool(").await;
    assert_eq!(answer_of(&server, "hello").await, r#"output "hi""#);
    server.remove("approvals.toml").await;
    assert_eq!(answer_of(&server, "hello").await, r#"output "error: there is no tool `hello`""#);
}

#[tokio::test]
async fn whoever_wants_a_name_in_use_keeps_nobody_from_changing() {
    let server = Server::start(&[("plugins/a.rhai", &tool("hello", "old"))]).await;
    write(
        server.folder.path(),
        "plugins/a.rhai",
        &[tool("hello", "new"), tool("bye", "bye")].concat(),
    );
    server.save("plugins/b.rhai", &tool("hello", "b")).await;
    assert_snapshot!(server.errors(), @"plugins/b.rhai: the tool `hello` is offered by plugins/a.rhai as well (rename it in one of the two files)");
    assert_eq!(answer_of(&server, "hello").await, r#"output "new""#);
}

#[tokio::test]
async fn saved_files_are_noticed_in_new_folders_and_by_rename_too() {
    let server = Server::start_watching(&[]).await;
    let folder = server.folder.path();
    write(folder, "plugins/pack/plugin.toml", "name = \"pack\"\n");
    write(folder, "plugins/pack/one.rhai", &tool("one", "1"));
    until(&server, "the tool of a new folder", |it| it.tools.0.contains_key("one")).await;
    write(folder, "plugins/pack/more/two.txt", "nothing");
    write(folder, "plugins/pack/two.rhai", &tool("two", "2"));
    until(&server, "a second script", |it| it.tools.0.contains_key("two")).await;

    let prompt = folder.join("prompts/assistant.md");
    std::fs::write(folder.join("prompts/.assistant.md.new"), "Renamed.\n").unwrap();
    std::fs::rename(folder.join("prompts/.assistant.md.new"), &prompt).unwrap();
    let id = server.app.generation().id.clone();
    until(&server, "a prompt that was replaced", |it| it.id != id).await;
    let id = server.app.generation().id.clone();
    std::fs::write(&prompt, "Written again.\n").unwrap();
    until(&server, "a prompt that was written", |it| it.id != id).await;

    std::fs::remove_dir_all(folder.join("plugins")).unwrap();
    until(&server, "a folder that went", |it| it.tools.0.is_empty()).await;
    write(folder, "plugins/hello.rhai", &tool("hello", "hi"));
    until(&server, "a folder made anew", |it| it.tools.0.contains_key("hello")).await;
    write(folder, "kitfox.toml", "[project]\nname = \"Named\"\n");
    until(&server, "a configuration", |it| it.config.project.name == "Named").await;
    std::fs::remove_file(folder.join("kitfox.toml")).unwrap();
    until(&server, "a configuration that went", |it| it.config.project.name != "Named").await;
}

#[cfg(unix)]
#[tokio::test]
async fn files_that_a_mount_swaps_by_a_link_are_noticed() {
    let server = Server::start_watching(&[]).await;
    let plugins = server.folder.path().join("plugins");
    let link = |target: &str| std::os::unix::fs::symlink(target, plugins.join("..new")).unwrap();
    write(&plugins, "..1/hello.rhai", &tool("one", "1"));
    write(&plugins, "..2/hello.rhai", &tool("two", "2"));
    link("..1");
    std::fs::rename(plugins.join("..new"), plugins.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/hello.rhai", plugins.join("hello.rhai")).unwrap();
    until(&server, "the first version", |it| it.tools.0.contains_key("one")).await;
    link("..2");
    std::fs::rename(plugins.join("..new"), plugins.join("..data")).unwrap();
    until(&server, "the second version", |it| it.tools.0.contains_key("two")).await;
}

#[tokio::test]
async fn many_saves_while_turns_run_lose_no_turn() {
    let server = Server::start_watching(&[("plugins/hello.rhai", &tool("hello", "0"))]).await;
    let folder = server.folder.path().to_owned();
    let saves = tokio::task::spawn_blocking(move || {
        for number in 1..=300 {
            write(&folder, "plugins/hello.rhai", &tool("hello", &number.to_string()));
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let mut turns = 0;
    while !saves.is_finished() {
        assert!(answer_of(&server, "hello").await.starts_with("output \""));
        turns += 1;
    }
    saves.await.unwrap();
    assert!(turns > 0, "no turn ran beside the saves");
    let deadline = Instant::now() + Duration::from_secs(5);
    while answer_of(&server, "hello").await != r#"output "300""# {
        assert!(Instant::now() < deadline, "the last save is not in force");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the generation in force is as wanted.
async fn until(server: &Server, what: &str, wanted: impl Fn(&Generation) -> bool) {
    let mut changes = server.app.changes();
    let found = tokio::time::timeout(Duration::from_secs(5), async {
        while !wanted(&server.app.generation()) {
            changes.changed().await.unwrap();
        }
    });
    assert!(found.await.is_ok(), "{what} was not noticed");
}
