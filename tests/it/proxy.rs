//! The way to Twilio through a proxy that tunnels TLS.

use crate::client;
use crate::program::{ACCOUNT, TOKEN, WORKSPACE, program, text};
use crate::stories::patient;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use taskrouter_streams::call::step::Outcome;
use taskrouter_streams::twilio::client::{Arming, Client, ClientSettings, OutboundProxy};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use twilio_simulator::{Settings, Simulator};
use url::Url;

/// Set for the process that a test starts of itself, with an authority of its own: what it connects to.
const CHILD: &str = "TRS_TEST_PROXY_CHILD";

#[test]
fn it_carries_https_to_all_hosts_but_those_that_are_left_out() {
    let proxy =
        |direct: &'static [&'static str]| OutboundProxy::new("http://u:p@proxy.example:3128", direct.iter().copied());
    let carries = |direct, url: &str| proxy(direct).unwrap().carries(&Url::parse(url).unwrap());
    let api = "https://api.twilio.com/2010-04-01";
    assert!(carries(&[], api) && carries(&["", "twilio.org", "i.twilio.com", "10.0.0.0/8", "twilio"], api));
    assert!(!carries(&[], "http://127.0.0.1:4010/"), "a plain address could be passed on at any time");
    for direct in ["*", "twilio.com", ".twilio.com", "*.twilio.com", "API.twilio.com", "api.twilio.com:443"] {
        assert!(!OutboundProxy::new("proxy:1", [direct]).unwrap().carries(&Url::parse(api).unwrap()), "{direct}");
    }
    for (direct, url) in [
        ("127.0.0.1", "https://127.0.0.1:4010/"),
        ("127.0.0.0/8", "https://127.9.9.9/"),
        ("::1", "https://[::1]:4010/"),
        ("fc00::/7", "https://[fd00::1]/"),
    ] {
        assert!(!OutboundProxy::new("proxy:1", [direct]).unwrap().carries(&Url::parse(url).unwrap()), "{direct}");
    }
    let shown = format!("{0} {0:?}", proxy(&[]).unwrap());
    assert_eq!(shown, "http://proxy.example:3128 http://proxy.example:3128", "without its password");
    for wrong in ["socks5://proxy:1080", "http://", "", "http://proxy/path", "proxy:99999", "http://proxy?x"] {
        assert!(OutboundProxy::new(wrong, []).is_err(), "{wrong}");
    }
}

/// A proxy that tunnels, and what it was asked.
struct Tunnels {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

async fn tunnels() -> Tunnels {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (told, opened) = (asked.clone(), open.clone());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (told, opened) = (told.clone(), opened.clone());
            tokio::spawn(async move {
                let mut socket = BufReader::new(socket);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && socket.read_line(&mut head).await.unwrap_or(0) > 0 {}
                told.lock().unwrap().push(head.clone());
                let Some(target) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
                    return;
                };
                let Ok(mut server) = TcpStream::connect(target).await else { return };
                socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                opened.fetch_add(1, Ordering::SeqCst);
                let _ = copy_bidirectional(&mut socket, &mut server).await;
            });
        }
    });
    Tunnels { port, asked, open }
}

/// TLS in front of a plain server; the authority's file, and everything that was received.
async fn with_tls(folder: &TempDir, plain: String) -> (u16, PathBuf, Arc<Mutex<Vec<u8>>>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, certificate.pem()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Arc::new(Mutex::new(Vec::new()));
    let seen = received.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, plain, seen) = (acceptor.clone(), plain.clone(), seen.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(socket).await else { return };
                let server = TcpStream::connect(&plain).await.unwrap();
                let (mut from_client, mut to_client) = tokio::io::split(stream);
                let (mut from_server, mut to_server) = server.into_split();
                let asking = async {
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = tokio::io::AsyncReadExt::read(&mut from_client, &mut bytes).await {
                        seen.lock().unwrap().extend_from_slice(&bytes[..read]);
                        to_server.write_all(&bytes[..read]).await.unwrap();
                    }
                };
                let answering = tokio::io::copy(&mut from_server, &mut to_client);
                tokio::select! { () = asking => {}, _ = answering => {} }
            });
        }
    });
    (port, authority, received)
}

async fn simulator() -> Simulator {
    Simulator::start(Settings {
        config: patient(),
        account: ACCOUNT.parse().unwrap(),
        auth_token: secrecy::SecretString::from(TOKEN),
        api_key: None,
        workspace: WORKSPACE.parse().unwrap(),
    })
    .await
    .unwrap()
}

fn plain(sim: &Simulator) -> String {
    sim.api_base_url().trim_start_matches("http://").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_takes_the_route_of_the_environment_and_shows_it() {
    let (folder, sim, proxy) = (TempDir::new().unwrap(), simulator().await, tunnels().await);
    let (port, authority, _) = with_tls(&folder, plain(&sim)).await;
    let twilio = format!("https://127.0.0.1:{port}");
    let doctor = async |more: &[(&str, &str)]| {
        let mut command = program();
        command.arg("doctor").envs(crate::program::ENVIRONMENT).envs([
            ("TRS__TWILIO__API_BASE_URL", twilio.as_str()),
            ("TRS__TWILIO__TASKROUTER_BASE_URL", &twilio),
            ("SSL_CERT_FILE", authority.to_str().unwrap()),
        ]);
        command.env("TRS__JOURNAL__URL", format!("sqlite:{}", folder.path().join("journal.db").display()));
        command.envs(more.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        text(&output.stdout)
    };
    let address = format!("http://somebody:a-password@127.0.0.1:{}", proxy.port);
    let reached = "127.0.0.1 accepts the configured credentials";
    let said = doctor(&[("HTTPS_PROXY", &address)]).await;
    assert!(said.contains(reached), "{said}");
    let route = format!("127.0.0.1 through the proxy http://127.0.0.1:{}", proxy.port);
    assert!(said.contains(&route) && !said.contains("a-password"), "{said}");
    // Beside what doctor asks of the public URL.
    let asked_for_twilio = || {
        let asked = std::mem::take(&mut *proxy.asked.lock().unwrap());
        let of_twilio = asked.into_iter().filter(|head| head.starts_with(&format!("CONNECT 127.0.0.1:{port} ")));
        of_twilio.collect::<Vec<_>>()
    };
    let asked = asked_for_twilio();
    // Of "somebody:a-password".
    assert!(asked[0].contains("c29tZWJvZHk6YS1wYXNzd29yZA=="), "{asked:?}");
    for (more, expected) in [
        (&[("HTTPS_PROXY", address.as_str()), ("NO_PROXY", "localhost,127.0.0.1")][..], "is not used for them"),
        (&[("HTTPS_PROXY", &address), ("TRS__TWILIO__NO_PROXY", "*")], "is not used for them"),
        (&[("HTTPS_PROXY", &address), ("TRS__TWILIO__PROXY", "")], "directly, without a proxy"),
        (&[], "directly, without a proxy"),
    ] {
        let said = doctor(more).await;
        assert!(said.contains(reached) && said.contains(expected), "{said}");
        assert_eq!(asked_for_twilio(), Vec::<String>::new());
    }
    let said = doctor(&[("TRS__TWILIO__PROXY", "http://127.0.0.1:9")]).await;
    assert!(said.contains("could not connect to Twilio") && said.contains("twilio.proxy"), "{said}");
    sim.stop().await;
}

/// Whether it may still be sent is asked when the tunnel and TLS stand, and what may not be sent is never completed.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_handed_out_only_when_its_tunnel_stands() {
    if let Ok(addresses) = std::env::var(CHILD) {
        return commands_through(&addresses).await;
    }
    let (folder, sim, proxy) = (TempDir::new().unwrap(), simulator().await, tunnels().await);
    let (port, authority, received) = with_tls(&folder, plain(&sim)).await;
    let mut itself = Command::new(std::env::current_exe().unwrap());
    itself.args(["--exact", "proxy::a_command_is_handed_out_only_when_its_tunnel_stands"]);
    itself.env(CHILD, format!("https://127.0.0.1:{port} http://127.0.0.1:{}", proxy.port));
    itself.env("SSL_CERT_FILE", authority);
    let output = tokio::task::spawn_blocking(move || itself.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(proxy.open.load(Ordering::SeqCst), 2, "each over a tunnel of its own");
    let received = String::from_utf8(received.lock().unwrap().clone()).unwrap();
    assert_eq!(received.matches("Status=stopped").count(), 1, "only the one that might: {received}");
    sim.stop().await;
}

async fn commands_through(addresses: &str) {
    let (twilio, proxy) = addresses.split_once(' ').unwrap();
    let settings = ClientSettings {
        proxy: Some(OutboundProxy::new(proxy, []).unwrap()),
        connect_timeout: std::time::Duration::from_secs(10),
        request_timeout: std::time::Duration::from_secs(20),
        ..client::settings(twilio)
    };
    let stop = client::stop_named("Stream_1", None);
    let arming = |may: bool| {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        (asked, Arming::new(move || counted.fetch_add(1, Ordering::SeqCst) == 0 && may))
    };
    for may in [false, true] {
        let client = Client::new(settings.clone()).unwrap();
        let (asked, arming) = arming(may);
        let outcome = client.permit().await.perform(&stop, arming).await.outcome;
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{outcome:?}");
        let Outcome::TryLater(trouble) = &outcome else {
            assert!(may, "{outcome:?}");
            continue;
        };
        assert!(!may && trouble.reason.contains("could not be sent in time"), "{trouble:?}");
    }
}
