//! As much of a browser as a sign-in takes: cookies, redirects, and forms that are sent off.

use std::collections::BTreeMap;

use bytes::Bytes;
use reqwest::Url;

use super::provider::new_login;
use crate::support::{Answer, Http};

/// Redirects and forms of one sign-in.
const STEPS_MAX: usize = 30;

/// A browser with its cookies. They are kept by origin, so that the relay and the provider on one
/// machine are the strangers that they are elsewhere.
#[derive(Clone, Default)]
pub struct Browser {
    cookies: BTreeMap<(String, String), (String, String)>,
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl Browser {
    /// The cookie of this name that the relay set.
    pub fn cookie(&self, relay: &str, name: &str) -> Option<String> {
        let key = (relay.to_string(), name.to_string());
        self.cookies.get(&key).map(|(value, _)| value.clone())
    }

    /// Puts a cookie in, for the whole of an origin.
    pub fn set_cookie(&mut self, origin: &str, name: &str, value: &str) {
        let key = (origin.to_string(), name.to_string());
        self.cookies.insert(key, (value.into(), "/".into()));
    }

    /// One request, no redirect followed.
    pub async fn visit(&mut self, url: &Url, form: Option<String>) -> Answer {
        let sent: Vec<String> = self
            .cookies
            .iter()
            .filter(|((at, _), (_, path))| *at == origin(url) && url.path().starts_with(path))
            .map(|((_, name), (value, _))| format!("{name}={value}"))
            .collect();
        let mut headers = vec![("user-agent".to_string(), "test browser".to_string())];
        if !sent.is_empty() {
            headers.push(("cookie".into(), sent.join("; ")));
        }
        let method = if form.is_some() { "POST" } else { "GET" };
        if form.is_some() {
            let kind = "application/x-www-form-urlencoded".to_string();
            headers.push(("content-type".into(), kind));
        }
        let body = Bytes::from(form.unwrap_or_default());
        let mut plain = url.clone();
        plain.set_fragment(None);
        let answer = Http::new()
            .send(method, plain.as_str(), &headers, body)
            .await;
        for header in answer.headers.get_all("set-cookie") {
            self.keep(&origin(url), header.to_str().expect("a cookie"));
        }
        answer
    }

    fn keep(&mut self, origin: &str, header: &str) {
        let mut parts = header.split(';').map(str::trim);
        let (name, value) = parts
            .next()
            .and_then(|pair| pair.split_once('='))
            .expect("a cookie");
        let mut path = "/".to_string();
        let mut is_over = value.is_empty();
        for attribute in parts {
            match attribute.to_ascii_lowercase().as_str() {
                "max-age=0" => is_over = true,
                other if other.starts_with("path=") => path = attribute["path=".len()..].into(),
                _ => {}
            }
        }
        let key = (origin.to_string(), name.to_string());
        if is_over {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, (value.into(), path));
        }
    }

    /// Begins at the relay, signs in as `login` at the provider, and stops at the address that the
    /// provider sends the browser back to.
    pub async fn back_from_provider(&mut self, relay: &str, query: &str, login: &str) -> Url {
        let start = format!("{relay}/v1/operator/oidc/login{query}");
        let mut url: Url = start.parse().expect("a URL");
        let mut form = None;
        for _ in 0..STEPS_MAX {
            if url.path() == "/v1/operator/oidc/callback" {
                return url;
            }
            let answer = self.visit(&url, form.take()).await;
            if let Some(location) = answer.headers.get("location") {
                let location = location.to_str().expect("a location");
                url = url.join(location).expect("a location");
                continue;
            }
            assert_eq!(answer.status, 200, "{url}: {}", answer.text());
            let page = answer.text();
            let attribute = |before: &str| {
                let from = page.find(before).map(|at| at + before.len());
                let rest = from.map(|from| &page[from..]);
                let found = rest.and_then(|rest| rest.split('"').next());
                found.unwrap_or_else(|| panic!("no {before} in {page}"))
            };
            let action = attribute("action=\"");
            let prompt = attribute("name=\"prompt\" value=\"");
            form = Some(format!(
                "prompt={prompt}&login={}&password=any",
                login.replace('@', "%40")
            ));
            url = url.join(action).expect("a form's address");
        }
        panic!("the sign-in does not come to an end: {url}");
    }

    /// A whole sign-in; the relay's last answer.
    pub async fn sign_in(&mut self, relay: &str, query: &str, login: &str) -> Answer {
        let back = self.back_from_provider(relay, query, login).await;
        self.visit(&back, None).await
    }

    /// What the relay tells whoever the session cookie stands for.
    pub async fn me(&mut self, relay: &str) -> Answer {
        let url = format!("{relay}/v1/operator/me");
        self.visit(&url.parse().expect("a URL"), None).await
    }
}

/// An address with one parameter of its query changed.
pub fn with_parameter(url: &Url, name: &str, value: Option<&str>) -> Url {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let mut changed = url.clone();
    changed.query_pairs_mut().clear();
    for (known, old) in &pairs {
        match (known == name, value) {
            (true, None) => {}
            (true, Some(new)) => {
                changed.query_pairs_mut().append_pair(known, new);
            }
            (false, _) => {
                changed.query_pairs_mut().append_pair(known, old);
            }
        }
    }
    if let Some(value) = value.filter(|_| pairs.iter().all(|(known, _)| known != name)) {
        changed.query_pairs_mut().append_pair(name, value);
    }
    changed
}

/// Somebody else's browser that has begun a sign-in.
pub async fn another(relay: &str) -> (Browser, Url) {
    let mut browser = Browser::default();
    let back = browser.back_from_provider(relay, "", &new_login()).await;
    (browser, back)
}
