//! Who a request comes from, as far as the network says: an address, perhaps a person.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::code::Code;
use super::{ApiError, App};
use crate::service::ServiceError;

/// Where a request comes from.
pub struct Client {
    /// The client's address; behind trusted proxies, the one that they name.
    pub address: IpAddr,
    /// The person whom the tailnet names, where they count.
    pub tailnet_login: Option<String>,
}

impl Client {
    fn of(app: &App, extensions: &Extensions, headers: &HeaderMap) -> Result<Self, ApiError> {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let Some(ConnectInfo(peer)) = peer else {
            let why = "a request without its connection's address";
            return Err(ServiceError::Internal(why.into()).into());
        };
        let users = &app.tailnet.users;
        let login = app.proxies.tailnet_login(peer.ip(), headers);
        Ok(Client {
            address: app.proxies.client(peer.ip(), headers),
            tailnet_login: login.filter(|login| users.is_empty() || users.contains(login)),
        })
    }
}

impl FromRequestParts<App> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        Client::of(app, &parts.extensions, &parts.headers)
    }
}

/// The answer to who does not come from the tailnet, or not as somebody who counts.
pub fn tailnet_required() -> ApiError {
    ApiError::new(
        Code::TailnetRequired,
        "this takes a request from the tailnet, by somebody who is let in",
    )
}

/// Around the operator API: where it is for the tailnet only, nobody else gets an answer.
pub async fn require_tailnet(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let is_operators = route.is_some_and(|route| route.as_str().starts_with("/v1/operator/"));
    if is_operators && app.tailnet.is_required {
        match Client::of(&app, request.extensions(), request.headers()) {
            Ok(client) if client.tailnet_login.is_some() => {}
            Ok(_) => return tailnet_required().into_response(),
            Err(error) => return error.into_response(),
        }
    }
    next.run(request).await
}
