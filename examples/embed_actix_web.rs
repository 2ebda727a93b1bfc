//! A web application with long polling on top of a Wakeful in the same process.
//!
//! ```sh
//! cargo run --example embed_actix_web -- 127.0.0.1:8080 127.0.0.1:7117
//! ```
//!
//! prints `http://127.0.0.1:8080, and Wakeful's own protocol at 127.0.0.1:7117`. Both addresses
//! are optional; these are the defaults. Then, in other shells:
//!
//! ```sh
//! curl -i 'http://127.0.0.1:8080/wait/greeting?timeout_ms=20000'
//! curl -X PUT --data hello http://127.0.0.1:8080/keys/greeting
//! curl http://127.0.0.1:8080/keys/greeting
//! wakeful watch greeting
//! ```
//!
//! A wait answers 200 with the change, or 304 after the timeout. Both carry the header
//! `Wakeful-Revision`: pass its value as `?after=` in the next wait, and no change is missed. Ctrl-C stops
//! everything.
#![expect(clippy::print_stdout, reason = "it is what the example shows")]

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer, ResponseError, get, put, rt};
use serde::{Deserialize, Serialize};
use wakeful::{
    Config, ErrorCode, EventKind, KeyRange, KeyValue, Operations, Revision, SetRequest,
    WaitCondition, WaitOutcome, WaitRequest, Wakeful,
};

/// The header of every answer with the revision for the next wait.
const REVISION: &str = "Wakeful-Revision";

/// Maximum timeout of a wait, shorter than the request timeout of most proxies and browsers.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let http = arguments.next().unwrap_or("127.0.0.1:8080".into());
    let tcp = arguments.next().unwrap_or("127.0.0.1:7117".into());

    let mut config = Config::new();
    config.rpc.shutdown_grace = Duration::from_secs(5);
    // The actors run here, on the main arbiter; the handlers on the threads of the web server.
    let wakeful = Wakeful::start(config)?;
    let tcp = wakeful.listen(tcp).await?;
    let shared = Data::new(wakeful.clone());
    let server = HttpServer::new(move || App::new().app_data(shared.clone()).configure(routes))
        // A client that disconnects ends its wait. Otherwise actix-http takes the closed connection for
        // one of which only the sending side is closed.
        .h1_allow_half_closed(false)
        .disable_signals()
        .shutdown_timeout(5)
        .bind(http)?;
    for addr in server.addrs() {
        println!("http://{addr}, and Wakeful's own protocol at {tcp}");
    }
    let server = server.run();
    let http = server.handle();
    rt::spawn(async move {
        if let Err(error) = until_told().await {
            eprintln!("no signals: {error}");
            return;
        }
        // First Wakeful, which answers every wait, so that the web server has none to wait for.
        wakeful.stop().await;
        http.stop(true).await;
    });
    server.await?;
    println!("stopped");
    Ok(())
}

fn routes(config: &mut ServiceConfig) {
    config.service(get_key).service(put_key).service(wait_key);
}

#[derive(Serialize)]
struct Key {
    key: String,
    value: String,
    revision: Revision,
}

#[derive(Serialize)]
struct Change {
    r#type: &'static str,
    #[serde(flatten)]
    kv: Key,
}

#[derive(Deserialize)]
struct Wait {
    after: Option<Revision>,
    timeout_ms: Option<u64>,
}

#[get("/keys/{key}")]
async fn get_key(wakeful: Data<Wakeful>, key: Path<String>) -> Result<HttpResponse, Refusal> {
    let reply = wakeful.get(key.as_str()).await?;
    Ok(match reply.kv {
        Some(kv) => {
            HttpResponse::Ok().insert_header((REVISION, reply.revision)).json(Key::from(&*kv))
        }
        None => HttpResponse::NotFound().insert_header((REVISION, reply.revision)).finish(),
    })
}

#[put("/keys/{key}")]
async fn put_key(
    wakeful: Data<Wakeful>,
    key: Path<String>,
    value: Bytes,
) -> Result<HttpResponse, Refusal> {
    let reply = wakeful.set(SetRequest::new(key.as_str(), &value[..])).await?;
    Ok(HttpResponse::NoContent().insert_header((REVISION, reply.revision)).finish())
}

/// Waits for a change of a key. The web server drops the future, and with it the wait, when its client
/// disconnects (`h1_allow_half_closed`); if the client vanishes without closing the connection, the wait
/// lasts until its timeout.
#[get("/wait/{key}")]
async fn wait_key(
    wakeful: Data<Wakeful>,
    key: Path<String>,
    wait: Query<Wait>,
) -> Result<HttpResponse, Refusal> {
    let asked = wait.timeout_ms.map_or(TIMEOUT_MAX, Duration::from_millis);
    let outcome = wakeful
        .wait(WaitRequest {
            range: KeyRange::key(key.as_str()),
            condition: WaitCondition::Changed,
            after: wait.after,
            timeout: Some(asked.min(TIMEOUT_MAX)),
        })
        .await?;
    Ok(match outcome {
        WaitOutcome::Met { revision, event } => {
            HttpResponse::Ok().insert_header((REVISION, revision)).json(event.map(|event| Change {
                r#type: match event.kind() {
                    EventKind::Put => "put",
                    EventKind::Delete => "delete",
                },
                kv: Key::from(&*event.kv),
            }))
        }
        WaitOutcome::Timeout { revision } => {
            HttpResponse::NotModified().insert_header((REVISION, revision)).finish()
        }
    })
}

impl From<&KeyValue> for Key {
    fn from(kv: &KeyValue) -> Self {
        let value = String::from_utf8_lossy(&kv.value).into_owned();
        Self { key: kv.key.to_string(), value, revision: kv.mod_revision }
    }
}

/// A [`wakeful::Error`] as an HTTP answer.
#[derive(Debug)]
struct Refusal(wakeful::Error);

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self.0.code {
            ErrorCode::InvalidArgument | ErrorCode::FutureRevision => StatusCode::BAD_REQUEST,
            // The missed changes are gone: the client must read the key, and wait after its revision.
            ErrorCode::Compacted => StatusCode::GONE,
            ErrorCode::LimitExceeded => StatusCode::INSUFFICIENT_STORAGE,
            ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<wakeful::Error> for Refusal {
    fn from(error: wakeful::Error) -> Self {
        Self(error)
    }
}

/// Waits for Ctrl-C, or SIGTERM.
async fn until_told() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
