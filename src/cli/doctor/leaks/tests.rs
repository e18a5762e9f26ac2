use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::app::{App, Options};

fn prepare() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn leaks(found: &[Found]) -> Vec<String> {
    let found = found.iter().filter(|it| !it.credentials.is_empty());
    found.map(|it| format!("{}: {}", it.place, it.credentials.join(", "))).collect()
}

/// What is found in a project of these files.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    prepare();
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let copy = runtime.block_on(async {
        let app = App::start(Options {
            project: folder.path().to_owned(),
            environment: Environment::default(),
            models: None,
            store: Some("sqlite::memory:".to_owned()),
            watch: false,
        });
        let app = app.await.unwrap();
        let generation = app.generation();
        assert!(generation.errors.is_empty(), "{:?}", generation.errors);
        let copy = Copy::of(&generation, folder.path()).unwrap();
        app.close().await;
        copy
    });
    leaks(&report(&copy, &observe(&copy).unwrap()))
}

#[test]
fn no_source_leaks_in_any_way_of_passing() {
    prepare();
    let copy = Copy::of_nothing();
    let observed = observe(&copy).unwrap();
    assert_eq!(leaks(&report(&copy, &observed)), Vec::<String>::new());
    // Those that are shown by will are seen where they are shown: the eye is open.
    let (_, prompts) = observed.places.iter().find(|it| it.0 == observe::SHOWN_BY_WILL).unwrap();
    let shown = copy.planted.iter().filter(|it| copy.is_shown(&it.secret));
    let shown: Vec<_> = shown.filter(|it| prompts.contains(it.secret.expose())).collect();
    assert_eq!(shown.len(), 3);
    // Each server got what was meant for it, and the login got to nobody but where it was meant to go.
    for id in ["doctor-inject", "doctor-sealed", "doctor-plaintext", "127.0.0.1"] {
        assert!(observed.sent.iter().any(|(it, _)| it == id), "{id}");
    }
}

#[test]
fn the_servers_of_a_project_are_stood_in_for() {
    let config = r#"
        [mcp]
        stdio = true
        [auth]
        mode = "token"
        [auth.tokens.ada]
        hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
        [credentials.token]
        source = "request"
        header = "X-Access-Token"
        destinations = ["notes", "other"]
        [credentials.traded]
        source = "exchange"
        token_endpoint = "https://login.example.com/token"
        audience = "notes"
        destinations = ["notes"]
    "#;
    let notes = "transport = \"http\"\nurl = \"https://notes.example.com/mcp\"\n\
        headers = { X-Traded = \"{{ credential.traded }}\" }\n\
        [[arguments]]\nname = \"access_token\"\ncredential = \"token\"\nmode = \"sealed\"\n";
    let other =
        "transport = \"stdio\"\ncommand = \"sh\"\nenv = { TOKEN = \"{{ credential.token }}\" }\n";
    let calendar = "transport = \"http\"\nurl = \"https://calendar.example.com/mcp\"\n[oauth]\n";
    let files = [
        ("kitfox.toml", config),
        ("plugins/notes.mcp.toml", notes),
        ("plugins/other.mcp.toml", other),
        ("plugins/calendar.mcp.toml", calendar),
    ];
    assert_eq!(found(&files), Vec::<String>::new());
}

#[test]
fn a_canary_is_found_wherever_it_is_and_however_it_is_written() {
    prepare();
    let copy = Copy::of_nothing();
    let planted = copy.planted.iter().find(|it| it.name == "doctor_exchange_sealed").unwrap();
    let secret = planted.secret.expose();
    let (mut hex, mut percent) = (String::new(), String::new());
    for byte in secret.bytes() {
        write!(hex, "{byte:02x}").unwrap();
        write!(percent, "%{byte:02X}").unwrap();
    }
    let forms = [
        format!("x{secret}y"),
        hex,
        percent,
        STANDARD.encode(secret),
        STANDARD.encode(format!("a{secret}")),
        STANDARD.encode(format!("ab{secret}")),
    ];
    let clean = || {
        let sent = copy.planted.iter().filter(|it| it.is_sent);
        let ids = ["doctor-inject", "doctor-sealed", "doctor-plaintext", "127.0.0.1"];
        let to = |secret| ids.into_iter().find(|id| copy.may_go(secret, id)).unwrap().to_owned();
        let sent = sent.map(|it| (to(&it.secret), it.secret.expose().to_owned())).collect();
        let places = ["events", "the log", observe::SHOWN_BY_WILL];
        Observed { places: places.map(|it| (it, "nothing".to_owned())).into(), sent }
    };
    assert_eq!(leaks(&report(&copy, &clean())), Vec::<String>::new());
    for form in &forms {
        for index in 0..3 {
            let mut observed = clean();
            observed.places[index].1.push_str(form);
            let place = observed.places[index].0;
            let expected = format!("{place}: doctor_exchange_sealed");
            assert_eq!(leaks(&report(&copy, &observed)), [expected], "{form}");
        }
    }
    // Another server than its own.
    let mut observed = clean();
    observed.sent.push(("doctor-inject".to_owned(), secret.to_owned()));
    let expected = "what servers were sent: doctor_exchange_sealed (sent to doctor-inject)";
    assert_eq!(leaks(&report(&copy, &observed)), [expected]);
    // One that was never sent proves nothing.
    let mut observed = clean();
    observed.sent.retain(|(_, text)| text != secret);
    let expected = "what was to be sent, and was not: doctor_exchange_sealed";
    assert_eq!(leaks(&report(&copy, &observed)), [expected]);
    // What is shown by will is shown there alone.
    let shown = copy.secret("doctor_request_plaintext").unwrap().expose();
    let mut observed = clean();
    observed.places[2].1.push_str(shown);
    assert_eq!(leaks(&report(&copy, &observed)), Vec::<String>::new());
    observed.places[1].1.push_str(shown);
    assert_eq!(leaks(&report(&copy, &observed)), ["the log: doctor_request_plaintext"]);
}
