//! A relay in the process of the test, with an extension of its own

use std::sync::Arc;

use ekho::config::{Config, Flags};
use ekho::extension::{
    Answer, Call, Decision, Extension, Failure, HookEvent, Message, NewFleet, OnFailure,
};
use ekho::metrics::Metrics;
use ekho::relay::{OpenError, Relay};
use ekho::secrets::Secrets;
use ekho::service::operators::SetUp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::support::{DEADLINE, Http, Operator, direct, poll_until};

/// Blocks, tags, counts, panics: whatever the text asks for.
#[derive(Default)]
struct Guard {
    told: Mutex<Vec<String>>,
}

impl Extension for Guard {
    fn name(&self) -> &str {
        "guard"
    }

    fn on_failure(&self) -> OnFailure {
        OnFailure::Closed
    }

    fn on_before_message<'a>(
        &'a self,
        _call: &'a Call,
        message: &'a Message,
    ) -> Answer<'a, Decision> {
        Box::pin(async move {
            let body: Value = serde_json::from_str(message.body.get()).unwrap_or_default();
            match body["text"].as_str() {
                Some("bad") => Ok(Decision::block("bad text")),
                Some("fail") => Err(Failure::Failed("out of order".into())),
                Some("panic") => panic!("the text asks for it"),
                _ => Ok(Decision::allow().with_tag("guarded")),
            }
        })
    }

    fn on_after_message<'a>(&'a self, _call: &'a Call, message: &'a Message) -> Answer<'a, ()> {
        Box::pin(async move {
            self.told.lock().push(message.body.get().to_string());
            Ok(())
        })
    }

    fn on_fleet_created<'a>(&'a self, call: &'a Call, fleet: &'a NewFleet) -> Answer<'a, ()> {
        Box::pin(async move {
            assert_eq!(call.fleet_id, fleet.id);
            let name = fleet.name.clone().unwrap_or_default();
            self.told.lock().push(format!("fleet {name}"));
            Ok(())
        })
    }

    fn on_overview<'a>(&'a self, _call: &'a Call) -> Answer<'a, Value> {
        Box::pin(async move { Ok(json!({ "told": self.told.lock().len() })) })
    }
}

/// Does nothing but have a name.
struct Named(&'static str);

impl Extension for Named {
    fn name(&self) -> &str {
        self.0
    }

    fn wants(&self, _event: HookEvent) -> bool {
        false
    }
}

async fn open(
    dir: &std::path::Path,
    extensions: Vec<Arc<dyn Extension>>,
) -> Result<(Relay, Config), OpenError> {
    let flags = Flags {
        data_dir: Some(dir.to_path_buf()),
        port: Some(0),
        ..Flags::default()
    };
    let config = Config::load(&flags).expect("a configuration");
    let secrets = Secrets {
        master: Zeroizing::new("a master secret of a test".into()),
        next_master: None,
        session: Zeroizing::new("a session secret of a test".into()),
    };
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let relay = Relay::open_with(&config, &secrets, metrics, extensions).await?;
    Ok((relay, config))
}

/// Serves a relay on a free port; where it is, and what to end in the end.
async fn serve(relay: &Relay, config: &Config) -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = relay
        .router(config)
        .into_make_service_with_connect_info::<std::net::SocketAddr>();
    let serving = tokio::spawn(async move {
        axum::serve(listener, router).await.expect("a listener");
    });
    (url, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_is_asked_and_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let guard = Arc::new(Guard::default());
    let (relay, config) = open(dir.path(), vec![guard.clone()])
        .await
        .expect("a relay");
    let set_up = SetUp {
        fleet_name: "own".into(),
        email: "owner@example.org".into(),
        password: Zeroizing::new("correct-horse".into()),
        settings: config.settings.clone(),
    };
    let (fleet_id, _) = relay.set_up(set_up).await.expect("a fleet");
    let (relay_url, serving) = serve(&relay, &config).await;
    let http = Http::new();
    let login = json!({
        "fleet_name": "own", "email": "owner@example.org", "password": "correct-horse",
    });
    let signed_in = http
        .post(&format!("{relay_url}/v1/operator/login"), &login)
        .await
        .ok();
    let operator = Operator {
        token: signed_in["token"].as_str().expect("a token").into(),
        fleet_id,
        relay_url,
        http,
    };
    let mut writer = operator.enrol("writer").await;
    let reviewer = operator.enrol("reviewer").await;

    writer.send(&direct(&reviewer.id, "good")).await;
    assert_eq!(reviewer.inbox().await[0]["tags"], json!(["guarded"]));
    let blocked = writer
        .post("/v1/messages", &direct(&reviewer.id, "bad"))
        .await;
    let said = "blocked by extension guard: bad text";
    blocked.refused(403, said, "blocked_by_extension");
    for text in ["fail", "panic"] {
        let refused = writer
            .post("/v1/messages", &direct(&reviewer.id, text))
            .await;
        let said = "blocked by extension guard: unavailable";
        refused.refused(503, said, "extension_unavailable");
    }
    let expected = ["fleet own".to_string(), r#"{"text":"good"}"#.to_string()];
    poll_until(DEADLINE, "everything told", async || {
        (*guard.told.lock() == expected).then_some(())
    })
    .await;
    let overview = operator.get("/v1/operator/overview").await.ok();
    assert_eq!(overview["extensions"], json!({ "guard": { "told": 2 } }));
    serving.abort();
    relay.shutdown().await;

    // It goes on where it was: what it was told is not told again.
    let again = Arc::new(Guard::default());
    let extensions: Vec<Arc<dyn Extension>> = vec![again.clone(), Arc::new(Named("silent"))];
    drop(relay);
    let (relay, config) = poll_until(DEADLINE, "the old one's end", async || {
        match open(dir.path(), extensions.clone()).await {
            Ok(opened) => Some(opened),
            Err(error) => {
                assert!(error.to_string().contains("lock hold"), "{error}");
                None
            }
        }
    })
    .await;
    let (url, serving) = serve(&relay, &config).await;
    writer.relay_url = url;
    writer.send(&direct(&reviewer.id, "again")).await;
    poll_until(DEADLINE, "the new one told", async || {
        again.told.lock().first().cloned()
    })
    .await;
    let expected = [r#"{"text":"again"}"#.to_string()];
    assert_eq!(*again.told.lock(), expected);
    serving.abort();
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_need_names_to_tell_them_apart() {
    for names in [vec!["Two Words"], vec![""], vec!["same", "same"]] {
        let dir = tempfile::tempdir().expect("a directory");
        let extensions = names
            .iter()
            .map(|name| Arc::new(Named(name)) as Arc<dyn Extension>);
        let opened = open(dir.path(), extensions.collect()).await;
        let refused = opened.err().map(|error| error.to_string());
        assert!(
            refused.is_some_and(|text| text.starts_with("extension ")),
            "{names:?}"
        );
    }
}
