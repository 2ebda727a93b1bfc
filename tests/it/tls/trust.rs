//! TLS2 and TLS3: trust, and certificates that change.

use std::fs;

use wakeful::{ErrorCode, Operations, SetRequest};

use super::{Authority, Pair, Server, connect, refused, text};
use crate::support::{until, within, write_secret};

#[actix_rt::test]
async fn tls2_a_server_that_is_not_trusted_is_told_nothing() {
    let authority = Authority::new();
    let server = Server::start(&authority.server("127.0.0.1"), &[]);
    let other = Authority::new();
    for (tls, why) in [
        (other.trusted(), "not trusted here: give the CA with --tls-ca"),
        (
            wakeful::ClientTls { server_name: Some("db.example".into()), ..authority.trusted() },
            "not for db.example, but for",
        ),
    ] {
        let error = refused(server.addr, Some(tls)).await;
        assert_eq!(error.code, ErrorCode::TlsFailed, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
    let missing = wakeful::ClientTls {
        ca: Some(authority.dir.path().join("missing.pem")),
        ..wakeful::ClientTls::default()
    };
    let error = refused(server.addr, Some(missing)).await;
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
    let log = server.stop();
    assert!(log.contains("TLS handshake refused"), "{log}");

    let server = Server::start(&authority.expired("127.0.0.1"), &[]);
    let error = refused(server.addr, Some(authority.trusted())).await;
    assert_eq!(error.code, ErrorCode::TlsFailed, "{error}");
    assert!(error.message.contains("has expired"), "{error}");
    let log = server.stop();
    assert!(log.contains("the TLS certificate has expired"), "{log}");
}

#[actix_rt::test]
async fn tls2_the_certificate_of_a_ca_is_refused_with_what_to_make_instead() {
    let authority = Authority::new();
    let key = authority.dir.path().join("ca.key");
    write_secret(&key, authority.issuer.key().serialize_pem());
    let server = Server::start(&Pair { cert: authority.ca(), key: key.clone() }, &[]);
    server.process.said("the TLS certificate is that of a CA");
    let error = refused(server.addr, Some(authority.trusted())).await;
    assert_eq!(error.code, ErrorCode::TlsFailed, "{error}");
    assert!(error.message.contains("is that of a CA"), "{error}");
    assert!(error.message.contains("basicConstraints=critical,CA:FALSE"), "{error}");
    server.process.said("the client does not accept this server's certificate");

    // Another certificate causes no such message, until it is replaced by that of a CA.
    let pair = authority.server("127.0.0.1");
    let server = Server::start(&pair, &["--limit", "rpc.tls_check_interval=1h"]);
    connect(server.addr, Some(authority.trusted())).await.unwrap();
    fs::copy(authority.ca(), &pair.cert).unwrap();
    fs::copy(&key, &pair.key).unwrap();
    server.process.signal("HUP");
    let reloaded = server.process.said("TLS certificate");
    assert!(!reloaded.contains("that of a CA"), "{reloaded}");
    server.process.said("the TLS certificate is that of a CA");
    server.stop();
}

#[actix_rt::test]
async fn tls2_a_client_that_must_show_a_certificate_is_refused_without_a_trusted_one() {
    let authority = Authority::new();
    let pair = authority.server("127.0.0.1");
    let ca = authority.ca();
    let server = Server::start(&pair, &["--tls-client-ca", text(&ca)]);
    let ann = authority.client("ann");
    let good = connect(server.addr, Some(authority.trusted_with(&ann))).await.unwrap();
    within(good.set(SetRequest::new("a", "1"))).await.unwrap();
    let error = refused(server.addr, Some(authority.trusted())).await;
    assert_eq!(error.code, ErrorCode::TlsFailed, "{error}");
    assert!(error.message.contains("--tls-cert"), "{error}");
    let stranger = Authority::new();
    // A certificate for servers is not valid for clients.
    for wrong in [stranger.client("ann"), authority.expired("ann"), pair] {
        let error = refused(server.addr, Some(authority.trusted_with(&wrong))).await;
        assert_eq!(error.code, ErrorCode::TlsFailed, "{error}");
        assert!(error.message.contains("does not trust the client"), "{error}");
    }
    let files = ["--tls-cert", text(&ann.cert), "--tls-key", text(&ann.key)];
    let get = [&["--tls-ca", text(&ca)], &files[..], &["get", "a"]].concat();
    assert_eq!(server.run(&get).ok(), "1\n");
    let said = server.run(&["--tls-ca", text(&ca), "get", "a"]).fails(5);
    assert!(said.contains("--tls-key"), "{said}");
    // They do not hold up an open connection.
    within(good.get("a")).await.unwrap();
    let log = server.stop();
    for said in
        ["shows no certificate", "not from a CA in the file of --tls-client-ca", "has expired"]
    {
        assert!(log.contains(said), "{said}: {log}");
    }
}

#[actix_rt::test]
async fn tls3_a_new_certificate_is_shown_to_new_connections_while_old_ones_go_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let (pair, next) = (old.server("127.0.0.1"), new.server("127.0.0.1"));
    let server = Server::start(&pair, &["--limit", "rpc.tls_check_interval=20ms"]);
    let live = connect(server.addr, Some(old.trusted())).await.unwrap();
    within(live.set(SetRequest::new("a", "1"))).await.unwrap();
    assert!(connect(server.addr, Some(new.trusted())).await.is_err());

    fs::copy(&next.cert, &pair.cert).unwrap();
    fs::copy(&next.key, &pair.key).unwrap();
    until("the new certificate is shown", async || {
        connect(server.addr, Some(new.trusted())).await.is_ok()
    })
    .await;
    assert!(connect(server.addr, Some(old.trusted())).await.is_err());
    assert_eq!(within(live.get("a")).await.unwrap().kv.unwrap().value, "1");

    // Invalid files change nothing until they are valid again.
    fs::write(&pair.key, "rubbish").unwrap();
    let log = server.process.said("not reloaded");
    assert!(log.contains("server.key") && !log.contains("rubbish"), "{log}");
    assert!(connect(server.addr, Some(new.trusted())).await.is_ok());
    let elsewhere = Authority::new();
    let third = elsewhere.server("localhost");
    fs::copy(&third.key, &pair.key).unwrap();
    fs::copy(&third.cert, &pair.cert).unwrap();
    until("the third certificate is shown", async || {
        let named =
            wakeful::ClientTls { server_name: Some("localhost".into()), ..elsewhere.trusted() };
        connect(server.addr, Some(named)).await.is_ok()
    })
    .await;
    within(live.set(SetRequest::new("a", "2"))).await.unwrap();
    assert!(server.stop().contains("TLS certificates reloaded"));
}

#[actix_rt::test]
async fn o5_a_hangup_reads_certificates_again() {
    let (old, new) = (Authority::new(), Authority::new());
    let (pair, next) = (old.server("127.0.0.1"), new.server("127.0.0.1"));
    let server = Server::start(&pair, &["--limit", "rpc.tls_check_interval=1h"]);
    fs::copy(&next.cert, &pair.cert).unwrap();
    fs::copy(&next.key, &pair.key).unwrap();
    server.process.signal("HUP");
    server.process.said("the certificate at");
    connect(server.addr, Some(new.trusted())).await.unwrap();
    fs::write(&pair.key, "rubbish").unwrap();
    server.process.signal("HUP");
    let refused = server.process.said("reload refused");
    assert!(refused.contains("certificates") && refused.contains("server.key"), "{refused}");
    connect(server.addr, Some(new.trusted())).await.unwrap();
    server.stop();
}
