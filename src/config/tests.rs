use std::{collections::BTreeMap, path::Path, time::Duration};

use insta::assert_snapshot;
use secrecy::ExposeSecret;

use super::{AuthMode, Config, Environment, JwtKeys, Trust};

fn environment(variables: &[(&str, &str)]) -> Environment {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Environment(variables.iter().map(pair).collect())
}

#[track_caller]
fn parse_with(text: &str, variables: &[(&str, &str)]) -> Config {
    Config::parse(Some(text), &environment(variables), Path::new("/srv/cats")).unwrap()
}

#[track_caller]
fn parse(text: &str) -> Config {
    parse_with(text, &[])
}

fn errors_with(text: &str, variables: &[(&str, &str)]) -> String {
    match Config::parse(Some(text), &environment(variables), Path::new("/srv/cats")) {
        Ok(_) => "no error".to_owned(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

fn errors(text: &str) -> String {
    errors_with(text, &[])
}

/// `default → PROVIDER (API, BASE URL, with or without key): MODEL`
fn default_model(config: &Config) -> String {
    let Some(model) = config.models.get("default") else { return "none".to_owned() };
    let provider = &config.providers[&model.provider];
    let key = provider.api_key.as_ref().map_or("no key", |it| it.expose_secret());
    format!(
        "{} ({:?}, {}, {key}): {}",
        model.provider, provider.api, provider.base_url, model.model
    )
}

#[test]
fn without_a_file_everything_has_its_default() {
    let config = Config::parse(None, &Environment::default(), Path::new("/srv/cats")).unwrap();
    assert_eq!(config.project.name, "cats");
    assert_eq!(config.server.listen, "127.0.0.1:8000");
    assert_eq!(config.server.public_url.as_str(), "http://localhost:8000/");
    assert_eq!(config.server.chatkit_paths, ["/chatkit"]);
    assert_eq!(config.server.shutdown_grace, Duration::from_secs(20));
    assert_eq!(config.store.url, "sqlite://kitfox.db");
    assert_eq!(config.auth.modes, [AuthMode::Session]);
    assert_eq!(config.auth.header, "X-User-ID");
    assert_eq!(config.agents.default, "assistant");
    assert_eq!(config.plugins.trust, Trust::Declared);
    assert_eq!(config.limits.body_bytes, 8 * 1024 * 1024);
    assert_eq!(config.limits.rounds, 20);
    assert_eq!(config.limits.plugin.timeout, Duration::from_secs(10));
    assert_eq!(config.limits.plugin.operations, 50_000_000);
    assert_eq!(config.limits.plugin.memory, 128 * 1024 * 1024);
    assert!(config.server.cors_origins.is_empty() && config.server.visible_headers.is_empty());
}

#[test]
fn the_contracts_example_is_valid() {
    let text = r#"
        [server]
        listen = "127.0.0.1:8000"
        cors_origins = []
        public_url = "http://localhost:8000"
        chatkit_paths = ["/chatkit"]
        visible_headers = ["Article-ID"]
        [store]
        url = "sqlite://kitfox.db"
        attachments = "file://attachments"
        [auth]
        mode = "session"
        header = "X-User-ID"
        [providers.openai]
        api = "responses"
        base_url = "https://api.openai.com/v1"
        api_key = "${OPENAI_API_KEY}"
        [transcribe]
        provider = "openai"
        model = "gpt-4o-mini-transcribe"
        [limits.attachments]
        types = ["image/*", "text/*", "application/pdf"]
        max_bytes = 20971520
        [models.default]
        provider = "openai"
        model = "gpt-5-mini"
        label = "Fast"
        [mcp]
        stdio = true
        [credentials.notes_token]
        source = "login"
        field = "access_token"
        [page]
        element = "auto"
    "#;
    let config = parse_with(text, &[("OPENAI_API_KEY", "sk-1")]);
    assert_eq!(config.server.visible_headers, ["article-id"]);
    assert_eq!(config.models["default"].label, "Fast");
    assert_eq!(
        default_model(&config),
        "openai (Responses, https://api.openai.com/v1, sk-1): gpt-5-mini"
    );
}

#[test]
fn the_default_model_follows_from_what_is_configured() {
    #[track_caller]
    fn check(text: &str, variables: &[(&str, &str)], expected: &str) {
        assert_eq!(default_model(&parse_with(text, variables)), expected, "{text}");
    }
    let key = ("OPENAI_API_KEY", "sk-1");
    let openai = "openai (Responses, https://api.openai.com/v1, sk-1): gpt-5-mini";
    check("", &[key], openai);
    check("", &[("OPENAI_API_KEY", "")], "demo (Demo, , no key): demo");
    check("", &[], "demo (Demo, , no key): demo");
    check("server.listen = '[::1]:80'", &[], "demo (Demo, , no key): demo");
    check("server.listen = 'localhost:80'", &[], "demo (Demo, , no key): demo");
    check("server.listen = '0.0.0.0:80'", &[], "none");
    check("server.listen = '0.0.0.0:80'", &[key], openai);
    check(
        "server.listen = '0.0.0.0:80'\n[providers.fake]\napi = 'demo'",
        &[key],
        "fake (Demo, https://api.openai.com/v1, no key): demo",
    );
    check(
        "server.listen = '0.0.0.0:80'\n[models.default]\nprovider = 'demo'",
        &[],
        "demo (Demo, , no key): demo",
    );
    check("[providers.openai]", &[key], openai);
    check("[models.default]\nmodel = 'big'", &[key], &openai.replace("gpt-5-mini", "big"));
    check(
        "[providers.local]\nbase_url = 'http://127.0.0.1:11434/v1/'\n[models.default]\nmodel = 'm'",
        &[key],
        "local (ChatCompletions, http://127.0.0.1:11434/v1, no key): m",
    );
    // The first is the one that stands first in the file.
    check("[providers.two]\napi = 'demo'\n[providers.one]\napi = 'scripted'\nfile = 'a'", &[], {
        "two (Demo, https://api.openai.com/v1, no key): demo"
    });
}

#[test]
fn a_scripted_provider_replays_a_file_of_the_project() {
    let config = parse("[providers.s]\napi = 'scripted'\nfile = 'tests/a.toml'");
    assert_eq!(config.providers["s"].file.as_deref(), Some(Path::new("/srv/cats/tests/a.toml")));
    assert_snapshot!(errors("[providers.s]\napi = 'scripted'"), @r#"kitfox.toml:1:1: `providers.s` has the api `scripted`, but no `file` to replay (add `file = "script.toml"`)"#);
}

#[test]
fn the_environment_sets_any_key() {
    let config = parse_with(
        "[server]\nlisten = '127.0.0.1:1'\n[plugins.cat-lounge]\npermissions = { http = ['a.org'] }",
        &[
            ("KITFOX_SERVER__LISTEN", "127.0.0.1:2"),
            ("KITFOX_SERVER__CORS_ORIGINS", "https://a.org, https://b.org"),
            ("KITFOX_SERVER__VISIBLE_HEADERS", r#"["a", "b"]"#),
            ("KITFOX_MODELS__DEFAULT__MODEL", "big"),
            ("KITFOX_MODELS__DEFAULT__PROVIDER", "local"),
            ("KITFOX_PROVIDERS__LOCAL__BASE_URL", "http://localhost:1"),
            ("KITFOX_PROVIDERS__LOCAL__RETRIES", "5"),
            ("KITFOX_PROVIDERS__LOCAL__HEADERS", r#"{ X-Title = "cats" }"#),
            ("KITFOX_LIMITS__PLUGIN__TIMEOUT", "250ms"),
            ("KITFOX_LIMITS__ROUNDS", "3"),
            ("KITFOX_AUTH__MODE", "header"),
            ("KITFOX_PLUGINS__CAT_LOUNGE__PERMISSIONS", "{ model = true, env = ['CAT_KEY'] }"),
            ("KITFOX_ROUTES", r#"{ "/cats" = "cat-lounge" }"#),
            ("KITFOX_PROMPTS__ENV", "REGION,NOWHERE"),
            ("KITFOX_PROJECT__NAME", "007"),
            ("KITFOX_PORT_8000_TCP_ADDR", "10.0.0.1"),
            ("KITFOX_LOG", "debug"),
            ("REGION", "eu"),
            ("CAT_KEY", "meow"),
        ],
    );
    assert_eq!(config.server.listen, "127.0.0.1:2");
    assert_eq!(config.server.cors_origins, ["https://a.org", "https://b.org"]);
    assert_eq!(config.server.visible_headers, ["a", "b"]);
    assert_eq!(default_model(&config), "local (ChatCompletions, http://localhost:1, no key): big");
    assert_eq!(config.providers["local"].retries, 5);
    assert_eq!(config.providers["local"].headers["X-Title"], "cats");
    assert_eq!(config.limits.plugin.timeout, Duration::from_millis(250));
    assert_eq!(config.limits.rounds, 3);
    assert_eq!(config.auth.modes, [AuthMode::Header]);
    let plugin = &config.plugins.by_name["cat-lounge"];
    assert_eq!(plugin.permissions.as_ref().unwrap().model, Some(true));
    assert_eq!(plugin.permissions.as_ref().unwrap().http, None);
    assert_eq!(plugin.env["CAT_KEY"].expose_secret(), "meow");
    assert_eq!(config.routes["/cats"], "cat-lounge");
    assert_eq!(config.prompts.env, BTreeMap::from([("REGION".to_owned(), "eu".to_owned())]));
    assert_eq!(config.project.name, "007");
}

#[test]
fn what_the_environment_gets_wrong_names_the_variable() {
    let variables = &[
        ("KITFOX_SERVER__LISEN", "127.0.0.1:2"),
        ("KITFOX_SERVR__LISTEN", "127.0.0.1:2"),
        ("KITFOX_LIMITS__ROUNDS", "many"),
        ("KITFOX_ROUTES", "/cats"),
        ("KITFOX_SERVER__VISIBLE_HEADERS", "[a"),
    ];
    assert_snapshot!(errors_with("", variables), @r"
    kitfox.toml: unknown key `servr` (in `KITFOX_SERVR__LISTEN`) (did you mean `server`?)
    kitfox.toml: unknown key `server.lisen` (in `KITFOX_SERVER__LISEN`) (did you mean `listen`?)
    kitfox.toml: `server.visible_headers` is not valid TOML: unclosed array, expected `]` (in `KITFOX_SERVER__VISIBLE_HEADERS`)
    kitfox.toml: `routes` must be a map of keys and values (in `KITFOX_ROUTES`)
    kitfox.toml: `limits.rounds` must be a whole number, at least 1 (in `KITFOX_LIMITS__ROUNDS`)
    ");
}

#[test]
fn values_may_name_the_environment() {
    let config = parse_with(
        r#"
            [server]
            listen = "${HOST:-127.0.0.1}:${PORT}"
            cors_origins = "${ORIGINS}"
            [project]
            name = "$${literal} costs 5$ ${EMPTY}${EMPTY:-x}${DEFAULT:-}"
            [limits]
            rounds = "${ROUNDS:-7}"
        "#,
        &[("PORT", "81"), ("ORIGINS", "https://a.org,https://b.org"), ("EMPTY", "")],
    );
    assert_eq!(config.server.listen, "127.0.0.1:81");
    assert_eq!(config.server.cors_origins, ["https://a.org", "https://b.org"]);
    assert_eq!(config.project.name, "${literal} costs 5$ x");
    assert_eq!(config.limits.rounds, 7);
}

#[test]
fn a_value_from_the_environment_is_not_resolved_again() {
    let config = parse_with(
        "[project]\nname = '${A}'",
        &[("A", "${B}"), ("KITFOX_STORE__ATTACHMENTS", "file://${B}")],
    );
    assert_eq!(config.project.name, "${B}");
    assert_eq!(config.store.attachments, "file://${B}");
}

#[test]
fn a_variable_that_is_not_set_is_named_with_its_key_and_place() {
    let text = "[providers.openai]\nbase_url = \"http://${HOST:-a}:${PORT}/v1\"\napi_key = \"${KEY\"\n\
                headers = { A = \"${1}\" }\n[routes]\n\"/a\" = \"${X}\"";
    assert_snapshot!(errors(text), @r"
    kitfox.toml:2:31: `providers.openai.base_url` names the environment variable `PORT`, which is not set (set it, or give a default: `${PORT:-…}`)
    kitfox.toml:3:12: `providers.openai.api_key` has a `${` that names no variable (write `${NAME}` or `${NAME:-default}`, and `$${` for the characters themselves)
    kitfox.toml:4:18: `providers.openai.headers.A` has a `${` that names no variable (write `${NAME}` or `${NAME:-default}`, and `$${` for the characters themselves)
    kitfox.toml:6:9: `routes./a` names the environment variable `X`, which is not set (set it, or give a default: `${X:-…}`)
    ");
}

#[test]
fn a_key_that_the_environment_sets_needs_no_variable_of_the_file() {
    let config = parse_with("[project]\nname = '${NOT_SET}'", &[("KITFOX_PROJECT__NAME", "a")]);
    assert_eq!(config.project.name, "a");
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    let text = "[servr]\n[server]\nlisen = 'a'\nzzz = 1\n[limits.plugin]\n  time_out = '1s'\n\
                [providers.a]\napi = 'demo'\nkey = ''\n[plugins]\ntrsut = 'ask'\n\
                [plugins.b]\npermissions = { htp = [] }";
    assert_snapshot!(errors(text), @r"
    kitfox.toml:1:2: unknown key `servr` (did you mean `server`?)
    kitfox.toml:3:1: unknown key `server.lisen` (did you mean `listen`?)
    kitfox.toml:4:1: unknown key `server.zzz` (known here: `listen`, `cors_origins`, `public_url`, `chatkit_paths`, `visible_headers`, `shutdown_grace`)
    kitfox.toml:6:3: unknown key `limits.plugin.time_out` (did you mean `timeout`?)
    kitfox.toml:9:1: unknown key `providers.a.key` (known here: `api`, `base_url`, `api_key`, `headers`, `file`, `connect_timeout`, `first_byte_timeout`, `idle_timeout`, `retries`)
    kitfox.toml:11:9: unknown key `plugins.trsut` (did you mean `trust`?; a plugin's own settings are a table, `[plugins.NAME]`)
    kitfox.toml:13:17: unknown key `plugins.b.permissions.htp` (did you mean `http`?)
    ");
}

#[test]
fn wrong_values_are_told_all_at_once() {
    let text = r#"
[project]
name = ""
[server]
listen = "8000"
public_url = "localhost"
cors_origins = ["*", "https://a.org/", "a.org", 5]
chatkit_paths = ["chat", "/", "/api/chat", "/healthz", "/a b", "/c", "/c"]
visible_headers = ["a b", "X-Session-Id"]
shutdown_grace = 20
[store]
url = "mongodb://user:secret@host/db"
attachments = 1979-05-27
[agents]
default = "assistant.md"
[prompts]
env = "HOME"
[plugins]
trust = "never"
[routes]
"cats" = "a"
"/x/y" = "a"
"/dogs" = true
[limits]
rounds = 0
body_bytes = -1
[limits.plugin]
timeout = "0s"
kv_bytes = "1 MiB"
[providers]
a = "demo"
b = { api = "respones" }
c = { base_url = "https://me:secret@host/v1" }
"#;
    assert_snapshot!(errors(text), @r#"
    kitfox.toml:3:8: `project.name` must not be empty
    kitfox.toml:5:10: `server.listen` must be `host:port`, such as `127.0.0.1:8000`, not `8000`
    kitfox.toml:6:14: `server.public_url` must be a URL that begins with `http://` or `https://`
    kitfox.toml:7:17: `server.cors_origins[0]` is `*`, which would let every website speak for its visitors (list the exact origins, such as `https://www.example.org`)
    kitfox.toml:7:22: `server.cors_origins[1]` is not an exact origin: `https://a.org/` (write `https://a.org`)
    kitfox.toml:7:40: `server.cors_origins[2]` must be an exact origin, such as `https://www.example.org`, not `a.org`
    kitfox.toml:7:49: `server.cors_origins[3]` must be text, not `5`
    kitfox.toml:8:18: `server.chatkit_paths[0]` must begin with `/`, not `chat`
    kitfox.toml:8:26: `server.chatkit_paths[1]` is `/`, but `/` is a path of the server itself (choose another path)
    kitfox.toml:8:31: `server.chatkit_paths[2]` is `/api/chat`, but `/api` is a path of the server itself (choose another path)
    kitfox.toml:8:44: `server.chatkit_paths[3]` is `/healthz`, but `/healthz` is a path of the server itself (choose another path)
    kitfox.toml:8:56: `server.chatkit_paths[4]` must be a plain path, such as `/chatkit`, without a slash at the end, not `/a b`
    kitfox.toml:8:70: `server.chatkit_paths[6]` lists `/c` twice
    kitfox.toml:9:20: `server.visible_headers[0]` must be the name of a header, such as `X-User-ID`, not `a b`
    kitfox.toml:9:27: `server.visible_headers[1]` is `x-session-id`, which is as good as a password (use `request.session_id`, which stands for the session and opens nothing)
    kitfox.toml:10:18: `server.shutdown_grace` must be a duration like `500ms`, `10s`, `2m` or `8h`, not `20`
    kitfox.toml:12:7: `store.url` must be the URL of a database (use `sqlite://kitfox.db`, `postgres://user@host/database` or `mysql://user@host/database`)
    kitfox.toml:13:15: `store.attachments` must be text, not a date
    kitfox.toml:15:11: `agents.default` must be the name of a file in prompts/ without `.md`, such as `assistant`, not `assistant.md`
    kitfox.toml:17:7: `prompts.env` must be a list, not `HOME`
    kitfox.toml:19:9: `plugins.trust` must be one of `declared`, `ask`, not `never`
    kitfox.toml:21:10: `routes.cats` must begin with `/`, not `cats`
    kitfox.toml:22:10: `routes."/x/y"` is `/x/y`, but `/x` is a path of the server itself (choose another path)
    kitfox.toml:23:11: `routes."/dogs"` must be text, not `true`
    kitfox.toml:25:10: `limits.rounds` must be a whole number, at least 1, not `0`
    kitfox.toml:26:14: `limits.body_bytes` must be a whole number, at least 1, not `-1`
    kitfox.toml:28:11: `limits.plugin.timeout` must be at least `1ms`, not `0s`
    kitfox.toml:29:12: `limits.plugin.kv_bytes` must be a whole number, at least 1, not `1 MiB`
    kitfox.toml:31:5: `providers.a` must be a map of keys and values, not `demo`
    kitfox.toml:32:13: `providers.b.api` must be one of `responses`, `chat_completions`, `demo`, `scripted`, not `respones`
    kitfox.toml:33:18: `providers.c.base_url` must not hold a user name or password
    "#);
}

#[test]
fn a_route_cannot_hide_the_chat() {
    assert_snapshot!(errors("[server]\nchatkit_paths = ['/kit']\n[routes]\n'/kit/a' = 'p'\n'/chatkit' = 'p'"), @r"kitfox.toml:4:12: `routes` mounts `/kit/a`, but the chat is served at `/kit` (choose another path)");
}

#[test]
fn syntax_errors_have_their_place() {
    assert_snapshot!(errors("[server]\nlisten = \n[store\nurl = 'a'\n"), @r"
    kitfox.toml:2:10: string values must be quoted, expected literal string
    kitfox.toml:3:7: unclosed table, expected `]`
    ");
    assert_snapshot!(errors("[server]\nlisten = 'a:1'\nlisten = 'a:2'\n"), @r"kitfox.toml:3:1: duplicate key");
}

#[test]
fn login_modes_are_checked() {
    #[track_caller]
    fn check(mode: &str, expected: &str) {
        assert_eq!(errors(&format!("[auth]\nmode = {mode}")), expected);
    }
    check("['session']", "no error");
    check("'header'", "no error");
    check(
        "'jwt'",
        "kitfox.toml:2:8: `auth.mode` names `jwt`, and nothing says whose tokens count (add `[auth.jwt]` \
         with `issuer` and `audience`)",
    );
    check(
        "'token'",
        "kitfox.toml:2:8: `auth.mode` names `token`, and there are no tokens (add `[auth.tokens.NAME]` \
         with a `hash`)",
    );
    check(
        "['session', 'oidc']",
        "kitfox.toml:2:8: `auth.mode` names `oidc`, and nothing says where users log in (add `[auth.oidc]` \
         with `issuer` and `client_id`)",
    );
    check(
        "['session', 'header']",
        "kitfox.toml:2:8: `auth.mode` lists `header` beside others, so that anybody could be anyone by \
         sending it (use `header` alone, behind a proxy that sets it, or leave it out)",
    );
    check("[]", "kitfox.toml:2:8: `auth.mode` must not be empty (leave it out for `session`)");
    check(
        "'sessions'",
        "kitfox.toml:2:8: `auth.mode` must be one of `session`, `header`, `token`, `jwt`, `oidc`, not `sessions`",
    );
}

#[test]
fn whose_tokens_count_is_said_in_full() {
    assert_snapshot!(errors(r#"
        [auth]
        mode = ["jwt", "token"]
        [auth.jwt]
        algorithms = ["HS256"]
        keys = "http://keys.example.com/jwks"
        [auth.tokens.ci]
        roles = ["operator"]
        [auth.tokens.nightly]
        hash = "sha256:abc"
    "#), @r#"
    kitfox.toml:4:9: `auth.jwt` has no `issuer` (add it: tokens of others are refused by it, as they are written in the claim `iss`)
    kitfox.toml:4:9: `auth.jwt` has no `audience` (add it: tokens for other services are refused by it (the claim `aud`))
    kitfox.toml:5:23: `auth.jwt.algorithms[0]`: `HS256` is no algorithm that a token may be signed with (one of `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`)
    kitfox.toml:6:16: `auth.jwt.keys` must be a URL that begins with `https://`, not `http://keys.example.com/jwks`
    kitfox.toml:7:9: `auth.tokens.ci` has no `hash` (add `hash = "sha256:…"`: the SHA-256 of a long random token, in hexadecimal)
    kitfox.toml:10:16: `auth.tokens.nightly.hash` is no hash (write `sha256:` and the SHA-256 of the token, in hexadecimal: `printf %s "$TOKEN" | sha256sum`)
    "#);
    assert_snapshot!(errors("[auth.jwt]\nissuer = 'cats'\naudience = 'kitfox'"), @"kitfox.toml:2:10: the keys of an issuer that is no https:// URL cannot be found (add `keys`: the URL of its JWKS, or a file of this project)");
    let config = parse(
        "[auth]\nmode = 'jwt'\n[auth.jwt]\nissuer = 'cats'\naudience = 'kitfox'\nkeys = 'jwks.json'",
    );
    let jwt = config.auth.jwt.unwrap();
    assert_eq!(jwt.keys, JwtKeys::File("/srv/cats/jwks.json".into()));
    assert_eq!(jwt.algorithms.len(), 9);
}

#[test]
fn models_need_a_provider_that_is_there() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(errors(text), expected, "{text}");
    }
    let local = "[providers.local]\nbase_url = 'http://a'\n";
    check(
        local,
        "kitfox.toml:1:1: `models.default` is missing, and provider `local` has no known model (add \
         `[models.default]` with `provider = \"local\"` and `model`)",
    );
    check(
        &format!("{local}[models.default]\nprovider = 'lokal'\nmodel = 'm'"),
        "kitfox.toml:4:12: `models.default.provider` names `lokal`, which is not configured (use \
         `local`, or add `[providers.lokal]`)",
    );
    check(
        &format!("{local}[models.default]\nprovider = 'local'"),
        "kitfox.toml:3:1: `models.default` has no `model` (add `model`, the name that provider `local` \
         has for it)",
    );
    check(
        &format!("{local}[models.fast]\nmodel = 'm'"),
        "kitfox.toml:3:2: `models` has no `default`, which serves the agents that name no model (call \
         one of them `[models.default]`)",
    );
    check(
        "[models.default]\nprovider = 'openai'\nmodel = 'm'",
        "kitfox.toml:2:12: `models.default.provider` names `openai`, which is not configured (set \
         `OPENAI_API_KEY`, or add `[providers.openai]`)",
    );
    check(
        "[models.default]\nmodel = 'm'",
        "kitfox.toml:1:1: `models.default` names no provider (set `OPENAI_API_KEY`, or add a provider \
         and name it here)",
    );
    check(
        &format!("{local}[providers.b]\napi = 'demo'\n[models.default]\nmodel = 'm'"),
        "kitfox.toml:5:1: `models.default` names no provider (add `provider`, one of `local`, `b`)",
    );
}

#[test]
fn transcription_needs_a_provider_that_understands_speech() {
    let own =
        "[providers.own]\nbase_url = 'http://localhost:1/v1'\n[models.default]\nmodel = 'm'\n";
    let with = |transcribe: &str| errors(&format!("{own}[transcribe]\n{transcribe}"));
    assert_eq!(with("provider = 'own'\nmodel = 'whisper'"), "no error");
    assert_eq!(with("model = 'whisper'"), "no error");
    assert_snapshot!(with("provider = 'own'"), @"kitfox.toml:5:1: `transcribe` has no `model` (add `model`, the name that provider `own` has for it)");
    assert_snapshot!(with("provider = 'other'\nmodel = 'x'"), @"kitfox.toml:6:12: `transcribe.provider` names `other`, which is not configured (use `own`, or add `[providers.other]`)");
    assert_snapshot!(with("provder = 'own'\nmodel = 'x'"), @"kitfox.toml:6:1: unknown key `transcribe.provder` (did you mean `provider`?)");
    assert_snapshot!(errors("[transcribe]\nprovider = 'demo'\nmodel = 'x'"), @"kitfox.toml:1:1: `transcribe` names `demo`, which understands no speech (name a provider that has the path /audio/transcriptions)");
    let config = parse_with("[transcribe]", &[("OPENAI_API_KEY", "sk-1")]);
    let transcribe = config.transcribe.unwrap();
    assert_eq!((&*transcribe.provider, &*transcribe.model), ("openai", "gpt-4o-mini-transcribe"));
}

#[test]
fn limits_of_attachments_are_types_and_a_size() {
    let limits = parse("[limits.attachments]\ntypes = ['Image/PNG', 'text/*']").limits.attachments;
    assert_eq!(
        (limits.types, limits.max_bytes),
        (vec!["image/png".to_owned(), "text/*".to_owned()], 20 << 20)
    );
    assert_snapshot!(errors("[limits.attachments]\ntypes = ['png']\nmax_bytes = 0\nmax_size = 1"), @r"
    kitfox.toml:2:10: `limits.attachments.types[0]` must be a type, such as `image/*` or `application/pdf`, not `png`
    kitfox.toml:3:13: `limits.attachments.max_bytes` must be a whole number, at least 1, not `0`
    kitfox.toml:4:1: unknown key `limits.attachments.max_size` (known here: `types`, `max_bytes`)
    ");
}

#[test]
fn the_key_of_openai_goes_to_openai_alone() {
    let config = parse_with(
        "[providers.openai]\nbase_url = 'http://proxy'\n[models.default]\nmodel = 'm'",
        &[("OPENAI_API_KEY", "sk-1")],
    );
    assert!(config.providers["openai"].api_key.is_none());
}

#[test]
fn secrets_are_not_shown() {
    let config = parse_with(
        "[providers.a]\napi_key = 'hunter2'\nheaders = { Authorization = 'hunter2' }\n\
         [models.default]\nmodel = 'm'\n[plugins.p]\npermissions = { env = ['S'] }\n[prompts]\nenv = ['S']",
        &[
            ("S", "hunter2"),
            ("KITFOX_STORE__URL", "sqlite://hunter2"),
            ("KITFOX_STORE__PASSWORD", "hunter2"),
        ],
    );
    let shown = format!("{config:?}{:?}", environment(&[("S", "hunter2")]));
    assert!(shown.contains("Authorization") && !shown.contains("hunter2"), "{shown}");
    let variable = ("KITFOX_PROVIDERS__A__HEADERS", "Bearer hunter2");
    assert_eq!(
        errors_with("[providers.a]\napi = 'demo'", &[variable]),
        "kitfox.toml: `providers.a.headers` must be a map of keys and values (in \
         `KITFOX_PROVIDERS__A__HEADERS`)"
    );
    let told = errors_with("[limits]\nrounds = '${S}'", &[("S", "hunter2")]);
    assert_eq!(
        told,
        "kitfox.toml:2:10: `limits.rounds` must be a whole number, at least 1, not `${S}`"
    );
}

#[test]
fn only_what_is_read_at_start_needs_a_restart() {
    let config = parse("");
    let other =
        parse("server.listen = '127.0.0.1:9'\nstore.url = 'sqlite::memory:'\nlimits.rounds = 3");
    assert_eq!(config.needs_restart(&other), ["server.listen", "store.url"]);
    assert!(config.needs_restart(&parse("limits.rounds = 3")).is_empty());
    assert_eq!(config.needs_restart(&parse("store.pool = 3")), ["store"]);
}

#[test]
fn loopback_is_told_from_the_rest() {
    #[track_caller]
    fn check(listen: &str, expected: bool) {
        let config = parse(&format!("server.listen = '{listen}'\n[providers.a]\napi = 'demo'"));
        assert_eq!(config.server.listens_on_loopback(), expected, "{listen}");
    }
    check("127.0.0.1:80", true);
    check("127.1.2.3:80", true);
    check("localhost:80", true);
    check("[::1]:80", true);
    check("0.0.0.0:80", false);
    check("[::]:80", false);
    check("127.0.0.1.example.org:80", false);
    let config = parse("server.public_url = 'https://chat.example.org/kit/'");
    assert!(!config.server.is_public_url_loopback() && parse("").server.is_public_url_loopback());
    assert_eq!(config.server.public_url.as_str(), "https://chat.example.org/kit");
}
