use axum::http::StatusCode;
use serde_json::json;

use crate::{model::ScriptedResponse, tests::mcp::fake::Fake};

use super::scene::{MODES, Person, SECRET, Scene};

/// Headers of a user's own: no connection of one user carries a call of another.
#[tokio::test]
async fn an_mcp_server_hears_of_each_user_by_their_own_connection() {
    for mode in MODES {
        let fake = Fake::echo().await;
        let file = format!(
            "transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\npool = \"per_user\"\n\
             headers = {{ X-User = \"{{{{ user.id }}}}\", X-Pin = \"{{{{ credential.pin }}}}\" }}\n",
            fake.url
        );
        let config = "[mcp]\nallow = [\"127.0.0.1\"]\n";
        let files = [("plugins/notes.mcp.toml", file.as_str())];
        let scene = Scene::start_with(mode, config, &files).await;
        for (person, pin) in [(Person::Ada, SECRET), (Person::Eve, "pin-of-eve-0")] {
            let body = json!({ "value": pin }).to_string();
            let (status, _) = scene.answer(person, "PUT", "/api/credentials/pin", &body).await;
            assert_eq!(status, StatusCode::NO_CONTENT);
        }
        for person in [Person::Ada, Person::Eve, Person::Ada] {
            scene.server.model.push(ScriptedResponse::call("notes__echo", json!({ "text": "hi" })));
            scene.server.model.push(ScriptedResponse::text("done"));
            scene.create(person, "go", &[]).await;
        }
        let seen = fake.seen.lock().unwrap().clone();
        let header = |seen: &crate::tests::mcp::fake::Seen, name: &str| {
            seen.headers.get(name).map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let calls: Vec<_> = seen
            .iter()
            .filter(|it| it.body["method"] == "tools/call")
            .map(|it| (header(it, "x-user"), header(it, "x-pin")))
            .collect();
        assert_eq!(calls.len(), 3, "{mode}: {calls:?}");
        assert_eq!(calls[0], calls[2], "{mode}");
        assert_ne!(calls[0].0, calls[1].0, "{mode}");
        assert_eq!((calls[0].1.as_str(), calls[1].1.as_str()), (SECRET, "pin-of-eve-0"), "{mode}");
    }
}
