//! A registry on this machine, which does as the specification says, or not.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, StatusCode, Uri, header::LOCATION},
};
use futures::stream;
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol, Config, ImageLayer},
    secrets::RegistryAuth,
};
use tokio::net::TcpListener;

use crate::plugin::ContentDigest;

/// Serves what was pushed to it, until the test ends.
#[derive(Clone)]
pub struct Registry {
    pub host: String,
    state: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    host: String,
    blobs: BTreeMap<String, Bytes>,
    /// By `repository/manifests/reference`.
    manifests: BTreeMap<String, Bytes>,
    fault: Fault,
    /// `Authorization` of each request, by path.
    asked: Vec<(String, String)>,
}

/// What it does wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Only `ada` with the password `secret` gets anything. No fault at all.
    Private,
    /// The token is to be had elsewhere.
    Realm(String),
    OtherManifest,
    OtherBlob,
    ShortBlob,
    BrokenOff,
    EndlessBlob,
    EndlessManifest,
    Redirect(String),
    /// Blobs are at another port of this machine.
    Moved(String),
    Page,
}

impl Registry {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(Inner { host: host.clone(), ..Inner::default() }));
        let router = axum::Router::new().fallback(answer).with_state(state.clone());
        serve(listener, router);
        Self { host, state }
    }

    pub fn fail(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    /// Pushes as others do: by another implementation of the protocol. The source to pull it from.
    pub async fn push(&self, repository: &str, tag: &str, layers: &[ImageLayer]) -> String {
        let config = ClientConfig {
            protocol: ClientProtocol::Http,
            use_monolithic_push: true,
            ..ClientConfig::default()
        };
        let client = Client::new(config);
        let reference: Reference = format!("{}/{repository}:{tag}", self.host).parse().unwrap();
        let auth = RegistryAuth::Basic("ada".to_owned(), "secret".to_owned());
        let config = Config::new(
            Bytes::from_static(b"{}"),
            "application/vnd.wasm.config.v0+json".to_owned(),
            None,
        );
        client.push(&reference, layers, config, &auth, None).await.unwrap();
        format!("oci+http://{}/{repository}:{tag}", self.host)
    }

    /// What was said of who asks, in each request for a path that contains this.
    pub fn asked(&self, path: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let asked = state.asked.iter().filter(|(it, _)| it.contains(path));
        asked.map(|(_, authorization)| authorization.clone()).collect()
    }

    /// Replaces the manifest.
    pub fn save_manifest(&self, repository: &str, tag: &str, manifest: &str) -> String {
        let path = format!("{repository}/manifests/{tag}");
        self.state.lock().unwrap().manifests.insert(path, manifest.to_owned().into());
        format!("oci+http://{}/{repository}:{tag}", self.host)
    }
}

pub fn layer(bytes: &[u8], media_type: &str, title: Option<&str>) -> ImageLayer {
    let title = title.map(|it| ("org.opencontainers.image.title".to_owned(), it.to_owned()));
    ImageLayer::new(bytes.to_vec(), media_type.to_owned(), Some(title.into_iter().collect()))
}

#[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
fn serve(listener: TcpListener, router: axum::Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}

async fn answer(
    State(state): State<Arc<Mutex<Inner>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mut inner = state.lock().unwrap();
    let authorization = headers.get("authorization").map_or("", |it| it.to_str().unwrap());
    inner.asked.push((uri.path().to_owned(), authorization.to_owned()));
    if uri.path() == "/token" {
        // `ada:secret`
        return match authorization {
            "Basic YWRhOnNlY3JldA==" => reply(StatusCode::OK, r#"{"token": "t0ken"}"#),
            _ => reply(StatusCode::UNAUTHORIZED, "{}"),
        };
    }
    let realm = match &inner.fault {
        Fault::Private => Some(format!("http://{}/token", inner.host)),
        Fault::Realm(realm) => Some(realm.clone()),
        _ => None,
    };
    if let Some(realm) = realm.filter(|_| authorization != "Bearer t0ken") {
        let challenge = format!(r#"Bearer realm="{realm}",service="test""#);
        let refused = Response::builder().status(401).header("www-authenticate", challenge);
        return refused.body(Body::empty()).unwrap();
    }
    let path = uri.path().trim_start_matches("/v2/").to_owned();
    match method {
        Method::GET if path.is_empty() => reply(StatusCode::OK, "{}"),
        Method::POST => {
            let location = format!("/v2/{path}1");
            let accepted = Response::builder().status(202).header(LOCATION, location);
            accepted.body(Body::empty()).unwrap()
        }
        Method::PUT => {
            let stored = match uri.query() {
                Some(query) => {
                    let digest = query.trim_start_matches("digest=").replace("%3A", ":");
                    inner.blobs.insert(digest, body)
                }
                None => inner.manifests.insert(path.clone(), body),
            };
            drop(stored);
            let created = Response::builder().status(201).header(LOCATION, format!("/v2/{path}"));
            created.body(Body::empty()).unwrap()
        }
        Method::GET if path.contains("/manifests/") => manifest(&inner, &path),
        Method::GET => blob(&inner, path.rsplit('/').next().unwrap(), &uri),
        _ => reply(StatusCode::NOT_FOUND, ""),
    }
}

fn manifest(inner: &Inner, path: &str) -> Response<Body> {
    let Some(bytes) = inner.manifests.get(path) else {
        return reply(StatusCode::NOT_FOUND, "{}");
    };
    match inner.fault {
        Fault::OtherManifest => {
            let digest = format!("sha256:{}", ContentDigest::of(b"another"));
            let answer = Response::builder().header("docker-content-digest", digest);
            answer.body(Body::from(bytes.clone())).unwrap()
        }
        Fault::EndlessManifest => endless(),
        Fault::Page => page(),
        _ => Response::new(Body::from(bytes.clone())),
    }
}

fn blob(inner: &Inner, digest: &str, uri: &Uri) -> Response<Body> {
    let Some(bytes) = inner.blobs.get(digest) else { return reply(StatusCode::NOT_FOUND, "{}") };
    match &inner.fault {
        Fault::OtherBlob => {
            let mut other = bytes.to_vec();
            *other.last_mut().unwrap() ^= 1;
            Response::new(Body::from(other))
        }
        Fault::ShortBlob => Response::new(Body::from(bytes.slice(..bytes.len() - 1))),
        Fault::BrokenOff => {
            let part = bytes.slice(..bytes.len() / 2);
            let parts = stream::iter([Ok(part), Err(std::io::Error::other("broken off"))]);
            Response::new(Body::from_stream(parts))
        }
        Fault::EndlessBlob => endless(),
        Fault::Redirect(target) => redirect(target),
        Fault::Moved(host) => redirect(&format!("http://{host}{uri}")),
        _ => Response::new(Body::from(bytes.clone())),
    }
}

pub fn redirect(target: &str) -> Response<Body> {
    Response::builder().status(307).header(LOCATION, target).body(Body::empty()).unwrap()
}

pub fn page() -> Response<Body> {
    let page = Response::builder().header("content-type", "text/html; charset=utf-8");
    page.body(Body::from("<p>Log in</p>")).unwrap()
}

pub fn endless() -> Response<Body> {
    let part = Bytes::from(vec![b' '; 1024 * 1024]);
    let parts = stream::repeat_with(move || Ok::<_, std::io::Error>(part.clone()));
    Response::new(Body::from_stream(parts))
}

fn reply(status: StatusCode, body: &'static str) -> Response<Body> {
    Response::builder().status(status).body(Body::from(body)).unwrap()
}
