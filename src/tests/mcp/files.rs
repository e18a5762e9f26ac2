//! plugins/*.mcp.toml: what is wrong with one, and what a change of one does.

use insta::assert_snapshot;
use serde_json::json;

use crate::tests::{
    harness::{Server, converse, get_request, json_body},
    mcp::{fake::Fake, file, status, tools, with},
};

#[track_caller]
fn check(errors: &str, expected: &str) {
    assert_eq!(errors.replace("plugins/notes.mcp.toml", "FILE"), expected);
}

#[tokio::test]
async fn a_change_of_the_configuration_reconnects_only_where_it_is_about_servers() {
    let fake = Fake::echo().await;
    let server = with(&fake.url, "").await;
    converse(&server, "user hi\n text ok").await;
    assert_eq!(fake.count("initialize"), 1);
    server.save("kitfox.toml", "[limits]\nrounds = 7\n").await;
    assert_eq!(server.app.generation().config.limits.rounds, 7);
    converse(&server, "user hi\n text ok").await;
    assert_eq!(fake.count("initialize"), 1);
    // What does not load changes nothing either.
    server.save("kitfox.toml", "[limits]\nrounds = 0.5\n[mcp]\nallow_plaintext = true\n").await;
    converse(&server, "user hi\n text ok").await;
    assert_eq!(fake.count("initialize"), 1);
    server.save("kitfox.toml", "[mcp]\nallow_plaintext = true\n").await;
    converse(&server, "user hi\n text ok").await;
    assert_eq!(fake.count("initialize"), 2);
}

#[tokio::test]
async fn wrong_files_are_told_with_place_and_remedy_and_stop_nobody_else() {
    for (text, expected) in [
        (
            "transprt = \"http\"",
            "FILE:1:1: unknown key `transprt` (did you mean `transport`?)\nFILE:1:1: the file names no `transport` (add \
             `transport = \"http\"` with a `url`, or `transport = \"stdio\"` with a `command`)",
        ),
        (
            "transport = \"http\"\nurl = \"https://{{ user.id }}.test\"",
            "FILE:2:7: `url` takes no templates and no variables (write the URL itself, and pass what differs from \
             user to user as `headers`)",
        ),
        (
            "transport = \"http\"\nurl = \"ftp://a.test\"",
            "FILE:2:7: `url` must begin with `https://` or `http://` (mend it)",
        ),
        (
            "transport = \"http\"\nurl = \"https://a.test\"\ncommand = \"x\"",
            "FILE:3:11: `command` is not for the transport `http` (take it out)",
        ),
        (
            "transport = \"stdio\"\ncommand = \"no-such-program\"",
            "FILE:2:11: kitfox.toml does not allow that `no-such-program` is started (the operator allows it by \
             `stdio = [\"no-such-program\"]` under [mcp] in kitfox.toml, or any by `stdio = true`)\nFILE:2:11: there \
             is no program `no-such-program` (install it, or write its whole path)",
        ),
        (
            "transport = \"http\"\nurl = \"https://a.test\"\napproval = \"sometimes\"",
            "FILE:3:12: `approval` must be one of `never`, `destructive`, `always`, not `sometimes`",
        ),
        (
            "transport = \"http\"\nurl = \"https://a.test\"\nheaders = { A = \"{{ credential.none }}\" }",
            "",
        ),
    ] {
        let server = Server::start(&[
            ("plugins/notes.mcp.toml", text),
            ("plugins/good.mcp.toml", "transport = \"http\"\nurl = \"https://example.com/mcp\""),
        ])
        .await;
        if expected.is_empty() {
            assert!(server.errors().contains("none"), "{}", server.errors());
        } else {
            check(&server.errors(), expected);
        }
        assert_eq!(server.app.generation().mcp.0.keys().collect::<Vec<_>>(), ["good"]);
    }
}

#[tokio::test]
async fn a_name_that_is_no_id_is_refused() {
    let server = Server::start(&[("plugins/My_Notes.mcp.toml", "transport = \"http\"")]).await;
    assert_snapshot!(server.errors(), @"plugins/My_Notes.mcp.toml: `My_Notes` is no id of a server (rename the file: it begins with a lower-case letter and goes on with lower-case letters, digits and `-`, at most 24 in all, before `.mcp.toml`)");
}

#[tokio::test]
async fn a_private_address_needs_the_operators_word_unless_we_are_on_loopback_ourselves() {
    let fake = Fake::echo().await;
    let port = fake.url.rsplit(':').next().unwrap().trim_end_matches("/mcp").to_owned();
    for (allow, is_good) in [("", false), (&*format!("allow = [\"127.0.0.1:{port}\"]"), true)] {
        let config = format!("[server]\nlisten = \"0.0.0.0:80\"\n[mcp]\n{allow}\n");
        let text = file(&fake.url, "");
        let files = [("kitfox.toml", config.as_str()), ("plugins/notes.mcp.toml", &text)];
        let server = Server::start_with(&files, &[("KITFOX_AUTH__MODE", "session")]).await;
        assert_eq!(server.errors().is_empty(), is_good, "{}", server.errors());
    }
    let link_local = with("http://169.254.169.254/mcp", "").await;
    assert!(link_local.errors().contains("its address is private"), "{}", link_local.errors());
}

#[tokio::test]
async fn a_changed_file_reconnects_that_server_and_an_unchanged_one_is_kept() {
    let (first, second, other) = (Fake::echo().await, Fake::echo().await, Fake::echo().await);
    let server = Server::start(&[
        ("plugins/notes.mcp.toml", &file(&first.url, "")),
        ("plugins/other.mcp.toml", &file(&other.url, "")),
    ])
    .await;
    converse(&server, "user hi\n text ok").await;
    server.save("plugins/notes.mcp.toml", &file(&second.url, "")).await;
    converse(&server, "user hi\n call notes__echo {}\n text ok").await;
    assert_eq!(tools(&server), ["notes__echo", "other__echo"]);
    assert_eq!(second.count("tools/call"), 1);
    assert_eq!((first.count("initialize"), other.count("initialize")), (1, 1));
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_version_and_a_deleted_one_takes_its_tools_away() {
    let fake = Fake::echo().await;
    let server = with(&fake.url, "").await;
    server.save("plugins/notes.mcp.toml", "transport = 1").await;
    assert!(!server.errors().is_empty());
    converse(&server, "user hi\n call notes__echo {}\n text ok").await;
    assert_eq!(tools(&server), ["notes__echo"]);
    server.remove("plugins/notes.mcp.toml").await;
    converse(&server, "user hi\n text ok").await;
    assert_eq!(tools(&server), [""; 0]);
    assert_eq!(server.errors(), "");
}

#[tokio::test]
async fn the_operator_sees_the_servers_and_their_tools() {
    let fake = Fake::echo().await;
    let server = with(&fake.url, "").await;
    converse(&server, "user hi\n text ok").await;
    let shown = json_body(server.send(get_request("ada", "/api/mcp")).await).await;
    assert_eq!(shown[0]["id"], "notes");
    assert_eq!(shown[0]["state"], "ready");
    let generation = json_body(server.send(get_request("ada", "/api/generation")).await).await;
    assert_eq!(generation["mcp"], shown);
    assert_eq!(generation["tools"][0]["name"], "notes__echo");
    assert_eq!(generation["tools"][0]["server"], "notes");
    assert_eq!(status(&server)["tools"], json!(["notes__echo"]));
}
