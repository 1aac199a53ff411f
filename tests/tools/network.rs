//! The places that a tool may speak to, and only those.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fullsend::contracts::messages::ErrorCode;
use fullsend::tools::manifest::HostPort;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::rig::Rig;

/// A server that answers each request with `hello`, and counts them.
async fn server() -> (HostPort, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = HostPort { host: "localhost".to_owned(), port: listener.local_addr().unwrap().port() };
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut asked = vec![0; 65_536];
                let length = stream.read(&mut asked).await.unwrap();
                let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nX-Length: {length}\r\n\r\nhello");
                stream.write_all(answer.as_bytes()).await.ok();
            });
        }
    });
    (place, count)
}

const FETCH: &str =
    "import urllib.request\nsay(result=urllib.request.urlopen(params['url'], timeout=10).read().decode())";
const BY_PARAMETER: &str = "network_params = [\"url\"]\n[inputs.properties]\nurl = { type = \"string\" }";

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_named_is_reached_through_the_runner() {
    let (place, count) = server().await;
    let mut rig = Rig::allowing(&place);
    let url = format!("http://{place}/");
    rig.python(&format!("network = [\"{place}\"]"), FETCH);
    assert_eq!(rig.gives(json!({ "url": url })).await, json!("hello"));
    rig.python(BY_PARAMETER, FETCH);
    assert_eq!(rig.gives(json!({ "url": url })).await, json!("hello"));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_this_machine_is_reached_where_it_is_allowed() {
    let (place, _) = server().await;
    let place = HostPort { host: "127.0.0.1".to_owned(), ..place };
    let mut rig = Rig::allowing(&place);
    rig.python(BY_PARAMETER, FETCH);
    assert_eq!(rig.gives(json!({ "url": format!("http://{place}/") })).await, json!("hello"));
    let err = rig.run(json!({ "url": "http://10.11.12.13/" })).await.result.unwrap_err();
    assert!(err.message.contains("needs a name"), "{}", err.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_place_is_refused_unless_the_operator_names_it() {
    let (place, count) = server().await;
    let mut rig = Rig::new();
    rig.python(&format!("network = [\"{place}\"]"), FETCH);
    let err = rig.run(json!({ "url": format!("http://{place}/") })).await.result.unwrap_err();
    assert!(
        err.message.contains("is at the private address") && err.message.contains("tools.allow_private"),
        "{}",
        err.message
    );
    assert_eq!((err.code, count.load(Ordering::SeqCst)), (ErrorCode::Tool, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_place_is_reached_beside_a_named_one() {
    let (named, _) = server().await;
    let (other, count) = server().await;
    let mut rig = Rig::allowing(&named);
    rig.python(
        &format!("network = [\"{named}\"]"),
        "import socket, urllib.request\n\
         def tried(what):\n  try: return str(what())\n  except BaseException as err: return 'refused ' + type(err).__name__\n\
         def ask(name):\n  one = socket.socket(socket.AF_UNIX); one.connect('/sandbox/net'); one.send(name.encode() + b'\\n'); one.settimeout(3)\n  got = one.recv(9)\n  assert got, 'nothing'\n  return got\n\
         say(result=[tried(lambda: urllib.request.urlopen(params['other'], timeout=3).read()), tried(lambda: ask(params['place'])), tried(lambda: ask('127.0.0.1:22')),\n\
         tried(lambda: ask('x' * 5000)), tried(lambda: socket.create_connection(('1.1.1.1', 443), 3)), tried(lambda: socket.getaddrinfo('example.org', 1))])",
    );
    let result = rig.gives(json!({ "other": format!("http://{other}/"), "place": other.to_string() })).await;
    for one in result.as_array().unwrap() {
        assert!(one.as_str().unwrap().starts_with("refused "), "{result}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_does_not_answer_is_a_passing_fault() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = HostPort { host: "localhost".to_owned(), port: gone.local_addr().unwrap().port() };
    drop(gone);
    let mut rig = Rig::allowing(&place);
    rig.python(&format!("network = [\"{place}\"]"), FETCH);
    let err = rig.run(json!({ "url": format!("http://{place}/") })).await.result.unwrap_err();
    assert_eq!(err.code, ErrorCode::Exhausted, "it was tried again: {err:?}");
    assert!(err.message.contains("cannot be reached"), "{}", err.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn usual_ports_work_inside_and_the_tool_ends_well_with_its_relay() {
    // 443 is below 1024; inside it is the tool's own to listen on. Nobody answers for `.invalid`.
    let mut rig = Rig::new();
    rig.python(
        "network = [\"a.invalid:443\", \"b.invalid:443\", \"b.invalid:80\"]",
        "import socket\nfound = [socket.gethostbyname(name) for name in ('a.invalid', 'b.invalid', 'localhost')]\n\
         one = socket.create_connection(('b.invalid', 443), 3)\none.settimeout(20)\nend = one.recv(1)\nsay(result={'found': found, 'end': len(end)})\nsys.exit(0)",
    );
    let result = rig.gives(json!({})).await;
    assert_eq!(result, json!({ "found": ["127.0.1.1", "127.0.1.2", "127.0.0.1"], "end": 0 }));
    rig.python("network = [\"a.invalid:443\"]", "say(result={})\nsys.exit(7)");
    assert!(rig.fails().await.message.contains("exit code 7"));
    rig.python("network = [\"a.invalid:443\"]", "import signal\nsignal.signal(signal.SIGTERM, lambda *_: (say(log='asked to end'), sys.exit(0)))\nsay(log='ready')\ntime.sleep(600)");
    rig.notes.stop_at = Some(("ready", rig.stop.clone()));
    assert_eq!(rig.fails().await.code, ErrorCode::Cancelled);
    assert!(rig.notes.logs.contains(&"asked to end".to_owned()), "{:?}", rig.notes.logs);
}
