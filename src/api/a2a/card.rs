//! What agents and the fleet say of themselves (8): cards for everybody, and cards that say more to
//! those who show who they are.

use std::collections::HashMap;

use a2a::{
    AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentProvider, AgentSkill,
    ApiKeySecurityScheme, HttpAuthSecurityScheme, SecurityScheme,
};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ekho_storage::tables::agent_card;
use ekho_storage::tables::fleet::Fleet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ask::{Ask, Version};
use super::failure::Failure;
use super::signature::signed;
use super::v03;
use crate::api::App;
use crate::api::openapi::SIGNATURE;
use crate::clock::Iso;
use crate::ingress::signing::hash;
use crate::service::ServiceError;
use crate::service::cards::Carded;

/// Says that an agent is reached through a store: its caller need not wait for it to be awake.
const STORE_AND_FORWARD: &str = "urn:ekho:a2a:store-and-forward:v1";
/// Says more about an agent to those who may ask.
const DETAILS: &str = "urn:ekho:a2a:agent-details:v1";
/// How long a card holds.
pub const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// Media types that an agent takes and gives, where it does not say which.
const MODES: [&str; 2] = ["text/plain", "application/json"];
/// What a card says of times changes that seldom: cards are kept by those who fetch them.
const SEEN_STEP_MS: u64 = 60 * 1000;

pub fn router() -> Router<App> {
    Router::new()
        .route("/.well-known/agent-card.json", get(of_fleet))
        .route("/agents/{id}/.well-known/agent-card.json", get(of_agent))
}

/// The part of a card that is an agent's to say.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Own {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is good for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who provides it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<AgentProvider>,
    /// Where it is documented.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
    /// Its picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
    /// Media types that it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_input_modes: Option<Vec<String>>,
    /// Media types that it gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_output_modes: Option<Vec<String>>,
    /// What it can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skills: Option<Vec<AgentSkill>>,
}

impl Own {
    fn read(own: Option<&agent_card::AgentCard>) -> Own {
        // It was read when it was registered; what cannot be read any more says nothing.
        own.and_then(|own| serde_json::from_str(&own.card).ok())
            .unwrap_or_default()
    }
}

/// Media types that an agent said it takes, by its card or by one of its skills; none where it said
/// nothing of that.
pub fn input_modes(card: &str) -> Vec<String> {
    let own: Own = serde_json::from_str(card).unwrap_or_default();
    let mut modes = own.default_input_modes.unwrap_or_default();
    if modes.is_empty() {
        return modes;
    }
    let skills = own.skills.unwrap_or_default();
    modes.extend(
        skills
            .into_iter()
            .flat_map(|skill| skill.input_modes.unwrap_or_default()),
    );
    modes
}

async fn of_fleet(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let view = app.service.view();
    let fleet = app.service.shown_fleet(&view)?;
    let agents = app.service.all_carded(&view, &fleet, None)?;
    let changed_ms = agents.iter().map(changed_ms).max().unwrap_or(0);
    let card = signed(&app, &fleet, fleet_card(&app, &fleet, &agents))?;
    serve(&uri, &headers, &card, changed_ms.max(fleet.created_ms))
}

async fn of_agent(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let view = app.service.view();
    let (carded, fleet) = app.service.carded(&view, &id)?;
    let card = signed(&app, &fleet, agent_card(&app, &fleet, &carded))?;
    serve(&uri, &headers, &card, changed_ms(&carded))
}

/// The card that says more (3.1.11), of the agent that is named or of the caller's fleet.
pub async fn extended(ask: &Ask, tenant: Option<&str>) -> Result<AgentCard, Failure> {
    let ask = &ask.with_tenant(tenant)?;
    let (app, service) = (&ask.app, &ask.app.service);
    let view = service.task_view(&ask.by).await?;
    let own = service.fleet_of(&view, &ask.by)?;
    let card = match ask.tenant.rsplit('/').next().unwrap_or_default() {
        "" => {
            let agents = service.all_carded(&view, &own, Some(ask.by.agent()))?;
            let mut card = fleet_card(app, &own, &agents);
            let more: Vec<Value> = agents.iter().map(details).collect();
            add_details(&mut card, json!({ "agents": more }));
            card
        }
        agent_id => {
            // Who may not reach it sees no more than everybody.
            service.asked(&ask.by, agent_id).await?;
            let (carded, _) = service.carded(&view, agent_id)?;
            let mut card = agent_card(app, &own, &carded);
            add_details(&mut card, details(&carded));
            card
        }
    };
    signed(app, &own, card)
}

fn details(carded: &Carded) -> Value {
    let agent = &carded.agent;
    json!({
        "agentId": agent.id,
        "status": agent.status(&carded.live).as_str(),
        "runtime": agent.runtime,
        "capabilities": agent.capabilities,
        "labels": agent.labels,
        "waitingMessages": carded.waiting,
        "lastSeenAt": seen(carded).map(Iso),
    })
}

fn add_details(card: &mut AgentCard, params: Value) {
    let extensions = card.capabilities.extensions.get_or_insert_default();
    extensions.push(AgentExtension {
        uri: DETAILS.into(),
        description: Some("How the agent is, for those who may ask it.".into()),
        required: Some(false),
        params: map(params),
    });
}

fn map(value: Value) -> Option<HashMap<String, Value>> {
    match value {
        Value::Object(map) => Some(map.into_iter().collect()),
        _ => None,
    }
}

/// When the agent was last heard, to the minute.
fn seen(carded: &Carded) -> Option<u64> {
    let seen_ms = carded.live.last_seen_ms;
    (seen_ms > 0).then_some(seen_ms - seen_ms % SEEN_STEP_MS)
}

fn changed_ms(carded: &Carded) -> u64 {
    let own_ms = carded.own.as_ref().map_or(0, |own| own.updated_ms);
    let seen_ms = seen(carded).unwrap_or(0);
    carded.agent.created_ms.max(own_ms).max(seen_ms)
}

fn agent_card(app: &App, fleet: &Fleet, carded: &Carded) -> AgentCard {
    let agent = &carded.agent;
    let own = Own::read(carded.own.as_ref());
    let base = format!("{}/agents/{}/a2a", app.service.base_url, agent.id);
    let mut card = bare(app, fleet, &base, Some(&agent.id));
    let modes = || MODES.map(String::from).to_vec();
    card.name = own.name.unwrap_or_else(|| agent.display_name.clone());
    card.description = own.description.unwrap_or_else(|| {
        format!(
            "{}, an agent of the fleet {} that runs on {}.",
            agent.display_name, fleet.name, agent.runtime
        )
    });
    card.version = own.version.unwrap_or_else(|| "1.0.0".into());
    card.default_input_modes = own.default_input_modes.unwrap_or_else(modes);
    card.default_output_modes = own.default_output_modes.unwrap_or_else(modes);
    card.documentation_url = own.documentation_url;
    card.icon_url = own.icon_url;
    card.provider = own.provider.or(card.provider);
    card.skills = own.skills.unwrap_or_else(|| default_skills(carded));
    card.capabilities.extensions = Some(vec![AgentExtension {
        uri: STORE_AND_FORWARD.into(),
        description: Some(
            "Messages are kept until the agent takes them, for an hour at most: it need not be \
             awake when it is asked."
                .into(),
        ),
        required: Some(false),
        params: seen(carded).and_then(|at_ms| map(json!({ "lastSeenAt": Iso(at_ms) }))),
    }]);
    card
}

/// What an agent can do that did not say so in the words of the protocol.
fn default_skills(carded: &Carded) -> Vec<AgentSkill> {
    let agent = &carded.agent;
    let skill = |id: &str, name: &str, description: String| AgentSkill {
        id: id.into(),
        name: name.into(),
        description,
        tags: vec![agent.runtime.clone()],
        examples: None,
        input_modes: None,
        output_modes: None,
        security_requirements: None,
    };
    if agent.capabilities.is_empty() {
        let text = format!("Takes messages for {}.", agent.display_name);
        return vec![skill("message", "Messages", text)];
    }
    let capabilities = agent.capabilities.iter();
    capabilities
        .map(|capability| {
            let text = format!("{} says that it can {capability}.", agent.display_name);
            skill(capability, capability, text)
        })
        .collect()
}

fn fleet_card(app: &App, fleet: &Fleet, agents: &[Carded]) -> AgentCard {
    let base = format!("{}/a2a", app.service.base_url);
    let mut card = bare(app, fleet, &base, None);
    card.name.clone_from(&fleet.name);
    card.description = format!(
        "The agents of the fleet {}, one skill each: name one by its skill's id as the tenant. \
         They are reached through a store, and need not be awake.",
        fleet.name
    );
    card.version = env!("CARGO_PKG_VERSION").into();
    card.skills = agents
        .iter()
        .map(|carded| {
            let own = Own::read(carded.own.as_ref());
            let agent = &carded.agent;
            let tags = std::iter::once(agent.runtime.clone());
            AgentSkill {
                id: agent.id.clone(),
                name: own.name.unwrap_or_else(|| agent.display_name.clone()),
                description: own
                    .description
                    .unwrap_or_else(|| format!("Takes messages for {}.", agent.display_name)),
                tags: tags.chain(agent.capabilities.iter().cloned()).collect(),
                examples: None,
                input_modes: own.default_input_modes,
                output_modes: own.default_output_modes,
                security_requirements: None,
            }
        })
        .collect();
    card
}

/// Where gRPC is: host and port, without a scheme, which gRPC's own libraries take for the way to
/// resolve the name. Whether there is TLS, the client finds in the other addresses.
fn grpc_target(base_url: &str) -> String {
    let (default_port, rest) = match base_url.strip_prefix("https://") {
        Some(rest) => (443, rest),
        None => (80, base_url.trim_start_matches("http://")),
    };
    let host = rest.split('/').next().unwrap_or(rest);
    // An address of IPv6 stands in brackets, which end it.
    match host.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => host.into(),
        _ => format!("{host}:{default_port}"),
    }
}

/// What all cards have in common. Over gRPC, which has one address, the tenant names the agent.
fn bare(app: &App, fleet: &Fleet, base: &str, tenant: Option<&str>) -> AgentCard {
    let interface = |url: String, binding: &str, version: &str| AgentInterface {
        protocol_version: version.into(),
        ..AgentInterface::new(url, binding)
    };
    let mut schemes = HashMap::new();
    schemes.insert(
        "bearer".to_string(),
        SecurityScheme::HttpAuth(HttpAuthSecurityScheme {
            scheme: "Bearer".into(),
            description: Some("A token that an operator of the fleet gave to the client.".into()),
            bearer_format: None,
        }),
    );
    for (name, header, description) in SIGNATURE {
        schemes.insert(
            name.to_string(),
            SecurityScheme::ApiKey(ApiKeySecurityScheme {
                location: "header".into(),
                name: header.into(),
                description: Some(description.into()),
            }),
        );
    }
    let all_of = |names: &[&str]| -> HashMap<String, Vec<String>> {
        names
            .iter()
            .map(|name| ((*name).to_string(), Vec::new()))
            .collect()
    };
    let signature = SIGNATURE.map(|(name, ..)| name);
    AgentCard {
        name: String::new(),
        description: String::new(),
        version: String::new(),
        supported_interfaces: vec![
            interface(base.into(), a2a::TRANSPORT_PROTOCOL_JSONRPC, "1.0"),
            interface(
                format!("{base}/v1"),
                a2a::TRANSPORT_PROTOCOL_HTTP_JSON,
                "1.0",
            ),
            AgentInterface {
                tenant: tenant.map(String::from),
                ..interface(
                    grpc_target(&app.service.base_url),
                    a2a::TRANSPORT_PROTOCOL_GRPC,
                    "1.0",
                )
            },
            interface(base.into(), a2a::TRANSPORT_PROTOCOL_JSONRPC, "0.3"),
        ],
        capabilities: AgentCapabilities {
            streaming: Some(true),
            push_notifications: Some(true),
            extensions: None,
            extended_agent_card: Some(true),
        },
        default_input_modes: MODES.map(String::from).to_vec(),
        default_output_modes: MODES.map(String::from).to_vec(),
        skills: Vec::new(),
        provider: Some(AgentProvider {
            organization: fleet.name.clone(),
            url: app.service.base_url.clone(),
        }),
        documentation_url: None,
        icon_url: None,
        security_schemes: Some(schemes),
        security_requirements: Some(vec![all_of(&["bearer"]), all_of(&signature)]),
        signatures: None,
    }
}

/// A card with what caches need to know of it (8.6).
fn serve(
    uri: &Uri,
    headers: &HeaderMap,
    card: &AgentCard,
    changed_ms: u64,
) -> Result<Response, Failure> {
    let internal = |error: serde_json::Error| ServiceError::Internal(error.to_string());
    // Who names no version gets the newest: those who look at a card do not know yet what there is.
    let names_old = headers.contains_key("a2a-version") || uri.query().is_some();
    let value = match names_old && Version::of(headers, uri)? == Version::V03 {
        true => v03::card(card),
        false => serde_json::to_value(card).map_err(internal)?,
    };
    let text = serde_json::to_string(&value).map_err(internal)?;
    let tag = format!("\"{}\"", BASE64.encode(&hash(text.as_bytes())[..18]));
    let known = headers.get(header::IF_NONE_MATCH);
    let known = known.and_then(|known| known.to_str().ok()).unwrap_or("");
    let is_known = known.split(',').any(|one| {
        let one = one.trim();
        one == "*" || one.trim_start_matches("W/") == tag
    });
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => {
            let kind = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
    };
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(changed_ms);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, CACHE);
    headers.insert(header::VARY, HeaderValue::from_static("a2a-version"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    if let Ok(at) = HeaderValue::from_str(&httpdate::fmt_http_date(at)) {
        headers.insert(header::LAST_MODIFIED, at);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::grpc_target;

    #[test]
    fn grpc_is_found_by_host_and_port() {
        for (base_url, target) in [
            ("http://127.0.0.1:4000", "127.0.0.1:4000"),
            ("http://relay.test", "relay.test:80"),
            ("https://relay.example.org", "relay.example.org:443"),
            ("https://relay.example.org/ekho", "relay.example.org:443"),
            ("https://[::1]:8443", "[::1]:8443"),
            ("https://[::1]", "[::1]:443"),
        ] {
            assert_eq!(grpc_target(base_url), target, "{base_url}");
        }
    }
}
