//! A browser at a server: it keeps cookies, and goes where it is sent.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{
        Request, Response, StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
};
use serde_json::Value;
use url::Url;

use crate::tests::harness::Server;

use super::issuer::Issuer;

#[derive(Clone, Default)]
pub struct Browser {
    pub cookies: BTreeMap<String, String>,
}

/// The cookie of a user who is logged in, without TLS.
pub const USER: &str = "kitfox_user";

impl Browser {
    /// A browser whose user, with these claims, is logged in.
    pub async fn signed_in(server: &Server, issuer: &Issuer, claims: &Value) -> Self {
        let mut browser = Self::default();
        let response = browser.sign_in(server, issuer, claims).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        browser
    }

    /// The whole way: there, agreed, and back.
    pub async fn sign_in(
        &mut self,
        server: &Server,
        issuer: &Issuer,
        claims: &Value,
    ) -> Response<Body> {
        let url = self.leave(server, "/auth/login").await;
        let back = issuer.agree(&url, claims);
        self.come_back(server, &back).await
    }

    /// Begins a login: where the server sends the browser.
    pub async fn leave(&mut self, server: &Server, path: &str) -> Url {
        let response = self.get(server, path).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{path}");
        Url::parse(response.headers()[LOCATION].to_str().unwrap()).unwrap()
    }

    pub async fn come_back(&mut self, server: &Server, back: &Url) -> Response<Body> {
        let path = format!("{}?{}", back.path(), back.query().unwrap_or_default());
        self.get(server, &path).await
    }

    pub async fn get(&mut self, server: &Server, path: &str) -> Response<Body> {
        self.send(server, Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&mut self, server: &Server, path: &str) -> Response<Body> {
        let request = Request::post(path).header("origin", "http://localhost:8000");
        self.send(server, request.body(Body::empty()).unwrap()).await
    }

    /// With its cookies, and taking those that the answer brings.
    pub async fn send(&mut self, server: &Server, mut request: Request<Body>) -> Response<Body> {
        let headers = request.headers_mut();
        headers.entry("host").or_insert("localhost:8000".parse().unwrap());
        if !self.cookies.is_empty() {
            let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
            let cookies = pairs.collect::<Vec<_>>().join("; ");
            headers.insert("cookie", cookies.parse().unwrap());
        }
        let response = server.send(request).await;
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("; Max-Age=0;") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }
}
