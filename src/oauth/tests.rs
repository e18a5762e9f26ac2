use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use crate::{store::Store, tests::authority::Authority, vault::Keys};

use super::*;

/// A process with its vault, at one database with others.
struct Process {
    oauth: OAuth,
    places: ClientPlaces,
}

struct Setup {
    authority: Authority,
    store: Store,
    folder: TempDir,
}

impl Setup {
    async fn new() -> Self {
        let store = Store::open("sqlite::memory:", &TaskTracker::new()).await;
        store.check().await.unwrap();
        Self { authority: Authority::start().await, store, folder: tempfile::tempdir().unwrap() }
    }

    fn process(&self) -> Process {
        self.process_that_allows(&[], true)
    }

    fn process_that_allows(&self, allow: &[String], is_local: bool) -> Process {
        let keys = Keys::new(None, self.folder.path().join("kitfox.keys"), true);
        let vault = Vault::new(self.store.clone(), keys);
        let shared = Shared::new(vault, TaskTracker::new());
        let public_url = Url::parse("http://localhost:8000/chat").unwrap();
        Process {
            oauth: OAuth::new(shared, allow, is_local),
            places: ClientPlaces::new("Demo", &public_url),
        }
    }

    fn target(&self) -> Target {
        Target {
            key: Target::of_server("calendar"),
            label: "`calendar`".to_owned(),
            at: At::Resource(self.authority.resource()),
            scopes: Vec::new(),
            client: None,
        }
    }
}

impl Process {
    /// What the user's browser does: it begins, logs in at the authorization server, and comes back.
    async fn walk(
        &self,
        setup: &Setup,
        target: &Target,
        user: &UserKey,
    ) -> Result<(Begun, Callback), OAuthError> {
        let begun = self.oauth.begin(target, user, &self.places, None).await?;
        let callback = setup.authority.log_in(&begun.url).await;
        Ok((begun, callback))
    }

    async fn log_in(&self, setup: &Setup, target: &Target, user: &UserKey) {
        let (begun, callback) = self.walk(setup, target, user).await.unwrap();
        let browser = Some(begun.browser.expose_secret());
        self.oauth.finish(user, browser, &callback).await.unwrap();
    }

    async fn token(&self, target: &Target, user: &UserKey) -> Result<String, OAuthError> {
        Ok(self.oauth.access_token(target, user).await?.expose_secret().to_owned())
    }
}

fn user(name: &str) -> UserKey {
    UserKey::new("test", "", name)
}

#[track_caller]
fn check_refused<T>(result: Result<T, OAuthError>, contains: &str) {
    match result {
        Err(OAuthError::Refused(problem)) if problem.contains(contains) => (),
        Err(err) => panic!("{err:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[tokio::test]
async fn each_user_has_tokens_of_their_own() {
    let setup = Setup::new().await;
    let (process, target) = (setup.process(), setup.target());
    let (ada, bob) = (user("ada"), user("bob"));
    assert!(matches!(process.token(&target, &ada).await, Err(OAuthError::LoginNeeded(_))));
    process.log_in(&setup, &target, &ada).await;
    assert!(!process.oauth.is_logged_in(&target, &bob).await.unwrap());
    process.log_in(&setup, &target, &bob).await;
    let (adas, bobs) =
        (process.token(&target, &ada).await.unwrap(), process.token(&target, &bob).await.unwrap());
    assert_ne!(adas, bobs);
    assert_eq!(process.token(&target, &ada).await.unwrap(), adas);
    // Both were known as one client, which was registered once.
    assert_eq!(setup.authority.registrations(), 1);
    assert!(process.oauth.forget(&target.key, &ada).await.unwrap());
    assert!(matches!(process.token(&target, &ada).await, Err(OAuthError::LoginNeeded(_))));
    assert_eq!(process.token(&target, &bob).await.unwrap(), bobs);
}

#[tokio::test]
async fn a_login_names_its_resource_and_proves_who_began_it() {
    let setup = Setup::new().await;
    let (process, target) = (setup.process(), setup.target());
    let (begun, callback) = process.walk(&setup, &target, &user("ada")).await.unwrap();
    let query: HashMap<_, _> = begun.url.query_pairs().into_owned().collect();
    assert_eq!(query["resource"], setup.authority.resource().as_str());
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["scope"], "calendar.read offline_access");
    assert_eq!(query["redirect_uri"], "http://localhost:8000/chat/oauth/callback");
    let browser = Some(begun.browser.expose_secret());
    process.oauth.finish(&user("ada"), browser, &callback).await.unwrap();
    // The authority checked the verifier; it kept what it was asked with.
    let asked = setup.authority.last_token_request();
    assert_eq!(asked["resource"], setup.authority.resource().as_str());
    assert_eq!(asked["grant_type"], "authorization_code");
}

#[tokio::test]
async fn a_callback_is_for_the_user_and_the_browser_that_began_and_works_once() {
    let setup = Setup::new().await;
    let (process, target) = (setup.process(), setup.target());
    let (ada, bob) = (user("ada"), user("bob"));
    let (begun, callback) = process.walk(&setup, &target, &ada).await.unwrap();
    let browser = Some(begun.browser.expose_secret());
    check_refused(process.oauth.finish(&bob, browser, &callback).await, "not known");
    check_refused(process.oauth.finish(&ada, None, &callback).await, "another browser");
    check_refused(process.oauth.finish(&ada, Some("x"), &callback).await, "another browser");
    let without = Callback { state: None, code: callback.code.clone(), iss: None, error: None };
    check_refused(process.oauth.finish(&ada, browser, &without).await, "not known");
    assert_eq!(setup.authority.token_requests(), 0);
    process.oauth.finish(&ada, browser, &callback).await.unwrap();
    check_refused(process.oauth.finish(&ada, browser, &callback).await, "not known");
    assert_eq!(setup.authority.token_requests(), 1);
}

#[tokio::test]
async fn a_callback_of_another_issuer_is_refused_and_spends_nothing() {
    let setup = Setup::new().await;
    let (process, target, ada) = (setup.process(), setup.target(), user("ada"));
    let (begun, mut callback) = process.walk(&setup, &target, &ada).await.unwrap();
    let browser = Some(begun.browser.expose_secret());
    let right = callback.iss.replace("https://evil.example".to_owned());
    check_refused(
        process.oauth.finish(&ada, browser, &callback).await,
        "not answered by the server",
    );
    // It says that it always names itself.
    callback.iss = None;
    check_refused(
        process.oauth.finish(&ada, browser, &callback).await,
        "not answered by the server",
    );
    callback.iss = right;
    process.oauth.finish(&ada, browser, &callback).await.unwrap();
}

#[tokio::test]
async fn fifty_calls_with_an_expired_token_refresh_once() {
    let setup = Setup::new().await;
    let (one, two) = (setup.process(), setup.process());
    let (target, ada) = (setup.target(), user("ada"));
    one.log_in(&setup, &target, &ada).await;
    let first = one.token(&target, &ada).await.unwrap();
    setup.authority.expire_tokens();
    let rejected = first.clone().into();
    one.oauth.reject(&target, &ada, &rejected, None).await.unwrap();
    let calls = (0..50).map(|index| {
        let process = if index % 2 == 0 { &one } else { &two };
        process.token(&target, &ada)
    });
    let tokens = futures::future::join_all(calls).await;
    let second = tokens[0].as_ref().unwrap().clone();
    assert_ne!(second, first);
    for token in tokens {
        assert_eq!(token.unwrap(), second);
    }
    assert_eq!(setup.authority.refreshes(), 1);
    assert!(!setup.authority.is_family_revoked());
}

#[tokio::test]
async fn fifty_calls_exchange_a_login_once_and_of_a_refusal_nothing_is_kept() {
    let setup = Setup::new().await;
    let (process, ada) = (setup.process(), user("ada"));
    let exchange = Exchange {
        at: ExchangeAt::TokenEndpoint(setup.authority.token_endpoint()),
        audience: Some("notes".to_owned()),
        resource: None,
        scopes: Vec::new(),
        client: None,
    };
    let login = SecretString::from("login-of-ada");
    let all = async |login: &SecretString| {
        let calls = (0..50).map(|_| process.oauth.exchange(&exchange, &ada, login));
        futures::future::join_all(calls).await
    };
    setup.authority.change_exchange("error", "invalid_grant".into());
    assert!(all(&login).await.iter().all(Result::is_err));
    assert_eq!(setup.authority.exchanges(), 1);
    setup.authority.change_exchange("error", serde_json::Value::Null);
    let tokens = all(&login).await;
    let first = tokens[0].as_ref().unwrap().expose_secret();
    assert!(tokens.iter().all(|it| it.as_ref().unwrap().expose_secret() == first));
    assert_eq!(setup.authority.exchanges(), 2);
    // Neither another login nor another user has it.
    process.oauth.exchange(&exchange, &ada, &"another-login".into()).await.unwrap();
    process.oauth.exchange(&exchange, &user("bob"), &login).await.unwrap();
    assert_eq!(setup.authority.exchanges(), 4);
    // What was not taken is given up once, whoever says so.
    assert!(process.oauth.reject_exchanged(&exchange, &ada, &login, first));
    let second = process.oauth.exchange(&exchange, &ada, &login).await.unwrap();
    assert_ne!(second.expose_secret(), first);
    assert!(process.oauth.reject_exchanged(&exchange, &ada, &login, first));
    process.oauth.exchange(&exchange, &ada, &login).await.unwrap();
    assert_eq!(setup.authority.exchanges(), 5);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_lose_the_new_refresh_token() {
    let setup = Setup::new().await;
    let (process, target, ada) = (setup.process(), setup.target(), user("ada"));
    process.log_in(&setup, &target, &ada).await;
    let first = process.token(&target, &ada).await.unwrap();
    process.oauth.reject(&target, &ada, &first.clone().into(), None).await.unwrap();
    setup.authority.delay_tokens(Duration::from_millis(200));
    let gone = tokio::time::timeout(Duration::from_millis(20), process.token(&target, &ada)).await;
    assert!(gone.is_err());
    assert_ne!(process.token(&target, &ada).await.unwrap(), first);
    assert_eq!(setup.authority.refreshes(), 1);
    assert!(!setup.authority.is_family_revoked());
}

#[tokio::test]
async fn a_refresh_token_that_was_revoked_needs_another_login() {
    let setup = Setup::new().await;
    let (process, target, ada) = (setup.process(), setup.target(), user("ada"));
    process.log_in(&setup, &target, &ada).await;
    let first = process.token(&target, &ada).await.unwrap();
    process.oauth.reject(&target, &ada, &first.into(), None).await.unwrap();
    setup.authority.revoke();
    assert!(matches!(process.token(&target, &ada).await, Err(OAuthError::LoginNeeded(_))));
    assert!(!process.oauth.is_logged_in(&target, &ada).await.unwrap());
    process.log_in(&setup, &target, &ada).await;
    process.token(&target, &ada).await.unwrap();
}

#[tokio::test]
async fn an_authority_that_is_down_ends_no_login() {
    let setup = Setup::new().await;
    let (process, target, ada) = (setup.process(), setup.target(), user("ada"));
    process.log_in(&setup, &target, &ada).await;
    let first = process.token(&target, &ada).await.unwrap();
    process.oauth.reject(&target, &ada, &first.into(), None).await.unwrap();
    setup.authority.fail_tokens(true);
    assert!(matches!(process.token(&target, &ada).await, Err(OAuthError::Unavailable(_))));
    setup.authority.fail_tokens(false);
    process.token(&target, &ada).await.unwrap();
}

#[tokio::test]
async fn a_server_that_wants_more_scopes_gets_them_by_another_login() {
    let setup = Setup::new().await;
    let (process, target, ada) = (setup.process(), setup.target(), user("ada"));
    process.log_in(&setup, &target, &ada).await;
    let token = process.token(&target, &ada).await.unwrap();
    let header = r#"Bearer error="insufficient_scope", scope="calendar.write""#;
    let challenge = Challenge::parse([header]).unwrap();
    process.oauth.reject(&target, &ada, &token.into(), Some(&challenge)).await.unwrap();
    assert!(matches!(process.token(&target, &ada).await, Err(OAuthError::LoginNeeded(_))));
    let begun = process.oauth.begin(&target, &ada, &process.places, None).await.unwrap();
    let query: HashMap<_, _> = begun.url.query_pairs().into_owned().collect();
    assert_eq!(query["scope"], "calendar.read offline_access calendar.write");
}

#[tokio::test]
async fn tokens_are_for_the_url_that_they_were_made_for() {
    let setup = Setup::new().await;
    let (process, mut target, ada) = (setup.process(), setup.target(), user("ada"));
    process.log_in(&setup, &target, &ada).await;
    target.at = At::Resource(Url::parse("http://127.0.0.1:1/elsewhere").unwrap());
    assert!(matches!(process.token(&target, &ada).await, Err(OAuthError::LoginNeeded(_))));
}

#[tokio::test]
async fn a_client_that_the_operator_registered_is_used_with_its_secret() {
    let setup = Setup::new().await;
    let (process, mut target, ada) = (setup.process(), setup.target(), user("ada"));
    let secret = Some("hush: it is a secret".to_owned().into());
    target.client = Some(Preregistered { id: "known".to_owned(), secret });
    process.log_in(&setup, &target, &ada).await;
    assert_eq!(setup.authority.registrations(), 0);
    let asked = setup.authority.last_token_request();
    assert_eq!(asked["basic"], "known:hush%3A+it+is+a+secret");
    assert!(!asked.contains_key("client_id"));
}

#[tokio::test]
async fn metadata_are_not_fetched_from_where_they_must_not_be() {
    let setup = Setup::new().await;
    let (target, ada) = (setup.target(), user("ada"));
    let places = setup.process().places;
    let begin = async |process: &Process| process.oauth.begin(&target, &ada, &places, None).await;

    setup.authority.advertise("http://169.254.169.254/latest/meta-data");
    let problem = begin(&setup.process()).await.err().unwrap().to_string();
    assert!(problem.contains("not on the public internet"), "{problem}");

    setup.authority.advertise("");
    setup.authority.name_server("http://169.254.169.254");
    let problem = begin(&setup.process()).await.err().unwrap().to_string();
    assert!(problem.contains("not on the public internet"), "{problem}");

    setup.authority.name_server("");
    setup.authority.redirect_metadata(true);
    let problem = begin(&setup.process()).await.err().unwrap().to_string();
    assert!(problem.contains("redirects, which is not followed"), "{problem}");
    assert_eq!(setup.authority.redirected(), 0);

    setup.authority.redirect_metadata(false);
    let strict = setup.process_that_allows(&[], false);
    let problem = begin(&strict).await.err().unwrap().to_string();
    assert!(problem.contains("add `127.0.0.1:"), "{problem}");
    let resource = setup.authority.resource();
    let allow = [format!("127.0.0.1:{}", resource.port().unwrap())];
    begin(&setup.process_that_allows(&allow, false)).await.unwrap();
}

#[tokio::test]
async fn an_authority_that_is_not_who_it_should_be_is_refused() {
    let setup = Setup::new().await;
    let (process, target, ada) = (setup.process(), setup.target(), user("ada"));
    let begin = async || process.oauth.begin(&target, &ada, &process.places, None).await;
    setup.authority.change_metadata("issuer", "https://evil.example".into());
    check_refused(begin().await, "says that it is `https://evil.example`");
    setup.authority.change_metadata("issuer", serde_json::Value::Null);
    setup
        .authority
        .change_metadata("code_challenge_methods_supported", ["plain"].as_slice().into());
    check_refused(begin().await, "PKCE with S256");
    setup.authority.change_metadata("code_challenge_methods_supported", ["S256"].as_slice().into());
    setup.authority.change_metadata("authorization_endpoint", "javascript:alert(1)".into());
    check_refused(begin().await, "must be an https URL");
}

#[tokio::test]
async fn metadata_of_another_resource_are_refused() {
    let setup = Setup::new().await;
    let (process, target, ada) = (setup.process(), setup.target(), user("ada"));
    setup.authority.name_resource("https://bank.example/mcp");
    let begun = process.oauth.begin(&target, &ada, &process.places, None).await;
    check_refused(begun, "those of another server");
}

#[tokio::test]
async fn what_the_database_holds_of_a_login_can_be_read_by_nobody() {
    let setup = Setup::new().await;
    let (process, target, ada) = (setup.process(), setup.target(), user("ada"));
    process.log_in(&setup, &target, &ada).await;
    let token = process.token(&target, &ada).await.unwrap();
    let sealed = setup.store.of(&ada).list_sealed(crate::store::SealedKind::Tokens).await.unwrap();
    assert_eq!(sealed.len(), 1);
    let bytes = &sealed[0].ciphertext.bytes;
    assert!(!bytes.windows(token.len()).any(|it| it == token.as_bytes()));
}
