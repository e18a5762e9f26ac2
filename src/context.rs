use std::{borrow::Cow, collections::BTreeMap, fmt, net::IpAddr};

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use crate::user::User;

/// The longest text that is taken from a header, in bytes.
const HEADER_BYTES: usize = 8 << 10;

/// The fields of a page that always exist.
const PAGE_FIELDS: &[&str] = &["url", "title", "path", "description", "headings"];

/// What a request brings beside its operation: who asks, from which page, with what.
///
/// It serializes to the names that plugins see: `user`, `page`, `selected_text`, `metadata`, `request`.
/// Prompts see [`RequestContext::scope`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RequestContext {
    /// None only on routes that are public.
    pub user: Option<User>,
    pub page: Page,
    pub selected_text: Option<String>,
    /// All that the client sent as metadata, merged, the later winning.
    pub metadata: Map<String, Value>,
    pub request: RequestScope,
    /// Where it comes from, for limits alone.
    #[serde(skip)]
    pub address: Option<IpAddr>,
    #[serde(skip)]
    pub secrets: RequestSecrets,
}

/// What a request brings for credentials alone: neither prompts nor plugins see it, and it is never shown.
#[derive(Clone, Default)]
pub struct RequestSecrets {
    /// The headers that some credential names, by lower-case name.
    pub headers: BTreeMap<String, SecretString>,
    /// What the login gave, by field: tokens, and the claims that some credential names.
    pub login: BTreeMap<String, SecretString>,
}

/// Which headers and which fields of the login are credentials.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretNames {
    /// Lower case.
    pub headers: Vec<String>,
    pub fields: Vec<String>,
}

/// The page that the user looks at. The named fields always exist; whatever else the host page sent
/// stands beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Page(pub Map<String, Value>);

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RequestScope {
    pub locale: Option<String>,
    /// The visible headers (`[server] visible_headers`), by lower-case name; none when not sent.
    pub headers: BTreeMap<String, Option<String>>,
    /// A keyed hash of the session id, never the id itself.
    pub session_id: Option<String>,
}

/// Where the context of a request is gathered from.
pub struct ContextSources<'a> {
    /// Whom the login named.
    pub user: Option<User>,
    /// A keyed hash of the session id.
    pub session_id: Option<String>,
    /// The value of a header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// `[server] visible_headers`
    pub visible_headers: &'a [String],
    /// What is for credentials alone, whatever `visible_headers` says.
    pub secret_names: &'a SecretNames,
    /// What the login gave that is no claim, such as its `access_token`.
    pub login_secrets: BTreeMap<String, SecretString>,
    /// What the body brings, the later winning: `metadata`, `params.metadata`, `params.input.metadata`.
    pub metadata: &'a [&'a Map<String, Value>],
}

impl RequestContext {
    /// Gathers what plugin-api.md §2 lists. Identity is the login's alone.
    pub fn gather(sources: ContextSources<'_>) -> Self {
        let header = |name: &str| (sources.header)(name).map(cut).filter(|it| !it.is_empty());

        let mut page = Map::new();
        let mut user_info = Map::new();
        let mut selected_text = header("x-selected-text").map(percent_decoded);
        let mut metadata = Map::new();
        if let Some(url) = header("x-page-url").map(percent_decoded) {
            page.insert("url".to_owned(), json!(url));
        }
        for level in sources.metadata {
            // A page is of one piece: the URL of one with the title of another would be of neither.
            merge_page(&mut page, object(level, "pageContext"));
            merge_page(&mut page, object(level, "page_context"));
            merge(&mut user_info, object(level, "userInfo"));
            merge(&mut user_info, object(level, "user_info"));
            let selected = text(level, "selected_text").or_else(|| text(level, "selectedText"));
            selected_text = selected.map(str::to_owned).or(selected_text);
            merge(&mut metadata, Some(level));
        }

        let header_secrets = take_headers(&sources);
        let visible =
            |name: &String| (name.to_lowercase(), header(&name.to_lowercase()).map(str::to_owned));
        let is_visible =
            |name: &&String| !sources.secret_names.headers.contains(&name.to_lowercase());
        let mut user = sources.user.map(|it| it.with_info(&user_info));
        let secrets = RequestSecrets {
            headers: header_secrets,
            login: take_fields(sources.login_secrets, user.as_mut(), &sources.secret_names.fields),
        };
        Self {
            user,
            page: Page::new(page),
            selected_text: selected_text.filter(|it| !it.trim().is_empty()),
            metadata,
            request: RequestScope {
                locale: header("accept-language").and_then(locale).map(str::to_owned),
                headers: sources.visible_headers.iter().filter(is_visible).map(visible).collect(),
                session_id: sources.session_id,
            },
            address: None,
            secrets,
        }
    }

    /// What there is without a request: a user, and what a page would send along.
    pub fn of_user(user: User, metadata: &Map<String, Value>) -> Self {
        Self::gather(ContextSources {
            user: Some(user),
            session_id: None,
            header: &|_| None,
            visible_headers: &[],
            secret_names: &SecretNames::default(),
            login_secrets: BTreeMap::new(),
            metadata: &[metadata],
        })
    }

    /// With the last known page of the thread, where this request brings none.
    #[must_use]
    pub fn with_last_page(mut self, last: Option<Page>) -> Self {
        if let Some(last) = last
            && !self.page.is_known()
        {
            self.page = Page::new(last.0);
        }
        self
    }

    /// What prompts see of the request. Of a user who is not known every field is there, and none.
    pub fn scope(&self, now: Timestamp) -> Map<String, Value> {
        let user = self.user.as_ref();
        let scope = json!({
            "user": {
                "id": user.map(|it| &it.id),
                "name": user.and_then(|it| it.name.as_ref()),
                "email": user.and_then(|it| it.email.as_ref()),
                "org": user.and_then(|it| it.org.as_ref()),
                "roles": user.map(|it| it.roles.as_slice()).unwrap_or_default(),
                "claims": user.map(|it| Cow::Borrowed(&it.claims)).unwrap_or_default(),
            },
            "page": self.page,
            "selected_text": self.selected_text,
            "metadata": self.metadata,
            "request": self.request,
            "now": now.to_string(),
        });
        match scope {
            Value::Object(scope) => scope,
            _ => Map::new(),
        }
    }
}

impl Page {
    /// With all named fields, and the path taken from the URL where it was not sent.
    pub fn new(mut fields: Map<String, Value>) -> Self {
        let path = fields.get("url").and_then(Value::as_str).and_then(path_of);
        for name in PAGE_FIELDS {
            fields.entry(*name).or_insert(Value::Null);
        }
        if let (Some(path), Some(field @ Value::Null)) = (path, fields.get_mut("path")) {
            *field = Value::String(path);
        }
        Self(fields)
    }

    /// Whether anything is known of it.
    pub fn is_known(&self) -> bool {
        self.0.values().any(|it| !it.is_null())
    }
}

/// A page of which nothing is known.
impl Default for Page {
    fn default() -> Self {
        Self::new(Map::new())
    }
}

fn take_headers(sources: &ContextSources<'_>) -> BTreeMap<String, SecretString> {
    let take = |name: &String| {
        // Whole, or what is left of it would be another secret.
        let value = (sources.header)(name).map(str::trim).filter(|it| !it.is_empty())?;
        Some((name.clone(), SecretString::from(value)))
    };
    sources.secret_names.headers.iter().filter_map(take).collect()
}

/// Claims that are credentials are no claims any more.
fn take_fields(
    mut login: BTreeMap<String, SecretString>,
    user: Option<&mut User>,
    fields: &[String],
) -> BTreeMap<String, SecretString> {
    let Some(user) = user else { return login };
    for field in fields {
        if let Some(Value::String(claim)) = user.claims.shift_remove(field) {
            login.entry(field.clone()).or_insert_with(|| SecretString::from(claim));
        }
    }
    login
}

/// Only what they are called is shown.
impl fmt::Debug for RequestSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (headers, login) = (self.headers.keys(), self.login.keys());
        f.debug_struct("RequestSecrets").field("headers", &headers).field("login", &login).finish()
    }
}

impl PartialEq for RequestSecrets {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |one: &BTreeMap<String, SecretString>, two: &BTreeMap<_, SecretString>| {
            one.keys().eq(two.keys())
                && one
                    .values()
                    .zip(two.values())
                    .all(|(a, b)| a.expose_secret() == b.expose_secret())
        };
        is_same(&self.headers, &other.headers) && is_same(&self.login, &other.login)
    }
}

fn object<'a>(level: &'a Map<String, Value>, key: &str) -> Option<&'a Map<String, Value>> {
    level.get(key).and_then(Value::as_object)
}

fn text<'a>(level: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    level.get(key).and_then(Value::as_str)
}

/// Null is as good as not sent.
fn merge(into: &mut Map<String, Value>, from: Option<&Map<String, Value>>) {
    for (key, value) in from.into_iter().flatten() {
        if !value.is_null() || !into.contains_key(key) {
            into.insert(key.clone(), value.clone());
        }
    }
}

fn merge_page(page: &mut Map<String, Value>, from: Option<&Map<String, Value>>) {
    let Some(from) = from else { return };
    let new_url = from.get("url").filter(|it| !it.is_null());
    if new_url.is_some() && new_url != page.get("url") {
        page.clear();
    }
    merge(page, Some(from));
}

/// At most [`HEADER_BYTES`] of it, in whole characters.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(HEADER_BYTES)]
}

/// Percent-decoded where that gives UTF-8, else as it is.
fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), Cow::into_owned)
}

fn path_of(url: &str) -> Option<String> {
    if let Ok(url) = Url::parse(url) {
        return url.has_host().then(|| url.path().to_owned());
    }
    let path = url.split(['?', '#']).next()?;
    path.starts_with('/').then(|| path.to_owned())
}

/// The first language of `accept-language`, such as `de-CH`.
fn locale(header: &str) -> Option<&str> {
    let first = header.split([',', ';']).next()?.trim();
    let mut parts = first.split('-');
    let language = parts.next()?;
    let is_language =
        (2..=8).contains(&language.len()) && language.bytes().all(|it| it.is_ascii_alphabetic());
    let is_part =
        |it: &str| (1..=8).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_alphanumeric());
    (is_language && first.len() <= 35 && parts.all(is_part)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The context of these headers and these levels of metadata.
    fn gather(headers: &[(&str, &str)], levels: &[Value]) -> RequestContext {
        let mut user = User::new("jwt", "https://issuer", "u1");
        user.roles = vec!["reader".to_owned()];
        gather_as(Some(user), headers, levels)
    }

    fn gather_as(user: Option<User>, headers: &[(&str, &str)], levels: &[Value]) -> RequestContext {
        let levels: Vec<_> = levels.iter().map(|it| it.as_object().unwrap()).collect();
        RequestContext::gather(ContextSources {
            user,
            session_id: Some("hash".to_owned()),
            header: &|name| headers.iter().find(|(it, _)| *it == name).map(|(_, value)| *value),
            visible_headers: &["Article-Id".to_owned(), "x-none".to_owned()],
            secret_names: &SecretNames {
                headers: vec!["x-token".to_owned()],
                fields: vec!["access_token".to_owned()],
            },
            login_secrets: BTreeMap::new(),
            metadata: &levels,
        })
    }

    #[test]
    fn what_is_for_credentials_is_seen_by_nobody_else() {
        let mut user = User::new("jwt", "https://issuer", "u1");
        user.claims.insert("access_token".to_owned(), json!("tok-claim-1"));
        let context = gather_as(Some(user), &[("x-token", "tok-header-1")], &[]);
        assert_eq!(context.secrets.headers["x-token"].expose_secret(), "tok-header-1");
        assert_eq!(context.secrets.login["access_token"].expose_secret(), "tok-claim-1");
        let seen = [
            json!(context).to_string(),
            json!(context.scope(Timestamp::UNIX_EPOCH)).to_string(),
            format!("{context:?}"),
        ];
        for seen in seen {
            assert!(!seen.contains("tok-"), "{seen}");
        }
    }

    #[test]
    fn the_later_place_of_a_page_wins() {
        #[track_caller]
        fn check(headers: &[(&str, &str)], levels: &[Value], expected: &Value) {
            let page = gather(headers, levels).page;
            for (key, value) in expected.as_object().unwrap() {
                assert_eq!(page.0.get(key), Some(value), "{key} of {page:?}");
            }
            for name in PAGE_FIELDS {
                assert!(page.0.contains_key(*name), "{name} of {page:?}");
            }
        }
        let header = ("x-page-url", "https://a.org/h%C3%A4");
        check(&[], &[], &json!({ "url": null, "path": null, "headings": null }));
        check(&[header], &[], &json!({ "url": "https://a.org/hä", "path": "/h%C3%A4" }));
        check(
            &[header],
            &[json!({ "pageContext": { "title": "T", "section": 3 } })],
            &json!({ "url": "https://a.org/hä", "title": "T", "section": 3 }),
        );
        check(
            &[header],
            &[json!({ "pageContext": { "url": "/b?x#y", "title": null } })],
            &json!({ "url": "/b?x#y", "path": "/b", "title": null }),
        );
        let full =
            json!({ "page_context": { "url": "https://a.org/1", "title": "1", "extra": 1 } });
        check(
            &[header],
            &[full.clone(), json!({ "pageContext": { "title": "2" } })],
            &json!({ "url": "https://a.org/1", "title": "2", "extra": 1 }),
        );
        check(
            &[],
            &[full.clone(), json!({ "pageContext": { "url": "https://a.org/2" } })],
            &json!({ "url": "https://a.org/2", "path": "/2", "title": null }),
        );
        check(
            &[],
            &[full.clone(), json!({}), json!({ "pageContext": { "path": "/own" } })],
            &json!({ "url": "https://a.org/1", "path": "/own" }),
        );
        check(&[], &[full, json!({ "pageContext": "no map" })], &json!({ "title": "1" }));
    }

    #[test]
    fn the_later_selection_wins() {
        #[track_caller]
        fn check(header: &str, levels: &[Value], expected: Option<&str>) {
            let context = gather(&[("x-selected-text", header)], levels);
            assert_eq!(context.selected_text.as_deref(), expected, "{header} {levels:?}");
        }
        check("", &[], None);
        check("a%20b%E2%82%AC", &[], Some("a b€"));
        check("100%", &[], Some("100%"));
        check("%ff", &[], Some("%ff"));
        check("h", &[json!({ "selectedText": "m" })], Some("m"));
        check("h", &[json!({ "selected_text": "m" }), json!({ "selectedText": "p" })], Some("p"));
        check("h", &[json!({ "selectedText": null })], Some("h"));
        check("h", &[json!({ "selectedText": " " })], None);
        check("h", &[json!({ "selectedText": 3 })], Some("h"));
    }

    #[test]
    fn metadata_is_merged_key_by_key() {
        let levels =
            [json!({ "a": 1, "b": { "x": 1 } }), json!({ "b": { "y": 2 } }), json!({ "c": null })];
        let metadata = Value::from(gather(&[], &levels).metadata);
        assert_eq!(metadata, json!({ "a": 1, "b": { "y": 2 }, "c": null }));
    }

    #[test]
    fn user_info_fills_name_and_email_and_nothing_else() {
        let info = json!({ "userInfo": {
            "name": " Ada ", "email": "ada@a.org", "id": "root", "org": "evil", "roles": ["operator"],
            "claims": { "admin": true },
        } });
        let user = gather(&[("x-user-id", "root")], std::slice::from_ref(&info)).user.unwrap();
        assert_eq!(user.name.as_deref(), Some("Ada"));
        assert_eq!(user.email.as_deref(), Some("ada@a.org"));
        assert_eq!(
            (user.id.as_str(), &user.org, user.roles.as_slice()),
            ("u1", &None, &["reader".to_owned()][..])
        );
        assert!(user.claims.is_empty());

        let mut known = User::new("jwt", "", "u2");
        known.name = Some("Grace".to_owned());
        let later = json!({ "user_info": { "email": "later@a.org", "name": null } });
        let user = gather_as(Some(known), &[], &[info.clone(), later]).user.unwrap();
        assert_eq!(user.name.as_deref(), Some("Grace"));
        assert_eq!(user.email.as_deref(), Some("later@a.org"));
        assert!(gather_as(None, &[], &[info]).user.is_none());
    }

    #[test]
    fn the_locale_is_the_first_language() {
        #[track_caller]
        fn check(header: &str, expected: Option<&str>) {
            let context = gather(&[("accept-language", header)], &[]);
            assert_eq!(context.request.locale.as_deref(), expected, "{header}");
        }
        check("de-CH, de;q=0.9, en", Some("de-CH"));
        check("en;q=0.5", Some("en"));
        check("zh-Hant-TW", Some("zh-Hant-TW"));
        check("*", None);
        check("", None);
        check("{{ user }}", None);
        check("d", None);
        check("en-<b>", None);
    }

    #[test]
    fn only_visible_headers_are_seen() {
        let request = gather(&[("article-id", "7"), ("authorization", "secret")], &[]).request;
        let expected = json!({
            "locale": null,
            "headers": { "article-id": "7", "x-none": null },
            "session_id": "hash",
        });
        assert_eq!(serde_json::to_value(request).unwrap(), expected);
    }

    #[test]
    fn a_header_is_cut_between_characters() {
        let long = "ä".repeat(HEADER_BYTES);
        let context = gather(&[("x-selected-text", &format!("a{long}"))], &[]);
        assert_eq!(context.selected_text.unwrap().len(), HEADER_BYTES - 1);
    }

    #[test]
    fn the_last_page_serves_a_request_that_brings_none() {
        let last = || Some(gather(&[("x-page-url", "https://a.org/last")], &[]).page);
        let without = gather(&[], &[json!({ "pageContext": { "url": null } })]);
        assert_eq!(without.clone().with_last_page(None).page, Page::default());
        assert_eq!(without.with_last_page(last()).page.0["path"], "/last");
        let with = gather(&[], &[json!({ "pageContext": { "title": "New" } })]);
        assert_eq!(with.with_last_page(last()).page.0["url"], Value::Null);
    }

    #[test]
    fn a_prompt_sees_every_field_of_a_user_who_is_not_known() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let scope = gather_as(None, &[], &[]).scope(now);
        let user = json!({
            "id": null, "name": null, "email": null, "org": null, "roles": [], "claims": {},
        });
        assert_eq!(scope["user"], user);
        assert_eq!(scope["now"], "2026-01-02T03:04:05Z");
        let names: Vec<_> = scope.keys().map(String::as_str).collect();
        assert_eq!(names, ["user", "page", "selected_text", "metadata", "request", "now"]);
        assert_eq!(gather(&[], &[]).scope(now)["user"]["roles"], json!(["reader"]));
    }
}
